from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event, Lock

import pytest

from refresher.errors import RefresherError, SupplyError
from refresher.shared_fetch import SharedFetch

CALLERS = 8


class Stage:
    """Callers who come together, the first of whom fetches when all are there."""

    def __init__(self, failure: RefresherError | None) -> None:
        self.failure = failure
        self.fetched = 0
        self._joined: SharedFetch[str] = SharedFetch()
        self._start = Barrier(CALLERS)
        self._here = 0
        self._all_here = Event()
        self._lock = Lock()

    def ask_together(self) -> list[str]:
        """Give what each caller got."""
        with ThreadPoolExecutor(CALLERS) as pool:
            return [future.result() for future in [pool.submit(self._ask) for _ in range(CALLERS)]]

    def _ask(self) -> str:
        self._start.wait(10)
        with self._lock:
            self._here += 1
            if self._here == CALLERS:
                self._all_here.set()
        try:
            return self._joined.get(serves=lambda _: False, fetch=self._fetch)
        except RefresherError as error:
            return f"{type(error).__name__}: {error}"

    def _fetch(self, _held: str | None) -> str:
        assert self._all_here.wait(10)
        self.fetched += 1
        if self.failure is not None:
            raise self.failure
        return "value"


@pytest.mark.parametrize(
    ("failure", "got"),
    [
        (None, "value"),
        (SupplyError("nobody answers", "wait", retryable=True), "SupplyError: nobody answers — wait"),
    ],
    ids=["value", "failure"],
)
def test_callers_who_waited_take_what_came_of_it(failure: RefresherError | None, got: str) -> None:
    """Whoever waited for another's fetch does not fetch by itself, even if what came would not serve it, or nothing."""
    stage = Stage(failure)

    answers = stage.ask_together()

    assert answers == [got] * CALLERS
    assert stage.fetched < CALLERS  # one, and perhaps who was held up before it could wait


def test_refusal_is_nobody_elses() -> None:
    """A lasting failure is the caller's own: each asks."""
    stage = Stage(SupplyError("refused", "mend it"))

    stage.ask_together()

    assert stage.fetched == CALLERS


@pytest.mark.parametrize("failure", [SupplyError("nobody answers", "wait", retryable=True), ZeroDivisionError("a bug")])
def test_later_caller_asks_again_after_a_failure(failure: Exception) -> None:
    """Who came after a failure, or after a bug, asks anew."""
    joined: SharedFetch[str] = SharedFetch()

    def fail(_held: str | None) -> str:
        raise failure

    with pytest.raises(type(failure)):
        joined.get(serves=bool, fetch=fail)

    assert joined.get(serves=bool, fetch=lambda _: "value") == "value"
    assert joined.get(serves=bool, fetch=fail) == "value"
