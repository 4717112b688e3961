"""What is known of one target before its links are judged: collected by acting, and judged without acting."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from refresher.doctor.sight import Sight, Thing
from refresher.engine.plan import Target
from refresher.errors import RefresherError, UsageError
from refresher.observe.health import TargetHealth
from refresher.suppliers.interface import SupplierSettings
from refresher.tokens import AccessToken, SubjectToken
from refresher.users import DaemonUser

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt(Generic[T]):
    """What came of one act: a result, or the error, or why it was not tried (`reason`)."""

    result: T | None = None
    error: RefresherError | None = None
    reason: str = ""
    milliseconds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came of one identity's way through the chain; the targets of an identity share it.

    Attributes:
        supplied: A new subject token.
        command: What runs this as the daemon's user, as whom alone the supplier is asked; empty if this user is that.
        token: The one that was exchanged: the new one, or else a published one; None without any.
        is_new: Whether that is the new one.
        exchange: What STS answered; for an identity without a pool, the worker's own token.
        impersonation: What IAM Credentials answered.
        quota: Whether the account, or without one the principal, may use the quota project: an error with the entry
            `I12` shows that it may not, any other that it is not known.
        keys: Ids of the keys that are published; looked up only if STS does not accept the key.
    """

    supplied: Attempt[SubjectToken]
    command: str = ""
    token: SubjectToken | None = None
    is_new: bool = True
    exchange: Attempt[AccessToken]
    impersonation: Attempt[AccessToken]
    quota: Attempt[None] = field(default_factory=Attempt)
    keys: Attempt[tuple[str, ...]] = field(default_factory=Attempt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a target.

    Attributes:
        settings: The settings of its supplier; None without a pool.
        health: The verdict on its files.
        daemon: Whose commands remedies show.
        artifacts: Its minted artifacts that do not serve, by name, and what came of minting each.
        sight: What its container sees; or the reason why nothing looked there, or why it could not be entered.
        published: What stands on the host at its credentials directory, and the digests of the tokens in it, before and
            after its container was looked into.
        skew: How much Google's clock is ahead of this machine's; None if unknown.
        variables: What `env` holds, by name.
        is_link_local: Whether its own metadata endpoint answers at 169.254.169.254 too.
        now: UTC.
    """

    target: Target
    settings: SupplierSettings | None
    container_directory: str
    variables: Mapping[str, str]
    health: TargetHealth
    daemon: DaemonUser
    trial: Trial
    artifacts: Mapping[str, Attempt[None]]
    sight: Sight | str | UsageError
    published: tuple[Thing, frozenset[str]]
    skew: timedelta | None
    now: datetime
    is_link_local: bool = False
