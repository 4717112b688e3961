"""Properties of the contract's timing rules, for every lifetime and name."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from refresher import policy
from refresher.policy import State
from tests.tokens import NOW

LIVES = st.timedeltas(min_value=timedelta(seconds=2), max_value=timedelta(hours=24))
NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9_.]{0,61}[a-z0-9])?", fullmatch=True)
ORDER = [State.FRESH, State.DUE, State.OVERDUE, State.EXPIRED]


@given(name=NAMES, life=LIVES)
def test_due_comes_before_overdue_before_expiry(name: str, life: timedelta) -> None:
    """Every token is due strictly before it is overdue, and overdue strictly before it expires."""
    due, overdue = policy.due_at(name, NOW, NOW + life), policy.overdue_at(NOW, NOW + life)

    assert NOW < due < overdue < NOW + life


@given(name=NAMES, life=LIVES)
def test_spread_stays_within_a_tenth(name: str, life: timedelta) -> None:
    """The spread is at most a tenth of the lifetime."""
    assert timedelta(0) <= policy.spread(name, life) <= life / 10


@given(name=NAMES, life=LIVES, ages=st.lists(st.floats(min_value=0, max_value=1.5), min_size=2, max_size=9))
def test_states_never_go_back(name: str, life: timedelta, ages: list[float]) -> None:
    """As time passes, a token's state only moves from fresh towards expired."""
    states = [policy.compute_state(name, NOW, NOW + life, NOW + life * age) for age in sorted(ages)]

    assert states == sorted(states, key=ORDER.index)


@given(
    failures=st.integers(min_value=1, max_value=10_000),
    retryable=st.booleans(),
    left=st.none() | st.timedeltas(min_value=timedelta(hours=-1), max_value=timedelta(hours=2)),
    draw=st.floats(min_value=0, max_value=1, exclude_max=True),
)
def test_backoff_is_bounded(failures: int, retryable: bool, left: timedelta | None, draw: float) -> None:  # noqa: FBT001 - drawn by hypothesis
    """The next attempt is in the future, within the cap, and not after the overdue point."""
    life = None if left is None else (NOW + left - timedelta(hours=1), NOW + left)

    attempt = policy.retry_at(NOW, failures=failures, retryable=retryable, life=life, draw=draw)

    assert NOW < attempt <= NOW + timedelta(minutes=5)
    if life is not None and policy.overdue_at(*life) > NOW:
        assert attempt <= policy.overdue_at(*life)
