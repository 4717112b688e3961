"""One further artifact of one target: read, judge, mint, publish. Apart from the token file, which never waits for it.

Minting asks Google and may take long, so it is done with the directory closed; before publishing everything is looked
at again, since the directory may have changed hands meanwhile. When to call it is `refresher.engine.artifact_agenda`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from refresher.engine.judgement import judge, judge_artifact
from refresher.engine.refresh import Result
from refresher.errors import RefresherError
from refresher.policy import State
from refresher.publishing import descriptions
from refresher.publishing.contents import DESCRIPTIONS
from refresher.publishing.directory import is_in_place

if TYPE_CHECKING:
    from datetime import datetime

    from refresher.clock import Clock
    from refresher.engine.minting import Mint, MintedToken
    from refresher.engine.target import MintedArtifact, Target
    from refresher.publishing.descriptions import Description
    from refresher.publishing.directory import OpenDirectory
    from refresher.tokens import SubjectToken


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactOutcome:
    """What one attempt did.

    Attributes:
        result: Published, kept as it was, failed; or unchanged because there is no subject token to mint it with.
        issued_at: Of what the file holds now; None if it holds nothing of ours.
        expires_at: Likewise.
        error: Why it failed.
        duration: In seconds.
    """

    result: Result
    issued_at: datetime | None
    expires_at: datetime | None
    error: RefresherError | None
    duration: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What a directory holds of an artifact, and what there is to mint it with."""

    state: State
    description: Description | None
    is_in_place: bool
    subject_token: SubjectToken | None


class ArtifactRefresher:
    """Brings further artifacts up to date; safe to use from several threads."""

    def __init__(self, *, mint: Mint, clock: Clock) -> None:
        self._mint = mint
        self._clock = clock

    def refresh(self, target: Target, artifact: MintedArtifact, *, force: bool = False) -> ArtifactOutcome:
        """Bring one artifact of a target to what the configuration says, fresh.

        1. Look. A fresh one in place is kept; without a subject token of ours there is nothing to mint it with.
        2. Mint, with the directory closed.
        3. Look again, and publish with its description if the directory is still this identity's and complete.
        """
        started = self._clock.monotonic()
        result, description, error = Result.UNCHANGED, None, None
        try:
            look = self._look(target, artifact)  # 1
            description = look.description
            if look.state is State.FRESH and look.is_in_place and not force:
                result = Result.KEPT
            elif look.subject_token is not None:
                minted = self._mint.mint(target, artifact, look.subject_token, self._clock.now())  # 2
                description = self._publish(target, artifact, minted)  # 3
                result = Result.PUBLISHED if description is not None else Result.UNCHANGED
        except RefresherError as failure:
            result, error = Result.FAILED, failure
        return ArtifactOutcome(
            result=result,
            issued_at=None if description is None else description.issued_at,
            expires_at=None if description is None else description.expires_at,
            error=error,
            duration=self._clock.monotonic() - started,
        )

    def _look(self, target: Target, artifact: MintedArtifact) -> _Look:
        contents = target.directory.read()
        file = target.directory.read_further(artifact.name)
        now = self._clock.now()
        judgement = judge(target, contents, now)
        described = descriptions.parse(contents.descriptions.content).get(artifact.name)
        state = judge_artifact(target, artifact, file, described, now)
        is_ours = described is not None and state not in (State.ABSENT, State.UNREADABLE, State.FOREIGN)
        serves = judgement.is_ours and judgement.state is not State.EXPIRED
        return _Look(
            state=state,
            description=described if is_ours else None,
            is_in_place=is_in_place(file, file.content or b"", target.directory.ownership),
            subject_token=judgement.token if serves else None,
        )

    def _publish(self, target: Target, artifact: MintedArtifact, minted: MintedToken) -> Description | None:
        """Publish unless the directory changed hands. A description that lags behind only means due."""
        with target.directory.open() as directory, directory.held():
            if not self._is_still_ours(target, directory):
                return None
            entries = descriptions.parse(directory.read().descriptions.content)
            described = descriptions.describe(
                minted.content, minted.issued_at, minted.expires_at, artifact.fingerprint(target)
            )
            directory.publish(artifact.name, minted.content)
            directory.publish(DESCRIPTIONS, descriptions.render({**entries, artifact.name: described}))
            return described

    def _is_still_ours(self, target: Target, directory: OpenDirectory) -> bool:
        contents = directory.read()
        return (
            judge(target, contents, self._clock.now()).is_ours
            and contents.credentials.content == target.credentials
            and contents.environment.content == target.environment
        )
