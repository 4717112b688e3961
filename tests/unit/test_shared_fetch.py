from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event, Lock

import pytest

from refresher.errors import RefresherError, SupplyError
from refresher.shared_fetch import SharedFetch

CALLERS = 8


class Stage:
    """Callers that come together, the first of which fetches when all are there."""

    def __init__(self, failure: RefresherError | None) -> None:
        self.failure = failure
        self.fetched = 0
        self._joined: SharedFetch[str] = SharedFetch()
        self._start = Barrier(CALLERS)
        self._here = 0
        self._all_here = Event()
        self._lock = Lock()

    def ask_together(self) -> list[str]:
        """Return what each caller got."""
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
def test_callers_that_waited_share_the_result(failure: RefresherError | None, got: str) -> None:
    """A caller that waited for another's fetch does not fetch, even if the value would not serve it."""
    stage = Stage(failure)

    answers = stage.ask_together()

    assert answers == [got] * CALLERS
    assert stage.fetched < CALLERS  # one, and perhaps who was held up before it could wait


def test_permanent_failure_is_not_shared() -> None:
    """A permanent failure is not shared: each caller asks."""
    stage = Stage(SupplyError("refused", "mend it"))

    stage.ask_together()

    assert stage.fetched == CALLERS


@pytest.mark.parametrize("failure", [SupplyError("nobody answers", "wait", retryable=True), ZeroDivisionError("a bug")])
def test_later_caller_asks_again_after_a_failure(failure: Exception) -> None:
    """A caller that came after a failure, or after a bug, asks again."""
    joined: SharedFetch[str] = SharedFetch()

    def fail(_held: str | None) -> str:
        raise failure

    with pytest.raises(type(failure)):
        joined.get(serves=bool, fetch=fail)

    assert joined.get(serves=bool, fetch=lambda _: "value") == "value"
    assert joined.get(serves=bool, fetch=fail) == "value"
