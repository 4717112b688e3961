"""The endpoints of the plan in force, and the thread that keeps their listeners open.

The daemon decides what is wanted. The thread asks for the listeners, tries again each second what failed, and closes
what is not wanted any more or has lost its namespace. An endpoint belongs to one identity of one target: if anything
that is minted for it changes, another one takes its place and begins without a token.
"""

import os
import select
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from threading import Lock, Thread
from typing import Self

from refresher.clock import Clock
from refresher.errors import RefresherError, describe_bug
from refresher.metadata.endpoint import Endpoint
from refresher.metadata.namespaces import RefusedError
from refresher.metadata.notes import read_note, write_note
from refresher.metadata.opener import HelperAbsentError, Opener, open_own
from refresher.metadata.plan import (
    OUTCOMES,
    EndpointHealth,
    EndpointPlan,
    EndpointsHealth,
    HeldToken,
    ListenerHealth,
    ListenerState,
    Obtained,
)
from refresher.metadata.server import MetadataServer
from refresher.tokens import AccessToken

_RETRY_SECONDS = 1.0
_GONE_REMEDY = "create it again, or remove the target"
_HELPER_REMEDY = "start it (systemctl enable --now refresher-netns), as the user that its unit names"


_OPENING = ListenerHealth(ListenerState.OPENING)
_SERVING = ListenerHealth(ListenerState.SERVING)


@dataclass(slots=True)
class _Kept:
    """One endpoint, and what is known of its listener; `issued_at` is of its token, which the helper may not have."""

    plan: EndpointPlan
    endpoint: Endpoint
    health: ListenerHealth = _OPENING
    issued_at: datetime | None = None
    is_unsaved: bool = False


class Endpoints:
    """Keeps endpoints and their listeners from `__enter__` to `__exit__`; its methods may be called on any thread.

    Args:
        server: What answers.
        opener: What listeners come from.
        clock: Where the time of tokens comes from.
        order: Obtains an ID token of a target and its plan for an audience, as in `id_tokens`.
        changed: Hears the name of a target whose listener was opened or closed, and its health.
        report: Hears what goes wrong with all of them, once until it changes.
    """

    def __init__(
        self,
        server: MetadataServer,
        opener: Opener,
        clock: Clock,
        order: Callable[[str, EndpointPlan, str, Callable[[Obtained], None]], None],
        changed: Callable[[str, ListenerHealth], None],
        report: Callable[[RefresherError], None],
    ) -> None:
        self._server = server
        self._opener = opener
        self._clock = clock
        self._order = order
        self._changed = changed
        self._report = report
        self._lock = Lock()
        self._kept: dict[str, _Kept] = {}
        self._retired: list[tuple[str, _Kept]] = []
        self._ended: Counter[str] = Counter(dict.fromkeys(OUTCOMES, 0))
        self._is_adopted = self._is_settled = self._is_stopping = False
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._mounts = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)  # proc(5): has events
        self._thread = Thread(target=self._run, name="metadata-listeners", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_stopping = True
        self._wake()
        self._thread.join()
        self._opener.disconnect()
        for descriptor in (self._wake_read, self._wake_write, self._mounts):
            os.close(descriptor)

    def adopt(self, plans: Mapping[str, EndpointPlan]) -> None:
        """Follow a plan: unchanged endpoints go on, those that it lacks are closed, and new ones are opened soon."""
        with self._lock:
            ended = [(name, each) for name, each in self._kept.items() if plans.get(name) != each.plan]
            for name, _ in ended:
                del self._kept[name]
            self._retired += ended  # the thread may be opening one of them
            for name, plan in plans.items():
                if name not in self._kept:
                    self._kept[name] = _Kept(plan, self._build(name, plan))
            self._is_adopted = True
        for _, former in ended:  # at once: the thread may wait for the helper
            self._server.withdraw(former.endpoint)
            self._ended.update(former.endpoint.requests)
        self._wake()

    def get_health(self, name: str) -> ListenerHealth | None:
        """Return the health of a target's listener; None if it has none."""
        kept = self._kept.get(name)
        return None if kept is None else kept.health

    def describe(self) -> EndpointsHealth:
        """Return the health of all endpoints."""
        with self._lock:
            kept = dict(self._kept)
        found = tuple(
            EndpointHealth(name, each.health, len(each.endpoint.connections), dict(each.endpoint.requests))
            for name, each in kept.items()
        )
        total = self._ended.copy()
        for each in found:
            total.update(each.requests)
        return EndpointsHealth(found, total)

    def find_token(self, name: str, plan: EndpointPlan) -> HeldToken | None:
        """Return the access token that is served for a target by its plan."""
        kept = self._find(name, plan)
        token = None if kept is None else kept.endpoint.snapshot.token
        if kept is None or kept.issued_at is None or token is None:
            return None
        return HeldToken(token, kept.issued_at)

    def serve_token(self, name: str, plan: EndpointPlan, token: AccessToken, issued_at: datetime) -> bool:
        """Serve an access token for a target; return False if the plan is not in force any more."""
        with self._lock:  # else the endpoint of the plan that follows could get it
            kept = self._find(name, plan)
            if kept is None:
                return False
            kept.issued_at, kept.is_unsaved = issued_at, bool(plan.wanted.netns)
            kept.endpoint.serve_token(token)
        self._wake()
        return True

    def note_problem(self, name: str, plan: EndpointPlan, problem: str) -> None:
        """Note why no other access token could be minted."""
        kept = self._find(name, plan)
        if kept is not None:
            kept.endpoint.note_problem(problem)

    def _find(self, name: str, plan: EndpointPlan) -> _Kept | None:
        kept = self._kept.get(name)
        return kept if kept is not None and kept.plan == plan else None

    def _build(self, name: str, plan: EndpointPlan) -> Endpoint:
        def order(audience: str, done: Callable[[Obtained], None]) -> None:
            self._order(name, plan, audience, done)

        return Endpoint(plan.facts, clock=self._clock, order=order)

    def _wake(self) -> None:
        with suppress(BlockingIOError):
            os.write(self._wake_write, b".")

    def _run(self) -> None:
        while not self._is_stopping:
            try:
                self._keep()
            except Exception as bug:  # noqa: BLE001 - the thread must not end: a bug is reported
                self._report(describe_bug("the listeners of metadata endpoints", bug))
            self._wait()

    def _wait(self) -> None:
        """Wait until something is to be done: a plan, the helper, a mount where a namespace is missing, or the time."""
        poller = select.poll()
        for descriptor in (self._wake_read, self._opener.fileno()):
            if descriptor >= 0:
                poller.register(descriptor, select.POLLIN)
        if any(each.health.state is ListenerState.ABSENT for each in tuple(self._kept.values())):
            poller.register(self._mounts, select.POLLPRI)
        if self._wake_read in dict(poller.poll(round(_RETRY_SECONDS * 1000))):
            with suppress(BlockingIOError):
                os.read(self._wake_read, 4096)

    def _keep(self) -> None:
        """Do what is to be done now.

        1. Close what is not wanted any more, so that its namespace is free for another target.
        2. Close that of which the namespace is gone.
        3. Open what is not open; after another connection to the helper everything, since it may be another helper.
        4. Make the helper forget what an earlier daemon wanted.
        5. Make it keep the tokens that are served, for the next daemon.
        """
        with self._lock:
            retired, self._retired = self._retired, []
            kept = dict(self._kept)
        gone = self._opener.take_gone() & kept.keys()
        remote = {name for name, each in kept.items() if each.plan.wanted.netns}
        for name, former in retired:  # 1
            self._server.withdraw(former.endpoint)
            if name not in remote and self._opener.fileno() >= 0:
                self._ask(partial(self._opener.close, name))
        for name in gone:  # 2
            self._server.withdraw(kept[name].endpoint)
            problem = f"{kept[name].plan.wanted.netns} names the namespace no more"
            self._note(name, kept[name], ListenerHealth(ListenerState.ABSENT, problem, _GONE_REMEDY))
        is_connected = bool(remote or (self._is_adopted and not self._is_settled)) and self._ask(self._reconnect)
        for name, each in kept.items():  # 3
            is_new = name in remote and is_connected and not self._is_settled
            if is_new or each.health.state is not ListenerState.SERVING:
                self._open(name, each)
        if self._is_adopted and not self._is_settled:  # 4
            self._is_settled = self._ask(self._opener.settle) if is_connected else not remote
        for name, each in kept.items():  # 5
            if each.is_unsaved and is_connected and each.health.state is ListenerState.SERVING:
                self._save(name, each)

    def _save(self, name: str, kept: _Kept) -> None:
        kept.is_unsaved = False
        held = self.find_token(name, kept.plan)
        note = None if held is None else write_note(kept.plan, held)
        if note is not None and not self._ask(partial(self._opener.keep, name, note)):
            kept.is_unsaved = True

    def _restore(self, name: str, kept: _Kept) -> None:
        """Serve the token that the helper kept for a target, unless there is another one."""
        held = read_note(self._opener.take_note(name), kept.plan, self._clock.now())
        with self._lock:
            if held is not None and kept.issued_at is None:
                kept.issued_at = held.issued_at
                kept.endpoint.serve_token(held.token)
            kept.is_unsaved = held is None and kept.issued_at is not None  # another helper has no notes

    def _reconnect(self) -> None:
        if self._opener.connect():
            self._is_settled = False

    def _open(self, name: str, kept: _Kept) -> None:
        """Open the listeners of a target, or find out why they can't be open.

        What is open stays so while the helper does not answer. Another helper can't listen next to what the former one
        opened, so that is closed once it is in the way.
        """
        wanted = kept.plan.wanted
        try:
            try:
                sockets = self._opener.open(name, wanted) if wanted.netns else open_own(wanted)
            except RefusedError as refused:
                if kept.health.state is not ListenerState.SERVING or refused.kind != ListenerState.OCCUPIED:
                    raise
                self._server.mute(kept.endpoint)
                sockets = self._opener.open(name, wanted)
        except RefusedError as refused:
            self._server.withdraw(kept.endpoint)
            self._note(name, kept, ListenerHealth(ListenerState(refused.kind), refused.problem, refused.remedy))
        except HelperAbsentError as error:
            if kept.health.state is not ListenerState.SERVING:
                self._note(name, kept, ListenerHealth(ListenerState.REFUSED, str(error), _HELPER_REMEDY))
        else:
            if wanted.netns:
                self._restore(name, kept)
            self._server.serve(kept.endpoint, sockets)
            self._note(name, kept, _SERVING)

    def _note(self, name: str, kept: _Kept, health: ListenerHealth) -> None:
        if kept.health != health:
            kept.health = health
            self._changed(name, health)

    def _ask(self, question: Callable[[], None]) -> bool:
        """Ask the helper; return whether it answered. Each target that needs an absent one shows that."""
        try:
            question()
        except HelperAbsentError:
            return False
        return True
