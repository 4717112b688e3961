"""What the endpoint of a target is to be: what it serves, and where it listens."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from refresher.tokens import AccessToken

HELPER_SOCKET = "/run/refresher-netns/socket"
"""Where the helper `refresher-netns` answers, unless another path is given to both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What stays the same about a target while it is served.

    Attributes:
        name: The target's, which stands for the machine's name.
        email: The e-mail of its service account.
        scopes: The scopes of its access tokens; what a request asks for changes nothing, as on Compute Engine.
        project: Id of the project; None if none is configured.
        project_number: Digits; gcloud accepts 0 for one that is not known.
        universe_domain: Such as googleapis.com.
    """

    name: str
    email: str
    scopes: tuple[str, ...]
    project: str | None = None
    project_number: str = "0"
    universe_domain: str = "googleapis.com"


class Wanted(NamedTuple):
    """Where to listen.

    Attributes:
        netns: Path of the container's network namespace; empty for the daemon's own, that of a pod.
        port: On 127.0.0.1.
        link_local: Whether 169.254.169.254:80 answers too.
    """

    netns: str
    port: int
    link_local: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointPlan:
    """What a target's endpoint is to be.

    Attributes:
        facts: What it serves next to tokens.
        wanted: Where it listens.
        minted_for: What changes with everything that is minted for it: tokens of another are never served.
    """

    facts: Facts
    wanted: Wanted
    minted_for: str


class ListenerState(StrEnum):
    """How it is with a listener: `OPENING` until the first attempt has ended."""

    OPENING = "opening"
    SERVING = "serving"
    ABSENT = "absent"
    OCCUPIED = "occupied"
    REFUSED = "refused"


class ListenerHealth(NamedTuple):
    """The state of a target's listener, with problem and remedy if it is not open."""

    state: ListenerState
    problem: str | None = None
    remedy: str | None = None


class HeldToken(NamedTuple):
    """The access token that an endpoint serves, and when it was issued, UTC."""

    token: AccessToken
    issued_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class IdToken:
    """A Google-signed ID token, which is in no repr, and its life in UTC."""

    value: str = field(repr=False)
    issued_at: datetime
    expires_at: datetime


Obtained = IdToken | str
"""A token, or why it could not be obtained; no secret."""
