"""The connections of a configuration: one pool for everything that it makes us call, made when it is first wanted."""

from __future__ import annotations

import os
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from refresher.config.loading import LoadedConfiguration
    from refresher.google.transport import Limits, Response, Transport

T = TypeVar("T")


class Connections:
    """Gives transports; called, the one that all share.

    Args:
        ca_file: Certificates that it trusts beside the system's; None for the system's alone.
        limits: How long a call may take; None for the usual ones.
    """

    def __init__(self, *, ca_file: Path | None, limits: Limits | None = None) -> None:
        self._limits = limits
        self._shared = Once(partial(self._made, ca_file, "google.ca_file"))

    def __call__(self) -> Transport:
        """Give the shared transport.

        Raises:
            ConfigurationError: `google.ca_file` or the proxy of the environment cannot be used.
        """
        return self._shared.get()

    def trusting(self, ca_file: Path, ca_key: str) -> Transport:
        """Give a transport of its own, for whom the certificates in a file are to be trusted and for nobody else.

        Args:
            ca_file: Certificates, trusted as they are at each call.
            ca_key: Of the configuration, which names the file.
        """
        return CurrentTrust(ca_file, partial(self._made, ca_file, ca_key))

    def _made(self, ca_file: Path | None, ca_key: str) -> Transport:
        from refresher.google.proxy import proxy_of
        from refresher.google.transport import PooledTransport

        return PooledTransport(ca_file=ca_file, ca_key=ca_key, limits=self._limits, proxy=proxy_of(os.environ))


class CurrentTrust:
    """A transport that is made anew when the file changes that says whom to trust; safe to use from several threads.

    An authority that is replaced is announced in the file before it signs anything, and a daemon outlives it.

    Args:
        ca_file: The file.
        make: Makes a transport by what the file holds.
    """

    def __init__(self, ca_file: Path, make: Callable[[], Transport]) -> None:
        self._ca_file = ca_file
        self._make = make
        self._made: tuple[object, Transport] | None = None
        self._lock = Lock()

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Response:
        """Make one call as the transport does.

        Raises:
            ConfigurationError: The file cannot be used.
            TransportError: As the transport does.
        """
        return self._current().request(method, url, headers=headers, body=body)

    def _current(self) -> Transport:
        with self._lock:
            state = _state_of(self._ca_file)
            if self._made is None or self._made[0] != state:
                self._made = state, self._make()
            return self._made[1]


def _state_of(path: Path) -> tuple[int, int, int] | None:
    """Give what differs when a file is another; None if it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


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
