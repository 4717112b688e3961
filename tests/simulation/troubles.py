"""What is broken, since when and for whom, so that the product is blamed only for what it could have done."""

from collections.abc import Iterable

from tests.simulation.scheduler import SCHEDULER

ALL = ""
"""The scope of what concerns every target."""


class Troubles:
    """The troubles of one run by scope: all targets, the host of a supplier, or the name of a target."""

    def __init__(self) -> None:
        self._ends: dict[str, float] = {}
        self._healthy: dict[str, float] = {}
        self._open: dict[str, int] = {}

    def note(self, scope: str, *, lasts: float = 0.0, recovery: float = 5.0) -> None:
        """Note a trouble that begins now; after its end there are so many seconds to recover from it."""
        end = SCHEDULER.now + lasts
        self._ends[scope] = max(self._ends.get(scope, 0.0), end)
        self._healthy[scope] = max(self._healthy.get(scope, 0.0), end + recovery)

    def begin(self, scope: str) -> None:
        """Note a trouble whose end is not known yet."""
        self._open[scope] = self._open.get(scope, 0) + 1

    def end(self, scope: str, *, recovery: float = 5.0) -> None:
        """Note the end of what `begin` began."""
        self._open[scope] -= 1
        self.note(scope, recovery=recovery)

    def find_end(self, scopes: Iterable[str]) -> float:
        """Return the end of the last trouble of these scopes, and of all."""
        found = 0.0
        for scope in (ALL, *scopes):
            if self._open.get(scope):
                return float("inf")
            found = max(found, self._ends.get(scope, 0.0))
        return found

    def find_any_end(self) -> float:
        """Return the end of the last trouble of any scope."""
        return float("inf") if any(self._open.values()) else max(self._ends.values(), default=0.0)

    def find_health(self, scopes: Iterable[str]) -> float:
        """Return from when on nothing excuses what is wrong with these scopes."""
        found = 0.0
        for scope in (ALL, *scopes):
            if self._open.get(scope):
                return float("inf")
            found = max(found, self._healthy.get(scope, 0.0))
        return found
