"""One fetch for all callers that need the same at a time: one of them fetches, the others take the result.

Otherwise callers of a server that does not answer would ask one after another, and each would wait for all before it.
"""

from collections.abc import Callable
from threading import Condition
from typing import Generic, TypeVar

from refresher.errors import RefresherError

T = TypeVar("T")

_changed = Condition()
"""One for all: there are thousands of fetches, and at any time a few that anyone waits for."""


class SharedFetch(Generic[T]):
    """The last value, and one caller at a time that fetches the next; safe to use from several threads."""

    __slots__ = ("_attempts", "_failure", "_held", "_is_fetching", "_is_new")

    def __init__(self) -> None:
        self._is_fetching = False
        self._attempts = 0
        self._held: T | None = None
        self._is_new = False
        self._failure: RefresherError | None = None

    def get(self, *, serves: Callable[[T], bool], fetch: Callable[[T | None], T]) -> T:
        """Return the held value if it serves, else one that was fetched while this caller waited, else another.

        `fetch` is called with the held value, one call at a time. A failure is shared only if it is retryable: what is
        refused is refused at once, and may have been asked for in another way.

        Raises:
            RefresherError: As `fetch` raised it, for this caller or for the one that it waited for.
        """
        with _changed:
            while self._held is None or not serves(self._held):
                if not self._is_fetching:
                    self._is_fetching = True
                    break
                attempts = self._attempts
                while self._attempts == attempts:
                    _changed.wait()
                if self._failure is not None:
                    # a copy: each thread's exception collects a traceback of its own
                    raise self._failure.copy()
                if self._is_new and self._held is not None:
                    return self._held
            else:
                return self._held
        return self._fetch(fetch)

    def _fetch(self, fetch: Callable[[T | None], T]) -> T:
        held, is_new, failure = self._held, False, None
        try:
            held, is_new = fetch(held), True
        except RefresherError as error:
            failure = error if error.retryable else None
            raise
        finally:
            with _changed:
                self._held, self._is_new, self._failure = held, is_new, failure
                self._is_fetching = False
                self._attempts += 1
                _changed.notify_all()
        return held
