"""One call for all who want the same at a time: one makes it, the others take what came of it.

Without that, those who wait for somebody who does not answer would ask one after another, and each would wait in vain
for all before it and then by itself.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

from refresher.errors import RefresherError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Joined(Generic[T]):
    """The last value, and the lock that lets one caller at a time fetch the next; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._held: T | None = None
        self._failure: RefresherError | None = None
        self._attempts = 0

    def get(self, *, serves: Callable[[T], bool], fetch: Callable[[T | None], T]) -> T:
        """Give the held value if it serves, else what somebody fetched while this caller waited, else another.

        A failure is shared only if it may pass by itself: what is refused is refused at once, and may have been asked
        with something else.

        Args:
            serves: Tells whether a held value will do.
            fetch: Gives another, called with the held one; one call at a time.

        Raises:
            RefresherError: As `fetch` raised it, for this caller or for the one that it waited for.
        """
        before = self._attempts
        with self._lock:
            if self._held is not None and serves(self._held):
                return self._held
            if self._attempts != before:
                if self._failure is not None and self._failure.retryable:
                    # a copy: each thread's exception gathers a traceback of its own
                    raise type(self._failure)(self._failure.problem, self._failure.remedy)
                if self._failure is None and self._held is not None:
                    return self._held
            return self._fetch(fetch)

    def _fetch(self, fetch: Callable[[T | None], T]) -> T:
        self._failure = None
        try:
            held = self._held = fetch(self._held)
        except RefresherError as error:
            self._failure = error
            raise
        finally:
            self._attempts += 1
        return held
