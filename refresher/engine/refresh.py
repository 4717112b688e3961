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
    is_of_another_identity,
    is_worth_publishing,
    judge,
)
from refresher.errors import PublishError, RefresherError, SupplyError, TransientSupplyError
from refresher.policy import State
from refresher.publishing import descriptions
from refresher.publishing.contents import CREDENTIALS, DESCRIPTIONS, ENVIRONMENT, TOKEN, Contents, describe
from refresher.publishing.directory import is_in_place
from refresher.publishing.further import BOTO

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from refresher.clock import Clock
    from refresher.engine.sharing import SharedSupplies
    from refresher.engine.target import Target
    from refresher.publishing.descriptions import Description
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
    """Refreshes targets; safe to use from several threads as long as each directory is in one pair of hands."""

    def __init__(self, *, supplies: SharedSupplies, clock: Clock) -> None:
        self._supplies = supplies
        self._clock = clock

    def refresh(self, target: Target, *, force: bool = False, first: bool = False) -> Outcome:
        """Bring one target's directory to what the configuration says, with a token that is fresh.

        1. Open the directory and read it; at the first visit sweep what a killed daemon left.
        2. If it was another identity's, withdraw `env`, further artifacts and `token`.
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
        visit = _Visit(target, self._supplies, self._clock, force=force, first=first)
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
            repaired=tuple(visit.repaired),
            error=error,
            duration=self._clock.monotonic() - started,
            signature=signature,
        )


class _Visit:
    """The state of one refresh while it goes on."""

    def __init__(self, target: Target, supplies: SharedSupplies, clock: Clock, *, force: bool, first: bool) -> None:
        self._target = target
        self._supplies = supplies
        self._clock = clock
        self._force = force
        self._first = first
        self.result = Result.KEPT
        self.token: SubjectToken | None = None
        self.repaired: list[str] = []
        self._wrote = False

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
        if is_of_another_identity(self._target, contents, present):
            contents, present = self._take_over(directory)  # 2
        self.token = present.token if present.is_ours else None
        if not _is_foreign(present):  # 3
            self._settle_documents(directory, contents)
        return contents, present

    def _finish(self, directory: OpenDirectory, contents: Contents) -> None:
        """Put everything right beside a token of ours, and prove at the first visit that writing works."""
        if self.token is not None:  # 5
            if self.result is not Result.PUBLISHED:
                self._settle(directory, TOKEN, contents)
                self._settle_descriptions(directory, contents, self.token)
            self._settle(directory, ENVIRONMENT, contents)
        if self._first and not self._wrote:
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
            self._settle_documents(directory, contents)
        self._settle_descriptions(directory, contents, token)
        directory.publish(TOKEN, token.value.encode())
        self.token, self.result, self._wrote = token, Result.PUBLISHED, True
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
        return TransientSupplyError(
            f"target {self._target.name}: the supplier hands out the same token again, and it is {present.state}",
            "find out why it is not renewed at its source",
        )

    def _settle(self, directory: OpenDirectory, name: str, contents: Contents) -> None:
        """Write an artifact unless it is in place with its owner and mode."""
        artifact, wanted = {
            CREDENTIALS: lambda: (contents.credentials, self._target.credentials),
            ENVIRONMENT: lambda: (contents.environment, self._target.environment),
            TOKEN: lambda: (contents.token, contents.token.content or b""),
        }[name]()
        if is_in_place(artifact, wanted, directory.ownership):
            return
        directory.publish(name, wanted)
        self._wrote = True
        if artifact.signature is not None or artifact.problem is not None:
            self.repaired.append(name)

    def _settle_documents(self, directory: OpenDirectory, contents: Contents) -> None:
        self._settle(directory, CREDENTIALS, contents)
        wanted = self._target.boto
        if wanted is not None and not is_in_place(directory.read_further(BOTO), wanted, directory.ownership):
            directory.publish(BOTO, wanted)
            self._wrote = True

    def _settle_descriptions(self, directory: OpenDirectory, contents: Contents, token: SubjectToken) -> None:
        """Keep `artifacts.json` where something is described in it: a token that does not tell all, minted artifacts.

        What else is there is withdrawn with what describes it.
        """
        described = self._describe(token)
        if not self._is_described_otherwise(contents, described) and not self._unwanted(directory):
            return
        for name in self._unwanted(directory):
            directory.withdraw(name)
        entries = descriptions.parse(contents.descriptions.content)
        kept = {name: entries[name] for name in self._minted if name in entries} | described
        if kept:
            directory.publish(DESCRIPTIONS, descriptions.render(kept))
        else:
            directory.withdraw(DESCRIPTIONS)

    def _is_described_otherwise(self, contents: Contents, described: Mapping[str, Description]) -> bool:
        """Tell whether `artifacts.json` is to be written or withdrawn; who mints adds entries himself."""
        artifact = contents.descriptions
        if artifact.signature is None and artifact.problem is None:
            return bool(described)
        entries = descriptions.parse(artifact.content)
        return (
            not is_in_place(artifact, descriptions.render(entries), self._target.directory.ownership)
            or not entries
            or {name: entry for name, entry in entries.items() if name not in self._minted} != described
        )

    def _describe(self, token: SubjectToken) -> dict[str, Description]:
        """Give the entry of a token that cannot tell its own life, or whom it was supplied for."""
        request = self._target.token_request
        if request is None and token.unverified_claims is not None:
            return {}
        return {TOKEN: describe(token, request)}

    @property
    def _minted(self) -> tuple[str, ...]:
        return tuple(artifact.name for artifact in self._target.minted)

    def _unwanted(self, directory: OpenDirectory) -> list[str]:
        wanted = {*self._minted, *([] if self._target.boto is None else [BOTO])}
        return [name for name in directory.present() if name not in wanted]


def _is_foreign(present: Judgement) -> bool:
    return not present.is_ours and present.state is not State.ABSENT
