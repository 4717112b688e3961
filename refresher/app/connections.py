"""The connections of a configuration: one pool for all calls that it needs, created when it is first used."""

from __future__ import annotations

from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar
from urllib.request import getproxies_environment

from refresher.files import read_state

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from refresher.config.loader import LoadedConfiguration
    from refresher.google.call import Response, Transport
    from refresher.google.transport import Limits

T = TypeVar("T")


class Connections:
    """Creates transports; called, it returns the one that all share.

    Args:
        ca_file: Certificates that it trusts in addition to the system's; None for the system's alone.
        limits: How long a call may take; None for the usual limits.
    """

    def __init__(self, *, ca_file: Path | None, limits: Limits | None = None) -> None:
        self._limits = limits
        self._shared = Once(partial(self._create, ca_file, "google.ca_file"))

    def __call__(self) -> Transport:
        """Return the shared transport.

        Raises:
            ConfigurationError: `google.ca_file` or the proxy of the environment can't be used.
        """
        return self._shared.get()

    def trusting(self, ca_file: Path, ca_key: str) -> Transport:
        """Return a transport of its own, which alone trusts the certificates in a file.

        Args:
            ca_file: Certificates, trusted as they are at each call.
            ca_key: The key of the configuration that names the file.
        """
        return CurrentTrust(ca_file, partial(self._create, ca_file, ca_key))

    def _create(self, ca_file: Path | None, ca_key: str) -> Transport:
        from refresher.google.transport import PooledTransport

        return PooledTransport(ca_file=ca_file, ca_key=ca_key, limits=self._limits, proxies=getproxies_environment())


class CurrentTrust:
    """A transport that is created again when its file of certificates changes; safe to use from several threads.

    An authority that is replaced is announced in the file before it signs anything, and a daemon outlives it.

    Args:
        ca_file: The file.
        create: Creates a transport from what the file holds.
    """

    def __init__(self, ca_file: Path, create: Callable[[], Transport]) -> None:
        self._ca_file = ca_file
        self._create = create
        self._created: tuple[object, Transport] | None = None
        self._lock = Lock()

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Response:
        """Make one call as the transport does.

        Raises:
            ConfigurationError: The file can't be used.
            TransportError: As the transport does.
        """
        with self._lock:
            state = read_state(self._ca_file)
            if self._created is None or self._created[0] != state:
                self._created = state, self._create()
            transport = self._created[1]
        return transport.request(method, url, headers=headers, body=body)


class Once(Generic[T]):
    """Something that is created at the first call, by one thread at a time; a failure is tried again."""

    def __init__(self, create: Callable[[], T]) -> None:
        self._create = create
        self._created: T | None = None
        self._lock = Lock()

    def get(self) -> T:
        """Return it, created now or before."""
        with self._lock:
            if self._created is None:
                self._created = self._create()
            return self._created


def open_connections(loaded: LoadedConfiguration) -> Connections:
    """Return the connections of a configuration; none is opened yet."""
    return Connections(ca_file=loaded.configuration.google.ca_file)
