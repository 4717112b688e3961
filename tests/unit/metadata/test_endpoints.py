import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Condition, Event

import pytest

from refresher.clock import SystemClock
from refresher.errors import RefresherError
from refresher.metadata.endpoints import Endpoints
from refresher.metadata.namespaces import RefusedError
from refresher.metadata.opener import HelperAbsentError
from refresher.metadata.plan import EndpointPlan, Facts, ListenerHealth, ListenerState
from refresher.metadata.server import MetadataServer
from refresher.metadata.wanted import Wanted
from refresher.tokens import AccessToken
from tests.network_namespaces import wait_until

REQUEST = (
    b"GET /computeMetadata/v1/instance/service-accounts/default/%s HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Metadata-Flavor: Google\r\nConnection: close\r\n\r\n"
)


def make_plan(name: str = "alice", netns: str = "/run/netns/alice", port: int = 8174) -> EndpointPlan:
    """Return the plan of an endpoint."""
    facts = Facts(name=name, email=f"{name}@p.iam.gserviceaccount.com", scopes=("scope",))
    return EndpointPlan(facts=facts, wanted=Wanted(netns, port, link_local=False), minted_for=name)


class FakeOpener:
    """A helper in memory, whose namespaces are ports of the loopback."""

    def __init__(self) -> None:
        self.is_absent = False
        self.is_new = True
        self.refusals: dict[str, RefusedError] = {}
        self.held: dict[str, socket.socket] = {}
        self.calls: list[str] = []
        self.notes: dict[str, str] = {}
        self.gone: set[str] = set()
        self.gate = Event()
        self.gate.set()

    def fileno(self) -> int:
        """Return none."""
        return -1 if self.is_absent or self.is_new else 0

    def connect(self) -> bool:
        """Connect to a helper, which another one may have replaced."""
        if self.is_absent:
            raise HelperAbsentError("no helper answers")
        was_new, self.is_new = self.is_new, False
        return was_new

    def open(self, target: str, wanted: Wanted) -> tuple[socket.socket, ...]:
        """Return a listener."""
        if self.is_absent:
            raise HelperAbsentError("no helper answers")
        self.calls.append(f"open {target}")
        self.gate.wait(10)
        if target in self.refusals:
            raise self.refusals[target]
        if target not in self.held:
            self.held[target] = socket.create_server(("127.0.0.1", 0))
        return (self.held[target].dup(),)

    def take_note(self, target: str) -> str:
        """Return a note."""
        return self.notes.get(target, "")

    def keep(self, target: str, note: str) -> None:
        """Keep a note."""
        self.notes[target] = note

    def close(self, target: str) -> None:
        """Forget a target."""
        self.calls.append(f"close {target}")
        if target in self.held:
            self.held.pop(target).close()

    def settle(self) -> None:
        """Forget what was not asked for."""
        self.calls.append("settle")

    def take_gone(self) -> set[str]:
        """Return what is gone."""
        gone, self.gone = self.gone, set()
        return gone

    def disconnect(self) -> None:
        """End."""
        for each in self.held.values():
            each.close()


class Stage:
    """Endpoints with a helper in memory."""

    def __init__(self, server: MetadataServer) -> None:
        self.opener = FakeOpener()
        self.faults: list[RefresherError] = []
        self._changed = Condition()
        self._health: dict[str, ListenerHealth] = {}
        self.endpoints = Endpoints(server, self.opener, SystemClock(), lambda *_: None, self._note, self.faults.append)

    def adopt(self, *plans: EndpointPlan) -> None:
        """Follow plans."""
        self.endpoints.adopt({plan.facts.name: plan for plan in plans})

    def wait_for(self, name: str, state: ListenerState) -> ListenerHealth:
        """Wait until a listener is in a state."""
        with self._changed:
            assert self._changed.wait_for(lambda: name in self._health and self._health[name].state is state, 10)
            return self._health[name]

    def ask(self, name: str, leaf: bytes = b"email") -> bytes:
        """Return the body of an answer."""
        with socket.create_connection(self.opener.held[name].getsockname(), timeout=10) as client:
            client.sendall(REQUEST % leaf)
            content = b"".join(iter(lambda: client.recv(65536), b""))
        return content.partition(b"\r\n\r\n")[2]

    def _note(self, name: str, health: ListenerHealth) -> None:
        with self._changed:
            self._health[name] = health
            self._changed.notify_all()


@contextmanager
def open_stage() -> Iterator[Stage]:
    """Run endpoints; a bug in them fails the test."""
    faults: list[RefresherError] = []
    with MetadataServer(faults.append) as server:
        made = Stage(server)
        with made.endpoints:
            yield made
    assert [*faults, *made.faults] == []


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Return endpoints that run."""
    with open_stage() as made:
        yield made


def make_token(value: str) -> AccessToken:
    """Return an access token of an hour."""
    return AccessToken(value=value, expires_at=datetime.now(UTC) + timedelta(hours=1))


def test_endpoint_is_opened_served_and_closed(stage: Stage) -> None:
    """A plan opens what it has and closes what it has no longer, also at the helper."""
    stage.adopt(make_plan("alice"), make_plan("bob", "/run/netns/bob"))
    for name in ("alice", "bob"):
        stage.wait_for(name, ListenerState.SERVING)
        assert stage.ask(name) == f"{name}@p.iam.gserviceaccount.com".encode()

    stage.adopt(make_plan("bob", "/run/netns/bob"), make_plan("carol", "/run/netns/alice"))
    stage.wait_for("carol", ListenerState.SERVING)

    assert stage.opener.calls == ["open alice", "open bob", "settle", "close alice", "open carol"]
    assert stage.endpoints.get_health("alice") is None


def test_helper_that_is_absent_is_tried_again(stage: Stage) -> None:
    """Without a helper each target that needs it shows that, and opens when there is one."""
    stage.opener.is_absent = True
    stage.adopt(make_plan())
    health = stage.wait_for("alice", ListenerState.REFUSED)
    assert health.problem == "no helper answers"
    assert "refresher-netns" in str(health.remedy)

    stage.opener.is_absent = False

    stage.wait_for("alice", ListenerState.SERVING)


def test_refusal_is_shown_and_tried_again(stage: Stage) -> None:
    """A namespace that comes later is served then."""
    stage.opener.refusals["alice"] = RefusedError("absent", "it does not exist", "create it")
    stage.adopt(make_plan())
    assert stage.wait_for("alice", ListenerState.ABSENT).problem == "it does not exist"

    del stage.opener.refusals["alice"]

    stage.wait_for("alice", ListenerState.SERVING)


def test_endpoint_is_closed_when_its_namespace_is_gone(stage: Stage) -> None:
    """Nothing of the daemon's keeps it alive, and a namespace that takes its place is opened."""
    stage.adopt(make_plan())
    stage.wait_for("alice", ListenerState.SERVING)
    stage.opener.refusals["alice"] = RefusedError("absent", "it does not exist", "create it")

    stage.opener.gone = {"alice", "stranger"}

    stage.wait_for("alice", ListenerState.ABSENT)
    stage.opener.refusals.clear()
    stage.wait_for("alice", ListenerState.SERVING)


def test_everything_is_asked_for_again_when_another_helper_answers(stage: Stage) -> None:
    """A helper that was restarted holds nothing, and what is open goes on meanwhile."""
    stage.adopt(make_plan())
    stage.wait_for("alice", ListenerState.SERVING)
    stage.opener.is_absent = True
    assert stage.ask("alice")
    stage.opener.calls.clear()

    stage.opener.is_new, stage.opener.is_absent = True, False
    stage.adopt(make_plan(), make_plan("bob", "/run/netns/bob"))
    stage.wait_for("bob", ListenerState.SERVING)

    assert stage.opener.calls == ["open alice", "open bob", "settle"]
    assert stage.ask("alice") == b"alice@p.iam.gserviceaccount.com"


def test_token_is_served_by_the_plan_that_it_was_minted_for(stage: Stage) -> None:
    """An endpoint of another identity begins without a token, and takes none of the former's."""
    former, present = make_plan(), replace(make_plan(), minted_for="another")
    stage.adopt(former)
    stage.wait_for("alice", ListenerState.SERVING)
    now = datetime.now(UTC)
    assert stage.endpoints.serve_token("alice", former, make_token("ya29.former"), now)
    assert b"ya29.former" in stage.ask("alice", b"token")

    stage.adopt(present)

    assert not stage.endpoints.serve_token("alice", former, make_token("ya29.former"), now)
    assert stage.endpoints.find_token("alice", present) is None
    assert stage.endpoints.serve_token("alice", present, make_token("ya29.present"), now)
    held = stage.endpoints.find_token("alice", present)
    assert held is not None
    assert (held.token.value, held.issued_at) == ("ya29.present", now)


def test_former_identity_is_not_served_while_the_helper_is_slow(stage: Stage) -> None:
    """What a plan no longer has is closed before anything is asked of the helper."""
    stage.adopt(make_plan())
    stage.wait_for("alice", ListenerState.SERVING)
    with socket.create_connection(stage.opener.held["alice"].getsockname(), timeout=10) as kept:
        kept.sendall(REQUEST.replace(b"Connection: close\r\n", b"") % b"email")
        assert kept.recv(65536)
        stage.opener.gate.clear()
        stage.adopt(make_plan(), make_plan("bob", "/run/netns/bob"))
        wait_until(lambda: "open bob" in stage.opener.calls)

        stage.adopt(replace(make_plan(), minted_for="another"))

        kept.settimeout(5)
        with suppress(ConnectionResetError):
            assert kept.recv(65536) == b""
        stage.opener.gate.set()


def test_own_namespace_needs_no_helper(stage: Stage) -> None:
    """A sidecar listens in the namespace of its pod itself, on the loopback alone."""
    stage.opener.is_absent = True
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        stage.adopt(make_plan(netns="", port=port))
        assert stage.wait_for("alice", ListenerState.OCCUPIED).problem == f"127.0.0.1:{port} is taken in the namespace"

    stage.wait_for("alice", ListenerState.SERVING)

    stage.opener.held["alice"] = socket.create_connection(("127.0.0.1", port))
    with stage.opener.held.pop("alice") as client:
        client.sendall(REQUEST % b"email")
        assert client.recv(65536).endswith(b"\r\n\r\nalice@p.iam.gserviceaccount.com")
