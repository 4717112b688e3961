"""Targets without a pool: the access token leads the directory, minted with the worker's own credentials."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from refresher.engine.minter import Minter
from refresher.engine.outcome import Outcome, Result
from refresher.engine.plan import MintedArtifact, Target
from refresher.engine.refresh import Refresher
from refresher.errors import ImpersonationError, RefresherError, SupplyError
from refresher.observe.health import examine
from refresher.policy import State
from refresher.publishing.artifacts import RECORD
from tests.fakes import FakeChain, FakeClock, FakeSupplier

MakeTarget = Callable[..., Target]
ID = MintedArtifact(name="id_tokens/api", options={"audience": "https://api", "include_email": True})


class Engine:
    """A refresher and a minter of one plan, with a fake supplier and a fake chain."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.chain = FakeChain(clock)
        self._refresher = Refresher(suppliers={"worker": FakeSupplier()}, chain=lambda: self.chain, clock=clock)
        self._minter = Minter(chain=lambda: self.chain, clock=clock)

    def refresh(self, target: Target, *, force: bool = False) -> Outcome:
        """Refresh what leads a target's directory."""
        return self._refresher.refresh(target, force=force, first=True)

    def mint(self, target: Target) -> Outcome:
        """Refresh a target's ID token."""
        return self._minter.refresh(target, ID)


@pytest.fixture
def engine(clock: FakeClock) -> Engine:
    """Return an engine."""
    return Engine(clock)


@pytest.fixture
def alice(target_of: MakeTarget) -> Target:
    """Return a target without a pool."""
    return target_of(has_pool=False)


def list_files(target: Target) -> set[str]:
    """Return the names of all files in a target's directory, apart from the record."""
    place = target.directory.path
    return {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()} - {RECORD}


def read(target: Target, name: str = "access_token") -> str:
    """Return the content of a file."""
    return (target.directory.path / name).read_text()


def test_access_token_is_published_with_what_describes_it(engine: Engine, alice: Target) -> None:
    """The directory holds the access token, its description, which states that it leads, and `env`; nothing else."""
    outcome = engine.refresh(alice)

    assert outcome.result is Result.PUBLISHED
    assert list_files(alice) == {"access_token", "artifacts.json", "env"}
    assert json.loads(read(alice, "artifacts.json"))["access_token"]["leads"] is True
    assert read(alice).startswith("ya29.alice@p.iam.gserviceaccount.com")
    assert (examine(alice, engine.clock.now()).state, examine(alice, engine.clock.now()).problem) == (State.FRESH, None)


def test_access_token_is_kept_while_fresh_and_replaced_at_half_its_life(engine: Engine, alice: Target) -> None:
    """It is renewed as a subject token would be."""
    engine.refresh(alice)
    first = read(alice)

    kept = engine.refresh(alice)
    engine.clock.pass_(timedelta(minutes=31))
    replaced = engine.refresh(alice)

    assert (kept.result, replaced.result) == (Result.KEPT, Result.PUBLISHED)
    assert read(alice) != first


@pytest.mark.parametrize("refusal", [ImpersonationError("refused", "grant"), SupplyError("no metadata", "attach")])
def test_nothing_is_published_while_google_refuses(engine: Engine, alice: Target, refusal: RefresherError) -> None:
    """Neither the access token nor `env` appears, and the failure is that of the call."""
    engine.chain.refusal = refusal

    outcome = engine.refresh(alice)

    assert outcome.error is refusal
    assert list_files(alice) == set()


def test_failure_leaves_the_present_access_token(engine: Engine, alice: Target) -> None:
    """A due access token stays while it cannot be renewed."""
    engine.refresh(alice)
    before = read(alice)
    engine.clock.pass_(timedelta(minutes=40))
    engine.chain.refusal = ImpersonationError("refused", "grant")

    outcome = engine.refresh(alice)

    assert outcome.error is engine.chain.refusal
    assert outcome.life is not None
    assert read(alice) == before


@pytest.mark.parametrize(
    "change", [{"scopes": ("https://www.googleapis.com/auth/bigquery",)}, {"delegates": ("d@x.y",)}]
)
def test_access_token_of_other_settings_is_superseded(
    engine: Engine, alice: Target, change: dict[str, tuple[str, ...]]
) -> None:
    """A change of scopes, delegates or lifetime takes nothing away until the new token is there."""
    engine.refresh(alice)
    other = replace(alice, impersonation=replace(alice.impersonation, **change))  # type: ignore[arg-type]  # names of fields
    before = read(alice)
    assert examine(other, engine.clock.now()).state is State.FOREIGN

    engine.chain.refusal = ImpersonationError("refused", "grant")
    engine.refresh(other)
    during = read(alice)
    engine.chain.refusal = None
    outcome = engine.refresh(other)

    assert during == before
    assert outcome.result is Result.PUBLISHED
    assert read(alice) != before


@pytest.mark.parametrize("name", ["access_token", "artifacts.json", "env"])
def test_file_that_is_removed_comes_back(engine: Engine, alice: Target, name: str) -> None:
    """Each file of the directory is put right at the next visit; without its description a token counts as unknown."""
    engine.refresh(alice)
    (alice.directory.path / name).unlink()

    outcome = engine.refresh(alice)

    assert outcome.error is None
    assert list_files(alice) == {"access_token", "artifacts.json", "env"}
    assert examine(alice, engine.clock.now()).problem is None


def test_targets_of_one_identity_share_an_access_token(engine: Engine, target_of: MakeTarget) -> None:
    """What one target was given serves its sibling; another account gets its own."""
    first, second = (target_of(name, identity="alice", has_pool=False) for name in ("one", "two"))
    bob = target_of("bob", account="bob@p.iam.gserviceaccount.com", has_pool=False)

    for target in (first, second, bob):
        engine.refresh(target)

    assert engine.chain.minted == 2
    assert read(first) == read(second) != read(bob)


@pytest.mark.parametrize("to_pool", [True, False], ids=["to a pool", "to no pool"])
def test_change_of_via_withdraws_everything_first(engine: Engine, target_of: MakeTarget, to_pool: bool) -> None:  # noqa: FBT001 - a case
    """The identity's files go, then those of the other kind come, in the same directory."""
    former, present = target_of(has_pool=not to_pool), target_of(has_pool=to_pool)
    engine.refresh(former)
    inode = former.directory.path.stat().st_ino
    engine.chain.refusal = None if to_pool else ImpersonationError("refused", "grant")

    outcome = engine.refresh(present)
    if not to_pool:
        assert list_files(present) == set()
        engine.chain.refusal = None
        outcome = engine.refresh(present)

    with_pool, without = {"token", "credentials.json", "env"}, {"access_token", "artifacts.json", "env"}
    assert outcome.result is Result.PUBLISHED
    assert list_files(present) == (with_pool if to_pool else without)
    assert present.directory.path.stat().st_ino == inode


def test_id_token_waits_for_the_access_token(engine: Engine, target_of: MakeTarget) -> None:
    """An ID token is minted with the worker's credentials, once the directory is this target's and complete."""
    target = target_of(has_pool=False, minted=(ID,))

    early = engine.mint(target)
    engine.refresh(target)
    done = engine.mint(target)
    engine.refresh(target)

    assert (early.result, done.result) == (Result.WAITING, Result.PUBLISHED)
    assert list_files(target) == {"access_token", "artifacts.json", "env", "id_tokens/api"}
    described = json.loads(read(target, "artifacts.json"))
    assert {name for name, entry in described.items() if entry.get("leads")} == {"access_token"}
    assert set(described) == {"access_token", "id_tokens/api"}


def test_former_files_of_a_pool_are_not_left_behind(engine: Engine, alice: Target) -> None:
    """A stray token or ADC document in the directory is withdrawn."""
    engine.refresh(alice)
    for name in ("token", "credentials.json"):
        Path(alice.directory.path / name).write_text("x")

    engine.refresh(alice)

    assert list_files(alice) == {"access_token", "artifacts.json", "env"}


def test_clock_that_is_ahead_is_named_when_a_new_token_has_expired_by_it(engine: Engine, alice: Target) -> None:
    """A token that was minted just now can't have expired: the clock of this machine is wrong, not the source."""
    engine.chain.lead = timedelta(minutes=70)

    outcome = engine.refresh(alice)

    assert outcome.error is not None
    assert "by this machine's clock, which is ahead of Google's" in outcome.error.problem
    assert outcome.error.remedy.startswith("set this machine's clock")
    assert outcome.error.entry == "clock-ahead"
    assert list_files(alice) == set()


def test_token_counts_no_longer_than_was_asked_for_when_the_clock_is_behind(engine: Engine, alice: Target) -> None:
    """By a clock that is 70 minutes behind, a token of an hour seems to live 130, and is replaced in time."""
    engine.chain.lead = -timedelta(minutes=70)

    outcome = engine.refresh(alice)

    assert outcome.life is not None
    assert outcome.life.expires_at == engine.clock.now() + timedelta(hours=1)
