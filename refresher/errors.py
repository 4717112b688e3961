"""Every failure that an operator can meet: the problem, the remedy, the exit status, whether to try again.

One child of `RefresherError` per stage. Further children live beside the code that raises them and exist only
where somebody catches them or where the sentence is built from facts. A programming mistake is none of these:
it stays an ordinary exception with a traceback.

No message may hold a token, a key or an assertion: names, paths, hosts, statuses and fingerprints only.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar, Self


class ExitStatus(IntEnum):
    """What the process tells its caller (the table is in the README)."""

    DONE = 0
    UNEXPECTED = 1
    CONFIGURATION = 2
    SUPPLY = 3
    PUBLISH = 4
    EXCHANGE = 5
    NOT_READY = 6


class RefresherError(Exception):
    """A failure with a problem (one sentence) and a remedy (what to do about it).

    Attributes:
        problem: One sentence in the present tense, naming the target, path, URL host or role concerned.
        remedy: An imperative sentence naming the key, role, flag or command that mends it.
        retryable: Whether the same attempt may succeed later although nothing was fixed.
        exit_status: What a command that ends with this failure exits with.
    """

    exit_status: ClassVar[ExitStatus] = ExitStatus.UNEXPECTED
    usually_retryable: ClassVar[bool] = False

    def __init__(self, problem: str, remedy: str, *, retryable: bool | None = None) -> None:
        """Store the two sentences.

        Args:
            problem: See the attribute.
            remedy: See the attribute.
            retryable: See the attribute; None for what is usual for the class.
        """
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy
        self.retryable = self.usually_retryable if retryable is None else retryable

    def copy(self) -> Self:
        """Return an equal error, which another thread can raise with a traceback of its own."""
        # not copy.copy: it would call the constructor with the exception's own arguments, the problem alone
        other = type(self).__new__(type(self), *self.args)
        vars(other).update(vars(self))
        return other

    def __str__(self) -> str:
        return f"{self.problem} — {self.remedy}"


class UsageError(RefresherError):
    """The command line asks for something that cannot be done as it stands."""

    exit_status = ExitStatus.CONFIGURATION


class ConfigurationError(RefresherError):
    """The configuration cannot be used; `refresher.config` collects every problem before it raises one."""

    exit_status = ExitStatus.CONFIGURATION


class KeysError(RefresherError):
    """The signing keys directory cannot be used."""

    exit_status = ExitStatus.CONFIGURATION


class SupplyError(RefresherError):
    """No usable subject token could be had, and trying again changes nothing until something is mended."""

    exit_status = ExitStatus.SUPPLY


class TokenRejectedError(SupplyError):
    """A supplier handed out a token that is not worth publishing: wrong claims, too old, or no better."""

    usually_retryable = True


class PublishError(RefresherError):
    """An artifact could not be written as configured; what was there before is still there."""

    exit_status = ExitStatus.PUBLISH
    usually_retryable = True


class ExchangeError(RefresherError):
    """The STS refused to exchange a subject token, or could not be asked."""

    exit_status = ExitStatus.EXCHANGE


class ImpersonationError(RefresherError):
    """IAM Credentials refused to impersonate the service account, or could not be asked."""

    exit_status = ExitStatus.EXCHANGE


class EmulatorError(RefresherError):
    """The emulator cannot start or go on."""


class NotReadyError(RefresherError):
    """What was waited for did not become ready in time."""

    exit_status = ExitStatus.NOT_READY
