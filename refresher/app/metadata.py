"""The metadata endpoints of the daemon: put together when the first target wants one.

A daemon without such targets starts no thread for them, and imports no server.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from refresher.clock import Clock
from refresher.engine.daemon import Daemon
from refresher.engine.events import Severity
from refresher.engine.reporter import Reporter
from refresher.errors import RefresherError
from refresher.metadata.plan import EndpointPlan, EndpointsHealth, HeldToken, ListenerHealth, ListenerState
from refresher.tokens import AccessToken

if TYPE_CHECKING:
    from refresher.metadata.endpoints import Endpoints


class DaemonEndpoints:
    """The endpoints from the first that is wanted until `__exit__`.

    Args:
        socket: Where the helper answers.
        clock: Where the time comes from.
        reporter: What events are sent by.
    """

    daemon: Daemon

    def __init__(self, socket: Path, clock: Clock, reporter: Reporter) -> None:
        self._socket = socket
        self._clock = clock
        self._reporter = reporter
        self._stack = ExitStack()
        self._endpoints: Endpoints | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def adopt(self, plans: Mapping[str, EndpointPlan]) -> None:
        """Follow a plan; a helper that runs may hold what an earlier daemon wanted."""
        if self._endpoints is None and (plans or self._socket.exists()):
            self._endpoints = self._start()
        if self._endpoints is not None:
            self._endpoints.adopt(plans)

    def get_health(self, name: str) -> ListenerHealth | None:
        """Return the health of a target's listener; None if it has none."""
        return None if self._endpoints is None else self._endpoints.get_health(name)

    def describe(self) -> EndpointsHealth:
        """Return the health of all endpoints."""
        return EndpointsHealth() if self._endpoints is None else self._endpoints.describe()

    def find_token(self, name: str, plan: EndpointPlan) -> HeldToken | None:
        """Return the access token that is served for a target by its plan."""
        return None if self._endpoints is None else self._endpoints.find_token(name, plan)

    def serve_token(self, name: str, plan: EndpointPlan, token: AccessToken, issued_at: datetime) -> bool:
        """Serve an access token for a target; return False if the plan is not in force any more."""
        return self._endpoints is not None and self._endpoints.serve_token(name, plan, token, issued_at)

    def note_problem(self, name: str, plan: EndpointPlan, problem: str) -> None:
        """Note why no other access token could be minted."""
        if self._endpoints is not None:
            self._endpoints.note_problem(name, plan, problem)

    def _start(self) -> "Endpoints":
        from refresher.metadata.endpoints import Endpoints
        from refresher.metadata.opener import HelperOpener
        from refresher.metadata.server import MetadataServer

        server = self._stack.enter_context(MetadataServer(self._report))
        order = self.daemon.obtain_id_token
        opener = HelperOpener(self._socket)
        return self._stack.enter_context(Endpoints(server, opener, self._clock, order, self._note, self._report))

    def _note(self, name: str, health: ListenerHealth) -> None:
        if health.state is ListenerState.SERVING:
            self._reporter.send("metadata.serving", Severity.INFO, target=name)
        else:
            self._reporter.send(
                "metadata.closed", Severity.WARNING, target=name, error=health.problem, remedy=health.remedy
            )
        self.daemon.refresh_soon(name)

    def _report(self, error: RefresherError) -> None:
        self._reporter.send("daemon.fault", Severity.ERROR, error=error.problem, remedy=error.remedy)
