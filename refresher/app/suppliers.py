"""From the configuration to suppliers, each built when its first token is needed.

A supplier that can't be built (a key is missing, credentials do not load) is a failure of supply: its targets keep what
they have, and it is tried again.
"""

from __future__ import annotations

import os
import secrets
from functools import partial
from typing import TYPE_CHECKING

from refresher.app.connections import Once
from refresher.app.targets import build_endpoints
from refresher.errors import RefresherError, SupplyError
from refresher.suppliers.interface import Workshop

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from refresher.app.connections import Connections
    from refresher.config.loader import LoadedConfiguration
    from refresher.suppliers.interface import Supplier, SupplierContext, SupplierSettings
    from refresher.tokens import SubjectToken

_LOCAL_THREADS = 3
"""For suppliers without calls: more threads only wait for each other (the interpreter's lock, the disk's journal)."""

_REMOTE_THREADS = 16
"""For suppliers that wait for an answer most of the time."""


def count_threads(settings: SupplierSettings) -> int:
    """Return how many targets of a supplier are worked on at a time."""
    return _LOCAL_THREADS if settings.is_local else _REMOTE_THREADS


def open_workshop(loaded: LoadedConfiguration, connections: Connections) -> Workshop:
    """Return what suppliers of a configuration are built with."""
    return Workshop(
        endpoints=build_endpoints(loaded),
        connections=connections,
        environment=os.environ,
        random=partial(secrets.token_urlsafe, 16),
    )


def build_suppliers(loaded: LoadedConfiguration, connections: Connections) -> dict[str, Supplier]:
    """Return the suppliers of a configuration, by name; each is built when it is first used."""
    workshop = open_workshop(loaded, connections)
    return {
        name: DeferredSupplier(partial(settings.build, workshop))
        for name, settings in loaded.configuration.suppliers.items()
    }


class DeferredSupplier:
    """A supplier that is built when its first token is needed, and again as long as that fails."""

    def __init__(self, build: Callable[[], Supplier]) -> None:
        self._built = Once(build)

    def supply(self, context: SupplierContext, now: datetime) -> SubjectToken:
        """Supply as the supplier does.

        Raises:
            SupplyError: As the supplier does, because it can't be built, or for a bug in it.
        """
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
