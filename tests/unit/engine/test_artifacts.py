from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from refresher.engine.artifact_agenda import ArtifactAgenda
from refresher.engine.artifacts import ArtifactOutcome, ArtifactRefresher
from refresher.engine.minting import LEAST_LIFE, Mint
from refresher.engine.refresh import Refresher, Result
from refresher.engine.sharing import SharedSupplies
from refresher.engine.target import AccessTokenRequest, IdTokenRequest, MintedArtifact
from refresher.errors import ImpersonationError
from refresher.tokens import peek
from tests.fakes import FakeChain, FakeClock, FakeSupplier
from tests.tokens import make_jwt

if TYPE_CHECKING:
    from collections.abc import Callable

    from refresher.engine.target import Target

    MakeTarget = Callable[..., Target]

ACCESS = MintedArtifact(name="access_token", request=AccessTokenRequest())
ID = MintedArtifact(name="id_tokens/api", request=IdTokenRequest(audience="https://api", include_email=True))
REFUSAL = ImpersonationError("refused", "grant the role")


class Stage:
    """A worker's engine on a fake supplier and a fake chain."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.chain = FakeChain(clock)
        self.tokens = Refresher(supplies=SharedSupplies({"worker": FakeSupplier()}), clock=clock)
        self.artifacts = ArtifactRefresher(mint=Mint(lambda: self.chain), clock=clock)

    def settle(self, target: Target) -> None:
        """Publish the token, and what belongs to it."""
        assert self.tokens.refresh(target, first=True).error is None

    def refresh(self, target: Target, artifact: MintedArtifact = ACCESS) -> ArtifactOutcome:
        """Bring an artifact up to date."""
        return self.artifacts.refresh(target, artifact)


@pytest.fixture
def stage(clock: FakeClock) -> Stage:
    """Give an engine."""
    return Stage(clock)


@pytest.fixture
def alice(target_of: MakeTarget) -> Target:
    """Give a target with an access token and an ID token."""
    return target_of(minted=(ACCESS, ID))


def content(target: Target, name: str) -> str | None:
    """Give the content of a file; None if it is absent."""
    path = target.directory.path / name
    return path.read_text() if path.exists() else None


def test_published_and_kept_while_fresh(stage: Stage, alice: Target) -> None:
    """An artifact is published with its description, kept while fresh, and replaced when due."""
    stage.settle(alice)

    first, second = stage.refresh(alice), stage.refresh(alice)
    before = content(alice, "access_token")
    stage.clock.pass_(timedelta(minutes=31))
    stage.settle(alice)
    third = stage.refresh(alice)

    assert (first.result, second.result, third.result) == (Result.PUBLISHED, Result.KEPT, Result.PUBLISHED)
    assert content(alice, "access_token") != before
    described = json.loads(content(alice, "artifacts.json") or "")["access_token"]
    assert described["expires_at"] == "2026-01-01T01:31:00Z"


def test_nothing_is_minted_without_a_token(stage: Stage, alice: Target) -> None:
    """Before the token file is there, Google is not asked and nothing is written."""
    outcome = stage.refresh(alice)

    assert outcome.result is Result.UNCHANGED
    assert stage.chain.exchanged == []
    assert not alice.directory.path.exists()


def test_failure_leaves_everything(stage: Stage, alice: Target) -> None:
    """A refused artifact changes no file, and tells how long the present one lasts."""
    stage.settle(alice)
    stage.refresh(alice)
    stage.clock.pass_(timedelta(minutes=40))
    stage.settle(alice)
    before = {path.name: path.read_bytes() for path in alice.directory.path.rglob("*") if path.is_file()}
    stage.chain.refusal = REFUSAL

    outcome = stage.refresh(alice)

    assert outcome.error is REFUSAL
    assert outcome.expires_at is not None
    assert {path.name: path.read_bytes() for path in alice.directory.path.rglob("*") if path.is_file()} == before


def test_directory_changes_hands_while_google_is_asked(stage: Stage, alice: Target, target_of: MakeTarget) -> None:
    """What was minted for alice is not published once the directory has become bob's."""
    bob = target_of("bob", subject="user-2", account="bob@p.iam.gserviceaccount.com", path="alice", minted=(ACCESS,))
    stage.settle(alice)
    stage.chain.meanwhile = lambda: stage.settle(bob)

    outcome = stage.refresh(alice)

    assert outcome.result is Result.UNCHANGED
    assert content(alice, "access_token") is None
    stage.chain.meanwhile = bool
    assert stage.refresh(bob).result is Result.PUBLISHED
    assert (content(bob, "access_token") or "").startswith("ya29.bob@")


def test_target_is_retired_while_google_is_asked(stage: Stage, alice: Target) -> None:
    """Nothing is published into a directory whose `env` was taken away."""
    stage.settle(alice)
    stage.chain.meanwhile = (alice.directory.path / "env").unlink

    assert stage.refresh(alice).result is Result.UNCHANGED
    assert content(alice, "access_token") is None


def test_taken_over_directory_loses_its_artifacts(stage: Stage, alice: Target, target_of: MakeTarget) -> None:
    """A hand-over withdraws every further artifact with the token, and their descriptions."""
    stage.settle(alice)
    stage.refresh(alice)
    stage.refresh(alice, ID)
    bob = target_of("bob", subject="user-2", account="bob@p.iam.gserviceaccount.com", path="alice")

    stage.settle(bob)

    assert content(bob, "access_token") is None
    assert content(bob, "id_tokens/api") is None
    assert content(bob, "artifacts.json") is None


def test_other_request_is_minted_anew(stage: Stage, alice: Target, target_of: MakeTarget) -> None:
    """A changed audience replaces a fresh ID token."""
    stage.settle(alice)
    stage.refresh(alice, ID)
    other = MintedArtifact(name=ID.name, request=IdTokenRequest(audience="https://other", include_email=True))

    changed = target_of(minted=(ACCESS, other))

    assert stage.refresh(changed, other).result is Result.PUBLISHED


def test_one_exchange_serves_until_it_is_nearly_over(stage: Stage, alice: Target) -> None:
    """Artifacts of an identity share a federated token while it has life left, and no longer."""
    stage.chain.lifetime = timedelta(minutes=5)
    stage.settle(alice)
    stage.refresh(alice)
    stage.refresh(alice, ID)
    assert len(stage.chain.exchanged) == 1

    (alice.directory.path / "access_token").unlink()
    stage.clock.pass_(timedelta(minutes=5) - LEAST_LIFE + timedelta(seconds=1))
    stage.refresh(alice)

    assert len(stage.chain.exchanged) == 2


def test_other_subject_makes_an_exchange_of_its_own(stage: Stage, alice: Target) -> None:
    """A federated token is never used for the artifacts of a subject token that speaks for somebody else."""
    mint, now = Mint(lambda: stage.chain), stage.clock.now()

    for subject in ("user-1", "user-2", "user-1"):
        mint.mint(alice, ACCESS, peek(make_jwt(subject=subject)), now)

    assert len(stage.chain.exchanged) == 2


def test_rubbish_for_an_id_token_is_refused(stage: Stage, alice: Target) -> None:
    """What is no JWT is not published as an ID token."""
    stage.settle(alice)
    stage.chain.id_token_answer = "rubbish"

    outcome = stage.refresh(alice, ID)

    assert isinstance(outcome.error, ImpersonationError)
    assert content(alice, "id_tokens/api") is None


def test_each_artifact_has_its_own_schedule(stage: Stage, alice: Target) -> None:
    """One artifact's failure moves only its own next moment; the other is due at half its life."""
    agenda = ArtifactAgenda()
    agenda.adopt({"alice": alice}, new_suppliers=False)
    stage.settle(alice)
    now = stage.clock.now()
    assert agenda.take_due(now, lambda _: False) == []

    access, identity = agenda.take_due(now, lambda _: True)
    assert agenda.take_due(now, lambda _: True) == []
    agenda.settle(access, stage.refresh(alice), now, 0.5)
    stage.chain.refusal = REFUSAL
    agenda.settle(identity, stage.refresh(alice, ID), now, 0.5)

    assert access.next_at is not None
    assert identity.next_at is not None
    assert timedelta(minutes=24) <= access.next_at - now <= timedelta(minutes=30)
    assert identity.next_at - now <= timedelta(minutes=5)
    agenda.look_again(alice)
    assert agenda.take_due(now, lambda _: True) == [access]


def test_new_plan_keeps_moments_and_new_suppliers_retry(stage: Stage, alice: Target) -> None:
    """An equal target keeps its moment over a reload; what failed is tried at once when suppliers are others."""
    agenda = ArtifactAgenda()
    agenda.adopt({"alice": alice}, new_suppliers=False)
    stage.settle(alice)
    stage.chain.refusal = REFUSAL
    now = stage.clock.now()
    for entry in agenda.take_due(now, lambda _: True):
        agenda.settle(entry, stage.refresh(alice, entry.artifact), now, 0.5)

    agenda.adopt({"alice": alice}, new_suppliers=False)
    assert agenda.take_due(now, lambda _: True) == []
    agenda.adopt({"alice": alice}, new_suppliers=True)
    assert len(agenda.take_due(now, lambda _: True)) == 2
