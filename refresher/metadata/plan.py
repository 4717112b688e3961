"""What the endpoint of a target is to be: what it serves, and where it listens."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from refresher.metadata.wanted import Wanted
from refresher.tokens import AccessToken


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


ANSWERED, REFUSED, POSTPONED = OUTCOMES = ("answered", "refused", "postponed")
"""How a request ends: with what was asked for, with 4xx, or with 503, after which clients ask again."""


class EndpointHealth(NamedTuple):
    """The health of a target's endpoint: of its listener, its open connections, and its requests by outcome."""

    target: str
    listener: ListenerHealth
    connections: int
    requests: Mapping[str, int]


class EndpointsHealth(NamedTuple):
    """The health of all endpoints, and all requests since the daemon's start by outcome, also of those that ended."""

    endpoints: tuple[EndpointHealth, ...] = ()
    requests: Mapping[str, int] = dict.fromkeys(OUTCOMES, 0)


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
