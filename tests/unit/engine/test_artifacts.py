from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, get_args

import pytest

from refresher.config.document import read_document
from refresher.config.models import ArtifactSettings
from refresher.engine.artifacts import MINTED, STATIC, TargetFacts, build_static, name_variables
from refresher.engine.minter import LEAST_LIFE, Minter
from refresher.engine.outcome import Outcome, Result
from refresher.engine.plan import MintedArtifact
from refresher.engine.refresh import Refresher
from refresher.errors import ImpersonationError
from refresher.publishing.artifacts import ARTIFACTS, Artifact, Origin
from refresher.tokens import MAXIMUM_SIZE
from tests.fakes import FakeChain, FakeClock, FakeSupplier
from tests.tokens import make_jwt

if TYPE_CHECKING:
    from collections.abc import Callable

    from refresher.engine.plan import Target
    from refresher.settings.places import Problem

    MakeTarget = Callable[..., Target]

ACCESS = MintedArtifact(name="access_token")
ID = MintedArtifact(name="id_tokens/api", options={"audience": "https://api", "include_email": True})
REFUSAL = ImpersonationError("refused", "grant the role")


class Stage:
    """A worker's engine with a fake supplier and a fake chain."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.chain = FakeChain(clock)
        self.supplier = FakeSupplier()
        self.tokens = Refresher(suppliers={"worker": self.supplier}, chain=lambda: self.chain, clock=clock)
        self.artifacts = Minter(chain=lambda: self.chain, clock=clock)

    def settle(self, target: Target) -> None:
        """Publish the token and its documents."""
        assert self.tokens.refresh(target, first=True).error is None

    def refresh(self, target: Target, artifact: MintedArtifact = ACCESS) -> Outcome:
        """Refresh an artifact."""
        return self.artifacts.refresh(target, artifact)


@pytest.fixture
def stage(clock: FakeClock) -> Stage:
    """Return an engine."""
    return Stage(clock)


@pytest.fixture
def alice(target_of: MakeTarget) -> Target:
    """Return a target with an access token and an ID token."""
    return target_of(minted=(ACCESS, ID))


def content(target: Target, name: str) -> str | None:
    """Return the content of a file; None if it is absent."""
    path = target.directory.path / name
    return path.read_text() if path.exists() else None


def test_published_and_kept_while_fresh(stage: Stage, alice: Target) -> None:
    """An artifact is published with its description, stays while it is fresh, and is replaced when due."""
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


@pytest.mark.parametrize("mode", [0o000, 0o644])
def test_drift_of_an_artifacts_mode_is_repaired_without_minting(stage: Stage, alice: Target, mode: int) -> None:
    """A fresh artifact whose mode has changed is published again as it is, whether or not Google would mint another."""
    stage.settle(alice)
    stage.refresh(alice)
    path = alice.directory.path / "access_token"
    before = path.read_bytes()
    path.chmod(mode)
    stage.chain.refusal = REFUSAL

    outcome = stage.refresh(alice)

    assert (outcome.result, outcome.error, outcome.repaired) == (Result.KEPT, None, ("access_token",))
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (before, alice.directory.ownership.mode)


def test_drift_of_the_descriptions_mode_is_reported(stage: Stage, alice: Target) -> None:
    """What describes minted artifacts is repaired like every file, and named."""
    stage.settle(alice)
    stage.refresh(alice)
    (alice.directory.path / "artifacts.json").chmod(0o644)

    outcome = stage.tokens.refresh(alice)

    assert outcome.repaired == ("artifacts.json",)


def test_nothing_is_minted_without_a_token(stage: Stage, alice: Target) -> None:
    """Before the token file exists, Google is not called and nothing is written."""
    outcome = stage.refresh(alice)

    assert outcome.result is Result.WAITING
    assert stage.chain.exchanged == []
    assert not alice.directory.path.exists()


def test_failure_leaves_everything(stage: Stage, alice: Target) -> None:
    """A refused artifact changes no file, and the failure shows how long the present one lasts."""
    stage.settle(alice)
    stage.refresh(alice)
    stage.clock.pass_(timedelta(minutes=40))
    stage.settle(alice)
    before = {path.name: path.read_bytes() for path in alice.directory.path.rglob("*") if path.is_file()}
    stage.chain.refusal = REFUSAL

    outcome = stage.refresh(alice)

    assert outcome.error is REFUSAL
    assert outcome.life is not None
    assert {path.name: path.read_bytes() for path in alice.directory.path.rglob("*") if path.is_file()} == before


def test_directory_changes_hands_while_google_is_asked(stage: Stage, alice: Target, target_of: MakeTarget) -> None:
    """An artifact that was minted for alice is not published once the directory is bob's."""
    bob = target_of(identity="bob", subject="user-2", account="bob@p.iam.gserviceaccount.com", minted=(ACCESS,))
    stage.settle(alice)
    stage.chain.meanwhile = lambda: stage.settle(bob)

    outcome = stage.refresh(alice)

    assert outcome.result is Result.WAITING
    assert content(alice, "access_token") is None
    stage.chain.meanwhile = bool
    assert stage.refresh(bob).result is Result.PUBLISHED
    assert (content(bob, "access_token") or "").startswith("ya29.bob@")


def test_minted_artifact_that_could_not_be_read_back_is_refused(stage: Stage, target_of: MakeTarget) -> None:
    """An access token that is larger than what may be read back is not published."""
    alice = target_of(account="a" * MAXIMUM_SIZE, minted=(ACCESS,))
    stage.settle(alice)

    outcome = stage.refresh(alice)

    assert isinstance(outcome.error, ImpersonationError)
    assert content(alice, "access_token") is None


def test_target_is_retired_while_google_is_asked(stage: Stage, alice: Target) -> None:
    """Nothing is published into a directory whose `env` was withdrawn."""
    stage.settle(alice)
    stage.chain.meanwhile = (alice.directory.path / "env").unlink

    assert stage.refresh(alice).result is Result.WAITING
    assert content(alice, "access_token") is None


def test_taken_over_directory_loses_its_artifacts(stage: Stage, alice: Target, target_of: MakeTarget) -> None:
    """A takeover withdraws every optional artifact with the token, and their descriptions."""
    stage.settle(alice)
    stage.refresh(alice)
    stage.refresh(alice, ID)
    bob = target_of(identity="bob", subject="user-2", account="bob@p.iam.gserviceaccount.com")

    stage.settle(bob)

    assert content(bob, "access_token") is None
    assert content(bob, "id_tokens/api") is None
    assert content(bob, "artifacts.json") is None


def test_other_request_is_minted_anew(stage: Stage, alice: Target, target_of: MakeTarget) -> None:
    """A changed audience replaces a fresh ID token."""
    stage.settle(alice)
    stage.refresh(alice, ID)
    other = MintedArtifact(name=ID.name, options={"audience": "https://other", "include_email": True})

    changed = target_of(minted=(ACCESS, other))

    assert stage.refresh(changed, other).result is Result.PUBLISHED


def test_one_exchange_serves_until_it_is_nearly_over(stage: Stage, alice: Target) -> None:
    """Artifacts of an identity share a federated token until shortly before it expires."""
    stage.chain.lifetime = timedelta(minutes=5)
    stage.settle(alice)
    first, second = stage.refresh(alice), stage.refresh(alice, ID)
    assert (first.has_exchanged, second.has_exchanged) == (True, False)
    assert len(stage.chain.exchanged) == 1

    (alice.directory.path / "access_token").unlink()
    stage.clock.pass_(timedelta(minutes=5) - LEAST_LIFE + timedelta(seconds=1))
    stage.refresh(alice)

    assert len(stage.chain.exchanged) == 2


def test_other_subject_makes_an_exchange_of_its_own(stage: Stage, target_of: MakeTarget) -> None:
    """A federated token is never used for the artifacts of a subject token with another subject."""
    alice = target_of(subject=None, minted=(ACCESS, ID))

    for subject, artifact in (("user-1", ACCESS), ("user-2", ID)):
        stage.supplier.fixed = make_jwt(subject=subject)
        stage.tokens.refresh(alice, force=True, first=True)
        assert stage.refresh(alice, artifact).result is Result.PUBLISHED

    # so that a refusal's remedy has the principal
    assert stage.chain.exchanged == ["user-1", "user-2"]
    assert [way.subject for way in stage.chain.ways] == ["user-1", "user-2"]


def test_rubbish_for_an_id_token_is_refused(stage: Stage, alice: Target) -> None:
    """Something that is not a JWT is not published as an ID token."""
    stage.settle(alice)
    stage.chain.id_token_answer = "rubbish"

    outcome = stage.refresh(alice, ID)

    assert isinstance(outcome.error, ImpersonationError)
    assert content(alice, "id_tokens/api") is None


def test_table_builders_and_configuration_name_the_same_artifacts() -> None:
    """Every static row has a builder, every minted row is minted, every optional row is a key of the configuration."""
    by_origin = {origin: {row.name for row in ARTIFACTS if row.origin == origin} for origin in get_args(Origin)}

    assert STATIC.keys() == by_origin["static"]
    assert MINTED.keys() == by_origin["minted"]
    assert set(ArtifactSettings.model_fields) == {row.name for row in ARTIFACTS if row.is_optional}
    assert all(row.variable for row in ARTIFACTS if row.is_optional)
    assert [row.name for row in ARTIFACTS if not row.is_optional] == [
        ".target",
        "credentials.json",
        "artifacts.json",
        "token",
        "env",
    ]
    optional = [row.is_optional for row in ARTIFACTS]
    assert not any(optional[: optional.index(True)])
    assert all(optional[optional.index(True) : -1]), "optional artifacts come after the token and before env"


@pytest.mark.parametrize("row", [row for row in ARTIFACTS if row.is_optional], ids=lambda row: row.name)
def test_optional_artifact_is_asked_for_by_true_or_a_map(row: Artifact) -> None:
    """In YAML a file is asked for by `true`, and the files of a folder by a map of names."""
    problems: list[Problem] = []
    written = f"{row.name}: {'{}' if row.is_folder else 'true'}".encode()

    found = ArtifactSettings.read(read_document(written, "file").root, problems)

    assert problems == []
    assert getattr(found, row.name) == ({} if row.is_folder else True)


def test_optional_static_artifacts_have_their_content() -> None:
    """Each artifact of constant text has exactly this content, and no static artifact is missing from the table."""
    facts = TargetFacts({"type": "external_account"}, {"A": "b"}, "/c")
    expected = {
        "boto": b"[Credentials]\ngs_external_account_file = /c/credentials.json\n",
    }

    assert expected.keys() == {row.name for row in ARTIFACTS if row.origin == "static" and row.is_optional}
    for name, content in expected.items():
        assert build_static([name], facts)[name] == content


def test_variables_name_each_optional_artifact() -> None:
    """Each optional artifact has its own variable, and so has each file of a folder."""
    assert name_variables(["access_token", "id_tokens/api.v1", "boto"]) == {
        "REFRESHER_ACCESS_TOKEN_FILE": "access_token",
        "REFRESHER_ID_TOKEN_FILE_API_V1": "id_tokens/api.v1",
        "BOTO_CONFIG": "boto",
    }


def test_static_artifacts_come_in_the_order_of_writing() -> None:
    """Only the configured artifacts are built, `env` last."""
    facts = TargetFacts({"type": "external_account"}, {"A": "b"}, "/c")

    assert list(build_static([], facts)) == ["credentials.json", "env"]
    assert list(build_static(["boto"], facts)) == ["credentials.json", "boto", "env"]


def test_unwanted_optional_artifacts_are_withdrawn(stage: Stage, alice: Target, target_of: MakeTarget) -> None:
    """An artifact that is no longer configured is withdrawn, with its description and its folder; the others stay."""
    stage.settle(alice)
    stage.refresh(alice)
    stage.refresh(alice, ID)

    stage.settle(target_of(minted=(ACCESS,)))

    assert content(alice, "access_token") is not None
    assert not (alice.directory.path / "id_tokens").exists()
    assert set(json.loads(content(alice, "artifacts.json") or "")) == {"access_token"}


def test_wanted_static_artifact_is_published_before_env(stage: Stage, target_of: MakeTarget) -> None:
    """A configured boto file exists before `env`, and is withdrawn when it is no longer configured."""
    target = target_of(boto=True)

    stage.settle(target)
    published = content(target, "boto")
    stage.settle(target_of())

    assert "gs_external_account_file" in (published or "")
    assert content(target, "boto") is None
