"""From the configuration to suppliers and the connections that they use, each created when it is first needed.

A supplier that can't be built (a key is missing, credentials do not load) is a failure of supply: its targets keep what
they have, and it is tried again. One pool of connections serves all calls of a configuration.
"""

import os
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

from refresher.app.targets import build_endpoints
from refresher.config.loader import LoadedConfiguration
from refresher.errors import RefresherError, SupplyError
from refresher.files import read_state
from refresher.resources import Endpoints
from refresher.suppliers.interface import Supplier, SupplierContext, Workshop
from refresher.tokens import SubjectToken

if TYPE_CHECKING:
    from refresher.google.call import Response, Transport
    from refresher.google.transport import Limits

T = TypeVar("T")


def read_proxies() -> dict[str, str]:
    """Return the proxies of the environment by scheme; without any, what reads them is not loaded (0.4 MiB)."""
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return {}
    from urllib.request import getproxies_environment

    return getproxies_environment()


class CurrentTrust:
    """A transport that is created again when its file of certificates changes; safe to use from several threads.

    An authority that is replaced is announced in the file before it signs anything, and a daemon outlives it.
    """

    def __init__(self, ca_file: Path, create: Callable[[], "Transport"]) -> None:
        self._ca_file = ca_file
        self._current = Once(create)

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> "Response":
        """Make one call as the transport does; a file that can't be used raises a `ConfigurationError`."""
        transport = self._current.get(read_state(self._ca_file))
        return transport.request(method, url, headers=headers, body=body)


class Once(Generic[T]):
    """Something that is created at the first call, by one thread at a time; a failure is tried again."""

    def __init__(self, create: Callable[[], T]) -> None:
        self._create = create
        self._created: tuple[object, T] | None = None
        self._lock = Lock()

    def get(self, state: object = None) -> T:
        """Return it, created now or before; created again if this state of its source is not the one of before."""
        with self._lock:
            if self._created is None or self._created[0] != state:
                self._created = state, self._create()
            return self._created[1]


def open_workshop(loaded: LoadedConfiguration | None, *, limits: "Limits | None" = None) -> Workshop:
    """Return what suppliers of a configuration, or of Google as usual, are built with; no connection is opened yet.

    `limits` bound the time of each call; None for the usual ones.
    """

    def connect(ca_file: Path | None, ca_key: str) -> "Transport":
        from refresher.google.throttle import PacedTransport
        from refresher.google.transport import PooledTransport

        proxies = read_proxies()
        pooled = PooledTransport(ca_file=ca_file, ca_key=ca_key, limits=limits, proxies=proxies, variables=os.environ)
        return PacedTransport(pooled, time.monotonic)

    ca_file = loaded and loaded.configuration.google.ca_file
    return Workshop(
        endpoints=Endpoints.of_universe() if loaded is None else build_endpoints(loaded),
        transport=Once(partial(connect, ca_file, "google.ca_file")).get,
        trust=lambda path, key: CurrentTrust(path, partial(connect, path, key)),
        environment=os.environ,
        random=partial(secrets.token_urlsafe, 16),
    )


def build_suppliers(loaded: LoadedConfiguration, workshop: Workshop) -> dict[str, Supplier]:
    """Return the suppliers of a configuration, by name; each is built when it is first used."""
    return {
        name: DeferredSupplier(partial(settings.build, workshop))
        for name, settings in loaded.configuration.suppliers.items()
    }


class DeferredSupplier:
    """A supplier that is built when its first token is needed, and again as long as that fails."""

    def __init__(self, build: Callable[[], Supplier]) -> None:
        self._built = Once(build)

    def supply(self, context: SupplierContext, now: datetime) -> SubjectToken:
        """Supply as the supplier does; a `SupplyError` also shows that it can't be built, or a bug in it."""
        try:
            return self._built.get().supply(context, now)
        except SupplyError:
            raise
        except RefresherError as error:
            raise SupplyError(error.problem, error.remedy, retryable=error.retryable) from error
        except Exception as bug:  # noqa: BLE001 - around one target's supply: its bug must not take the others down
            # no cause: the text of a foreign exception may quote a token
            raise SupplyError(
                f"identity {context.identity}: the supplier failed unexpectedly ({type(bug).__name__})",
                "report this as a bug, with the configuration of the supplier",
            ) from None
