from collections.abc import Callable
from datetime import timedelta

import pytest

from refresher.metadata.answers import Response
from refresher.metadata.id_tokens import MOST_AUDIENCES, IdTokens
from refresher.metadata.plan import IdToken, Obtained
from tests.fakes import FakeClock


class Stage:
    """The ID tokens of one endpoint; a test decides when each call ends."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.asked: list[str] = []
        self.changes = 0
        self._pending: list[Callable[[Obtained], None]] = []
        self.tokens = IdTokens(self._order, self.clock, lambda work: work(), self._note)

    def find(self, audience: str = "api") -> tuple[int, bytes] | None:
        """Return status and body of the response; None if it has to be waited for."""
        found = self.tokens.find(audience)
        assert found is None or isinstance(found, Response)
        return None if found is None else (found.status, found.body)

    def deliver(self, value: str, life: timedelta = timedelta(hours=1)) -> None:
        """End the oldest call with a token."""
        now = self.clock.now()
        self._pending.pop(0)(IdToken(value=value, issued_at=now, expires_at=now + life))

    def fail(self, problem: str) -> None:
        """End the oldest call without one."""
        self._pending.pop(0)(problem)

    def _order(self, audience: str, done: Callable[[Obtained], None]) -> None:
        self.asked.append(audience)
        self._pending.append(done)

    def _note(self) -> None:
        self.changes += 1


@pytest.fixture
def stage() -> Stage:
    """Return an endpoint that was asked for nothing."""
    return Stage()


def test_token_is_obtained_once_and_kept_for_half_of_its_life(stage: Stage) -> None:
    """All that ask share a call; after half of its life another one is obtained, and the present one serves on."""
    assert [stage.find(), stage.find()] == [None, None]
    stage.deliver("first")
    assert (stage.find(), stage.asked, stage.changes) == ((200, b"first"), ["api"], 1)

    stage.clock.pass_(timedelta(minutes=31))

    assert (stage.find(), stage.find(), len(stage.asked)) == ((200, b"first"), (200, b"first"), 2)
    stage.deliver("second")
    assert stage.find() == (200, b"second")


def test_expired_token_is_waited_for(stage: Stage) -> None:
    """A token is served until it expires and no longer."""
    stage.find()
    stage.deliver("first")

    stage.clock.pass_(timedelta(hours=1))

    assert stage.find() is None


def test_failure_is_shown_and_tried_again_later(stage: Stage) -> None:
    """The pause doubles with each failure, and a success ends it."""
    stage.find()
    stage.fail("generateIdToken was refused")
    refusal = (503, b"the ID token is not available yet: generateIdToken was refused\n")
    assert (stage.find(), len(stage.asked)) == (refusal, 1)

    stage.clock.pass_(timedelta(seconds=1))
    assert (stage.find(), len(stage.asked)) == (None, 2)
    stage.fail("generateIdToken was refused")
    stage.clock.pass_(timedelta(seconds=1))
    assert (stage.find(), len(stage.asked)) == (refusal, 2)
    stage.clock.pass_(timedelta(seconds=1))
    assert stage.find() is None
    stage.deliver("first")

    assert stage.find() == (200, b"first")


def test_failure_leaves_the_present_token(stage: Stage) -> None:
    """Google may be away for half of a token's life without a failed call."""
    stage.find()
    stage.deliver("first")
    stage.clock.pass_(timedelta(minutes=31))
    stage.find()

    stage.fail("no answer")

    assert stage.find() == (200, b"first")


def test_calls_of_one_target_are_few_at_a_time(stage: Stage) -> None:
    """A container that asks for many audiences at once takes few of the daemon's threads."""
    found = [stage.find(f"audience-{number}") for number in range(6)]

    refusal = (503, b"the ID token is not available yet: ID tokens are asked for too often here\n")
    assert found == [None] * 4 + [refusal] * 2
    stage.deliver("first")
    assert stage.find("audience-5") is None


def test_calls_of_one_target_have_a_rate(stage: Stage) -> None:
    """After a burst one call in two seconds is left, so that the quota of all targets is not spent."""
    for number in range(40):
        if stage.find(f"audience-{number}") is None:
            stage.deliver("token")
    assert len(stage.asked) == 32

    stage.clock.pass_(timedelta(seconds=2))
    for number in range(40, 45):
        stage.find(f"audience-{number}")

    assert len(stage.asked) == 33


def test_least_recently_asked_audience_is_forgotten(stage: Stage) -> None:
    """Only so many audiences are remembered, and the ones in use stay."""
    stage.find("kept")
    stage.deliver("kept")
    for number in range(MOST_AUDIENCES + 3):
        stage.clock.pass_(timedelta(seconds=2))
        if stage.find(f"audience-{number}") is None:
            stage.deliver("other")
        assert stage.find("kept") == (200, b"kept")
    calls = len(stage.asked)
    stage.clock.pass_(timedelta(seconds=2))

    assert stage.find("audience-0") is None
    assert len(stage.asked) == calls + 1
