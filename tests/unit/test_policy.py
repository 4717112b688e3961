from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from refresher import policy
from refresher.policy import State
from tests.tokens import NOW

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("lifetime", "expected"),
    [
        pytest.param(timedelta(hours=12), timedelta(minutes=6), id="long"),
        pytest.param(timedelta(minutes=18), timedelta(minutes=6), id="where-the-rules-meet"),
        pytest.param(timedelta(minutes=9), timedelta(minutes=3), id="short"),
        pytest.param(timedelta(seconds=15), timedelta(seconds=5), id="very-short"),
    ],
)
def test_minimum_validity(lifetime: timedelta, expected: timedelta) -> None:
    """The minimum validity is a third of the lifetime, at most six minutes."""
    assert policy.minimum_validity(lifetime) == expected


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        pytest.param(timedelta(0), State.FRESH, id="new"),
        pytest.param(timedelta(minutes=23), State.FRESH, id="before-any-spread"),
        pytest.param(timedelta(minutes=30), State.DUE, id="half-life"),
        pytest.param(timedelta(minutes=53, seconds=59), State.DUE, id="just-above-minimum"),
        pytest.param(timedelta(minutes=54), State.OVERDUE, id="at-minimum"),
        pytest.param(timedelta(minutes=60), State.EXPIRED, id="at-its-end"),
        pytest.param(timedelta(seconds=-29), State.FRESH, id="clocks-a-little-apart"),
        pytest.param(timedelta(seconds=-31), State.DUE, id="from-the-future"),
    ],
)
def test_states_over_a_life(age: timedelta, expected: State) -> None:
    """A token is fresh, due, overdue and expired in turn, and due at once if it was issued in the future."""
    assert policy.compute_state("alice", NOW, NOW + HOUR, NOW + age) is expected


def test_spread_is_the_same_every_time_and_differs_between_names() -> None:
    """A target's spread never changes, and the targets of a fleet are not due at the same time."""
    spreads = {policy.spread(f"target-{number}", HOUR) for number in range(100)}

    assert policy.spread("alice", HOUR) == policy.spread("alice", HOUR)
    assert len(spreads) == 100
    assert max(spreads) - min(spreads) > timedelta(minutes=4)


def test_backoff_grows_and_is_capped() -> None:
    """Delays double from a second to a minute for transient failures."""
    delays = [
        policy.retry_at(NOW, failures=failures, retryable=True, life=None, draw=1.0) - NOW for failures in range(1, 10)
    ]

    assert delays[:4] == [timedelta(seconds=seconds) for seconds in (1, 2, 4, 8)]
    assert delays[-1] == timedelta(minutes=1)


def test_permanent_failures_are_retried_slowly() -> None:
    """A permanent failure is tried again after half a minute at first, and after five minutes at most."""
    first = policy.retry_at(NOW, failures=1, retryable=False, life=None, draw=1.0)
    last = policy.retry_at(NOW, failures=99, retryable=False, life=None, draw=1.0)

    assert (first - NOW, last - NOW) == (timedelta(seconds=30), timedelta(minutes=5))


@pytest.mark.parametrize(
    ("age", "longest"),
    [
        pytest.param(timedelta(minutes=53, seconds=50), timedelta(seconds=10), id="until overdue"),
        pytest.param(timedelta(minutes=57), timedelta(minutes=1), id="overdue"),
        pytest.param(timedelta(minutes=59, seconds=30), timedelta(seconds=10), id="thirty seconds left"),
        pytest.param(timedelta(minutes=59, seconds=59), timedelta(seconds=1), id="one second left"),
        pytest.param(timedelta(minutes=61), timedelta(minutes=5), id="expired"),
    ],
)
def test_wait_is_bounded_by_what_is_left_to_lose(age: timedelta, longest: timedelta) -> None:
    """After any number of failures, the next attempt comes in time to replace the token in the file."""
    attempt = policy.retry_at(NOW + age, failures=99, retryable=False, life=(NOW, NOW + HOUR), draw=1.0)

    assert attempt - (NOW + age) == longest


@pytest.mark.parametrize(
    ("remaining", "expected"),
    [
        pytest.param(timedelta(hours=1), timedelta(seconds=30), id="long"),
        pytest.param(timedelta(seconds=100), timedelta(seconds=5), id="short"),
        pytest.param(timedelta(seconds=-5), timedelta(seconds=1), id="over"),
    ],
)
def test_unchanged_tokens_are_asked_for_again(remaining: timedelta, expected: timedelta) -> None:
    """A supplier that returned the same token is asked again soon, and sooner near the expiry."""
    assert policy.poll_at(NOW, NOW + remaining) - NOW == expected


@pytest.mark.parametrize("draw", [0.0, 0.5, 0.999])
@pytest.mark.parametrize("life", [None, (NOW - HOUR / 2, NOW + HOUR / 2), (NOW - HOUR, NOW + timedelta(seconds=20))])
def test_moment_that_a_server_names_is_kept(life: tuple[datetime, datetime] | None, draw: float) -> None:
    """No attempt is earlier than the server asked for, whatever is left to lose; a fleet's are spread after it."""
    wait = timedelta(seconds=30)

    moment = policy.retry_at(NOW, failures=3, retryable=True, life=life, draw=draw, retry_after=wait)

    assert NOW + wait <= moment <= NOW + wait + timedelta(seconds=4)
