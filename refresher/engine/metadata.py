"""The faces of the metadata endpoints that the engine needs; `refresher.metadata.endpoints` keeps them.

The engine imports no server: commands that serve nothing read plans too.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from refresher.engine.plan import Target
from refresher.errors import RefresherError
from refresher.metadata.plan import EndpointPlan, HeldToken, ListenerHealth, ListenerState
from refresher.publishing.artifacts import ACCESS_TOKEN
from refresher.tokens import AccessToken, SubjectToken


class MetadataEndpoints(Protocol):
    """The endpoints of the plan in force; safe to use from several threads."""

    def adopt(self, plans: Mapping[str, EndpointPlan]) -> None:
        """Follow a plan."""
        ...

    def get_health(self, name: str) -> ListenerHealth | None:
        """Return the health of a target's listener; None if it has none."""
        ...

    def find_token(self, name: str, plan: EndpointPlan) -> HeldToken | None:
        """Return the access token that is served for a target by its plan."""
        ...

    def serve_token(self, name: str, plan: EndpointPlan, token: AccessToken, issued_at: datetime) -> bool:
        """Serve an access token for a target; return False if the plan is not in force any more."""
        ...

    def note_problem(self, name: str, plan: EndpointPlan, problem: str) -> None:
        """Note why no other access token could be minted."""
        ...


class NoMetadataEndpoints:
    """Serves nothing: for a process that is not the daemon."""

    def adopt(self, plans: Mapping[str, EndpointPlan]) -> None:
        """Open nothing."""

    def get_health(self, name: str) -> ListenerHealth | None:  # noqa: ARG002 - of the protocol
        """Return None, since nothing is known here of what another process keeps open."""
        return None

    def find_token(self, name: str, plan: EndpointPlan) -> HeldToken | None:  # noqa: ARG002 - of the protocol
        """Return None."""
        return None

    def serve_token(self, name: str, plan: EndpointPlan, token: AccessToken, issued_at: datetime) -> bool:  # noqa: ARG002
        """Return False, since no one is served."""
        return False

    def note_problem(self, name: str, plan: EndpointPlan, problem: str) -> None:
        """Forget it."""


def is_env_wanted(endpoints: MetadataEndpoints, target: Target) -> bool | None:
    """Return whether `env` belongs to a target's directory now; None if what is there is to stay as it is.

    A container that has `env` must find its endpoint open. While it is not known whether that is so (the daemon has
    just started, or this is not the daemon), containers that run keep what they have.
    """
    if target.metadata is None:
        return True
    health = endpoints.get_health(target.name)
    if health is None or health.state is ListenerState.OPENING:
        return None
    return health.state is ListenerState.SERVING


def serve_leading(
    endpoints: MetadataEndpoints, target: Target, token: SubjectToken | None, error: RefresherError | None
) -> None:
    """Serve the access token that leads the directory of a target without a pool, and why there is no other one."""
    if target.metadata is None or target.leading != ACCESS_TOKEN:
        return
    if token is not None:
        grant = AccessToken(value=token.value, expires_at=token.expires_at)
        endpoints.serve_token(target.name, target.metadata, grant, token.issued_at)
    if error is not None:
        endpoints.note_problem(target.name, target.metadata, error.problem)
