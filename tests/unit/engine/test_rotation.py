from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refresher.engine.plan import KeyTrial
from refresher.engine.reporter import Reporter
from refresher.engine.rotation import ACCEPTANCES, Rotation
from refresher.errors import ExchangeError, KeysError
from tests.fakes import build_refusal

if TYPE_CHECKING:
    from datetime import datetime

    from refresher.engine.events import Event
    from tests.fakes import FakeClock

SPACING = timedelta(seconds=60)


@dataclass
class FakeKey:
    """A key that is accepted unless a test sets something else."""

    kid: str = "next"
    refusal: Exception | None = None
    obstacle: Exception | None = None
    proofs: int = 0
    activated_at: list[datetime] = field(default_factory=list)

    def prove(self, now: datetime) -> None:
        """Accept or refuse the key."""
        self.proofs += 1
        if self.refusal is not None:
            raise self.refusal

    def activate(self, now: datetime) -> None:
        """Start to sign."""
        if self.obstacle is not None:
            raise self.obstacle
        self.activated_at.append(now)

    def trial(self) -> KeyTrial:
        """Return the trial of this key."""
        return KeyTrial(
            directory=Path("/keys"), kid=self.kid, spacing=SPACING, prove=self.prove, activate=self.activate
        )


class Stage:
    """A rotation with its events."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.events: list[Event] = []
        self.rotation = Rotation(reporter=Reporter(self.events.append), clock=clock)

    def run(self, *, seconds: int) -> None:
        """Run one tick a second for this time."""
        for _ in range(seconds):
            for attempt in self.rotation.take_due(self.clock.now()):
                attempt()
            self.clock.pass_(timedelta(seconds=1))

    def names(self) -> list[str]:
        """Return the names of the events."""
        return [event.name for event in self.events]


@pytest.fixture
def stage(clock: FakeClock) -> Stage:
    """Return a rotation without trials."""
    return Stage(clock)


def test_key_is_activated_after_several_acceptances(stage: Stage) -> None:
    """One acceptance does not activate a key; the last of several in a row, each some time after the other, does."""
    key = FakeKey()
    stage.rotation.adopt([key.trial()])

    stage.run(seconds=int(SPACING.total_seconds()) * (ACCEPTANCES - 1))
    assert not key.activated_at
    stage.run(seconds=1)

    assert key.proofs == ACCEPTANCES
    assert len(key.activated_at) == 1
    assert stage.names() == ["keys.rotated"]


def test_late_upload_is_waited_for(stage: Stage) -> None:
    """A key that is refused for an hour is tried again, reported once, and activated some minutes after its upload."""
    key = FakeKey(refusal=build_refusal(ExchangeError, "refused", "upload it"))
    stage.rotation.adopt([key.trial()])

    stage.run(seconds=3600)
    assert stage.names() == ["exchange.refused"]
    assert key.proofs == 60
    key.refusal = None
    stage.run(seconds=240)

    assert key.activated_at
    assert stage.names() == ["exchange.refused", "keys.rotated"]


def test_one_refusal_begins_the_count_anew(stage: Stage) -> None:
    """Only acceptances in a row count, because Google's servers learn of an upload one after the other."""
    key = FakeKey()
    stage.rotation.adopt([key.trial()])
    stage.run(seconds=120)
    key.refusal = ExchangeError("refused", "wait")
    stage.run(seconds=60)
    key.refusal = None
    stage.run(seconds=120)

    assert not key.activated_at
    stage.run(seconds=60)
    assert key.activated_at


def test_keys_directory_that_cannot_be_written_is_said(stage: Stage) -> None:
    """A key that is accepted but cannot be activated is reported once, as no refusal of Google's, and tried again."""
    key = FakeKey(obstacle=KeysError("cannot be written", "refresher keys activate"))
    stage.rotation.adopt([key.trial()])

    stage.run(seconds=1200)

    assert stage.names() == ["daemon.fault"]
    assert stage.events[0].fields["remedy"] == "refresher keys activate"


def test_bug_in_a_trial_is_told_and_survived(stage: Stage) -> None:
    """An unexpected exception is reported by its type only, and the trial goes on."""
    key = FakeKey(refusal=ZeroDivisionError("eyJsecret"))
    stage.rotation.adopt([key.trial()])
    stage.run(seconds=120)
    key.refusal = None
    stage.run(seconds=200)

    assert key.activated_at
    assert "ZeroDivisionError" in str(stage.events[0].fields["error"])
    assert "eyJsecret" not in str(stage.events[0].fields)


def test_new_plan_keeps_what_was_accepted(stage: Stage) -> None:
    """A reload during a trial restarts nothing; a key that no longer waits is dropped."""
    key = FakeKey()
    stage.rotation.adopt([key.trial()])
    stage.run(seconds=100)
    stage.rotation.adopt([key.trial()])
    stage.run(seconds=21)
    stage.rotation.adopt([])
    stage.run(seconds=600)

    assert key.proofs == ACCEPTANCES
    assert len(key.activated_at) == 1
