"""One refresh of one target: read, judge, supply, check, publish. The use case that everything else serves.

A refresh either publishes a complete, checked token or leaves the present one alone; only another identity's token is
taken away first. When to call it is `refresher.engine.agenda`'s business, what it is worth telling whom
`refresher.engine.reporting`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from refresher.engine.judgement import (
    Judgement,
    is_as_configured,
    is_of_another_identity,
    is_worth_publishing,
    judge,
)
from refresher.engine.settling import Settling
from refresher.errors import PublishError, RefresherError, SupplyError
from refresher.policy import State
from refresher.publishing.contents import DESCRIPTIONS, ENVIRONMENT, TOKEN, Contents

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from refresher.clock import Clock
    from refresher.engine.sharing import SharedSupplies
    from refresher.engine.target import Target
    from refresher.publishing.directory import OpenDirectory
    from refresher.tokens import SubjectToken


class Result(StrEnum):
    """How a refresh ended."""

    PUBLISHED = "published"
    UNCHANGED = "unchanged"
    KEPT = "kept"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFacts:
    """What may be said aloud of the token in a file."""

    issued_at: datetime
    expires_at: datetime
    issuer: str | None
    subject: str | None
    fingerprint: str

    @classmethod
    def of(cls, token: SubjectToken) -> TokenFacts:
        """Leave the secret out."""
        claims = token.unverified_claims
        return cls(
            issued_at=token.issued_at,
            expires_at=token.expires_at,
            issuer=None if claims is None else claims.issuer,
            subject=None if claims is None else claims.subject,
            fingerprint=token.fingerprint,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one refresh did.

    Attributes:
        result: How it ended.
        token: The token that the file holds now, if it is ours.
        repaired: Artifacts put right that had drifted.
        error: Why it failed.
        duration: In seconds.
        signature: What the directory looked like afterwards; None if it could not be opened.
    """

    result: Result
    token: TokenFacts | None
    repaired: tuple[str, ...]
    error: RefresherError | None
    duration: float
    signature: tuple[object, ...] | None


class Refresher:
    """Refreshes targets; safe to use from several threads as long as each directory is in one pair of hands.

    Args:
        supplies: Where tokens come from.
        clock: Where the time comes from.
        cautious: Names of targets that begin in no place where another's files are, or other ones than theirs.
    """

    def __init__(self, *, supplies: SharedSupplies, clock: Clock, cautious: Collection[str] = ()) -> None:
        self._supplies = supplies
        self._clock = clock
        self._cautious = cautious

    def refresh(self, target: Target, *, force: bool = False, first: bool = False) -> Outcome:
        """Bring one target's directory to what the configuration says, with a token that is fresh.

        1. Open the directory and read it; at the first visit sweep what a killed daemon left.
        2. If it was another identity's, withdraw `env`, further artifacts and `token`. Only then may the owner's group
           reach it.
        3. Put `credentials.json` right, and `boto` if there is to be one; beside a token that the configuration would
           not mint only once there is another, so that the two stay a pair until then.
        4. Unless the token is fresh: supply another, with the directory left to others meanwhile; look again, check,
           describe and publish. The description is there first: at no moment does it name another request than the
           token was supplied for.
        5. Put owner and mode of a token that stays right, then `env`, which comes last; withdraw further artifacts that
           are not asked for any more.
        6. At the first visit of a directory where nothing had to be written, prove that writing would work.

        Args:
            target: Which one.
            force: Replace a fresh token too.
            first: Whether this process has not been there yet.
        """
        may_take_over = target.name not in self._cautious
        visit = _Visit(target, self._supplies, self._clock, force=force, first=first, may_take_over=may_take_over)
        started = self._clock.monotonic()
        signature: tuple[object, ...] | None = None
        error: RefresherError | None = None
        try:
            with target.directory.open() as directory:
                error = visit.bring_up_to_date(directory)
                signature = directory.sign()
        except PublishError as refused:
            error = refused
        return Outcome(
            result=Result.FAILED if error is not None else visit.result,
            token=None if visit.token is None else TokenFacts.of(visit.token),
            repaired=tuple(visit.settling.repaired),
            error=error,
            duration=self._clock.monotonic() - started,
            signature=signature,
        )


class _Visit:
    """The state of one refresh while it goes on."""

    def __init__(
        self,
        target: Target,
        supplies: SharedSupplies,
        clock: Clock,
        *,
        force: bool,
        first: bool,
        may_take_over: bool,
    ) -> None:
        self._target = target
        self._supplies = supplies
        self._clock = clock
        self._force = force
        self._first = first
        self._may_take_over = may_take_over
        self.settling = Settling(target)
        self.result = Result.KEPT
        self.token: SubjectToken | None = None

    def bring_up_to_date(self, directory: OpenDirectory) -> RefresherError | None:
        """Go through the steps of `Refresher.refresh`; give a supplier's failure after all else was put right."""
        with directory.held():
            contents, present = self._look(directory)  # 1 to 3
            if present.state is State.FRESH and not self._force:
                self._finish(directory, contents)
                return None
            seen = directory.sign()
        token, failure = self._supply()  # 4
        with directory.held():
            if directory.sign() != seen:
                contents = directory.read()
                present = judge(self._target, contents, self._clock.now())
                if is_of_another_identity(self._target, contents, present):
                    return self._changed_hands()
                self.token = present.token if present.is_ours else None
            if token is not None:
                failure = self._publish(directory, token, contents, present)
            self._finish(directory, contents)
        return failure

    def _look(self, directory: OpenDirectory) -> tuple[Contents, Judgement]:
        """Read and judge; take over what is another identity's, and settle what may be settled before a token."""
        if self._first:
            directory.sweep()
        contents = directory.read()  # 1
        present = judge(self._target, contents, self._clock.now())
        if not self._may_take_over and not self._is_own(contents):
            raise PublishError(
                f"target {self._target.name}: {self._target.directory.path} is somebody's, perhaps by a drop-in that "
                "cannot be used",
                "mend or remove the drop-in that is complained of",
            )
        if is_of_another_identity(self._target, contents, present):
            contents, present = self._take_over(directory)  # 2
        directory.settle()
        self.token = present.token if present.is_ours else None
        if not _is_foreign(present):  # 3
            self.settling.settle_documents(directory, contents)
        return contents, present

    def _is_own(self, contents: Contents) -> bool:
        """Tell whether the directory holds what was published for exactly this target, or belongs to nobody yet."""
        if contents.is_empty:
            return not self._target.directory.overlaps_another()
        return is_as_configured(self._target, contents)

    def _finish(self, directory: OpenDirectory, contents: Contents) -> None:
        """Put everything right beside a token of ours, and prove at the first visit that writing works."""
        if self.token is not None:  # 5
            if self.result is not Result.PUBLISHED:
                self.settling.settle(directory, TOKEN, contents)
                self.settling.settle_descriptions(directory, contents, self.token)
            self.settling.settle(directory, ENVIRONMENT, contents)
        if self._first and self.result is not Result.PUBLISHED and not self.settling.wrote:
            directory.probe()  # 6

    def _take_over(self, directory: OpenDirectory) -> tuple[Contents, Judgement]:
        """Withdraw everything of the former identity; the token and its description last, since they tell whose it was.

        A takeover that is cut short is then taken up again. What a killed process left half written may be his too.
        """
        directory.sweep()
        for name in (ENVIRONMENT, *directory.present(), TOKEN, DESCRIPTIONS):
            directory.withdraw(name)
        contents = directory.read()
        return contents, judge(self._target, contents, self._clock.now())

    def _supply(self) -> tuple[SubjectToken | None, SupplyError | None]:
        """Give a token to be checked, or what failed."""
        try:
            return self._supplies.supply(self._target, self.token, self._clock.now()), None
        except SupplyError as error:
            return None, error

    def _publish(
        self, directory: OpenDirectory, token: SubjectToken, contents: Contents, present: Judgement
    ) -> SupplyError | None:
        """Publish a supplied token if it is worth it; give why the supplier is to blame if it is not."""
        try:
            if not is_worth_publishing(self._target, token, present, self._clock.now(), force=self._force):
                return self._leave_unchanged(present)
        except SupplyError as error:
            return error
        if _is_foreign(present):
            self.settling.settle_documents(directory, contents)
        self.settling.settle_descriptions(directory, contents, token)
        directory.publish(TOKEN, token.value.encode())
        self.token, self.result = token, Result.PUBLISHED
        return None

    def _changed_hands(self) -> PublishError:
        self.token = None
        return PublishError(
            f"target {self._target.name}: another process gave its directory to another identity meanwhile",
            "let the daemon and `refresher once` read the same configuration",
        )

    def _leave_unchanged(self, present: Judgement) -> SupplyError | None:
        self.result = Result.UNCHANGED
        if present.is_usable:
            return None
        return SupplyError(
            f"target {self._target.name}: the supplier hands out the same token again, and it is {present.state}",
            "find out why it is not renewed at its source",
            retryable=True,
        )


def _is_foreign(present: Judgement) -> bool:
    return not present.is_ours and present.state is not State.ABSENT
