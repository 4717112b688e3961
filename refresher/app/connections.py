"""The connections of a configuration: one pool for everything that it makes us call, made when it is first wanted."""

from __future__ import annotations

from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from refresher.config.loading import LoadedConfiguration
    from refresher.google.transport import Limits, Transport

T = TypeVar("T")


class Connections:
    """Gives transports; called, the one that all share.

    Args:
        ca_file: Certificates that it trusts beside the system's; None for the system's alone.
        limits: How long a call may take; None for the usual ones.
    """

    def __init__(self, *, ca_file: Path | None, limits: Limits | None = None) -> None:
        self._limits = limits
        self._shared = Once(partial(self.trusting, ca_file))

    def __call__(self) -> Transport:
        """Give the shared transport.

        Raises:
            ConfigurationError: `google.ca_file` cannot be used.
        """
        return self._shared.get()

    def trusting(self, ca_file: Path | None) -> Transport:
        """Give a transport of its own, for whom these certificates are to be trusted and for nobody else.

        Raises:
            ConfigurationError: `ca_file` cannot be used.
        """
        from refresher.google.transport import PooledTransport

        return PooledTransport(ca_file=ca_file, limits=self._limits)


class Once(Generic[T]):
    """Something that is made at the first call, by one thread at a time; a failure is tried again."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: T | None = None
        self._lock = Lock()

    def get(self) -> T:
        """Give it, made now or before."""
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made


def connections_of(loaded: LoadedConfiguration) -> Connections:
    """Give the connections of a configuration; none is made yet."""
    return Connections(ca_file=loaded.configuration.google.ca_file)
