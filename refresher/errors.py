"""Every failure that an operator can meet: the problem, the remedy, the exit status, whether to try again.

There is one child of `RefresherError` per stage. Other children are defined next to the code that raises them, where
code catches them or where their sentence is built from facts. A programming mistake is an ordinary exception with a
traceback. No message contains a token, a key or an assertion: only names, paths, hosts, statuses and fingerprints.
"""

from datetime import timedelta
from enum import IntEnum
from typing import ClassVar, Self


class ExitStatus(IntEnum):
    """The exit status of a command (the README has the table)."""

    DONE = 0
    UNEXPECTED = 1
    CONFIGURATION = 2
    SUPPLY = 3
    PUBLISH = 4
    EXCHANGE = 5
    NOT_READY = 6


THROTTLED = 429
"""The HTTP status of a limit of requests (RFC 6585, section 4)."""


class RefresherError(Exception):
    """A failure with a problem (one sentence) and a remedy (what to do about it).

    Attributes:
        problem: One sentence in the present tense that names the target, path, URL host or role concerned.
        remedy: An imperative sentence with the key, role, flag or command that fixes it.
        retryable: Whether the same attempt may succeed later although nothing was fixed.
        retry_after: How long the server that refused asks everybody to wait; None if it does not.
        entry: The entry of `refresher.catalogue` that knows what a server answered; empty for any other failure.
        http_status: The HTTP status of a server's refusal; None for any other failure.
    """

    exit_status: ClassVar[ExitStatus] = ExitStatus.UNEXPECTED
    usually_retryable: ClassVar[bool] = False
    entry: str = ""
    http_status: int | None = None

    def __init__(
        self, problem: str, remedy: str, *, retryable: bool | None = None, retry_after: timedelta | None = None
    ) -> None:
        """Store the attributes; `retryable` is None for what is usual for the class."""
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy
        self.retryable = self.usually_retryable if retryable is None else retryable
        self.retry_after = retry_after

    @property
    def is_refusal(self) -> bool:
        """Whether a server decided so, and no retry changes that; not so where none was asked or none answered."""
        return self.http_status is not None and not self.retryable

    def copy(self) -> Self:
        """Return an equal error, which another thread can raise with its own traceback."""
        # not copy.copy: it would call the constructor with the exception's own arguments, the problem alone
        other = type(self).__new__(type(self), *self.args)
        vars(other).update(vars(self))
        return other

    def __str__(self) -> str:
        return f"{self.problem} — {self.remedy}"


class UsageError(RefresherError):
    """The command line asks for something that can't be done."""

    exit_status = ExitStatus.CONFIGURATION


class ConfigurationError(RefresherError):
    """The configuration can't be used; `refresher.config` collects every problem before it raises one."""

    exit_status = ExitStatus.CONFIGURATION


class KeysError(RefresherError):
    """The directory of signing keys can't be used."""

    exit_status = ExitStatus.CONFIGURATION


class SupplyError(RefresherError):
    """No usable subject token is available; trying again changes nothing until something is fixed."""

    exit_status = ExitStatus.SUPPLY


class TokenRejectedError(SupplyError):
    """A supplier handed out a token that is not worth publishing: wrong claims, too old, or not better."""

    usually_retryable = True


class PublishError(RefresherError):
    """An artifact could not be written as configured; the former one is still in place."""

    exit_status = ExitStatus.PUBLISH
    usually_retryable = True


class ExchangeError(RefresherError):
    """STS refused to exchange a subject token, or did not answer."""

    exit_status = ExitStatus.EXCHANGE


class ImpersonationError(RefresherError):
    """IAM Credentials refused to impersonate the service account, or did not answer."""

    exit_status = ExitStatus.EXCHANGE


class EmulatorError(RefresherError):
    """The emulator can't start, or can't continue."""


class NotReadyError(RefresherError):
    """What was waited for did not become ready in time."""

    exit_status = ExitStatus.NOT_READY


def describe_bug(subject: str, bug: BaseException) -> RefresherError:
    """Return the failure that a programming mistake becomes: where it happened, without its text, maybe a secret."""
    traceback = bug.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    place = "an unknown place"
    if traceback is not None:
        place = f"{traceback.tb_frame.f_code.co_qualname}:{traceback.tb_lineno}"
    return RefresherError(
        f"{subject}: unexpected {type(bug).__name__} at {place}", "report this as a bug of the refresher"
    )
