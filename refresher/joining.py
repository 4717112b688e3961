"""One call for all who want the same at a time: one makes it, the others take what came of it.

Without that, those who wait for somebody who does not answer would ask one after another, and each would wait in vain
for all before it and then by itself.
"""

from __future__ import annotations

from threading import Condition
from typing import TYPE_CHECKING, Generic, TypeVar

from refresher.errors import RefresherError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Joined(Generic[T]):
    """The last value, and one caller at a time who fetches the next; safe to use from several threads."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._is_fetching = False
        self._attempts = 0
        self._held: T | None = None
        self._is_new = False
        self._failure: RefresherError | None = None

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
        with self._changed:
            while self._held is None or not serves(self._held):
                if not self._is_fetching:
                    self._is_fetching = True
                    break
                self._wait()
                if self._failure is not None:
                    # a copy: each thread's exception gathers a traceback of its own
                    raise self._failure.copy()
                if self._is_new and self._held is not None:
                    return self._held
            else:
                return self._held
        return self._fetch(fetch)

    def _wait(self) -> None:
        attempts = self._attempts
        self._changed.wait_for(lambda: self._attempts != attempts)

    def _fetch(self, fetch: Callable[[T | None], T]) -> T:
        held, is_new, failure = self._held, False, None
        try:
            held, is_new = fetch(held), True
        except RefresherError as error:
            failure = error if error.retryable else None
            raise
        finally:
            with self._changed:
                self._held, self._is_new, self._failure = held, is_new, failure
                self._is_fetching = False
                self._attempts += 1
                self._changed.notify_all()
        return held
