"""The plan follows the configuration: loaded again when a file that it came from changes.

A changed configuration that cannot be used is refused once, and the former plan holds. Suppliers are kept as long as
their settings and keys are, so that an added target reads no key anew and shares tokens as before.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from refresher.app.connections import Once, connections_of
from refresher.app.rotation import trials_of
from refresher.app.suppliers import source_of, suppliers_of, threads_of
from refresher.app.targets import endpoints_of, targets_of
from refresher.config.loading import load, read_signature, rescan
from refresher.config.supplier_models import SelfIssuedSettings
from refresher.engine.plan import Plan
from refresher.keys.registry import signature as keys_signature
from refresher.settings.problems import InvalidConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from refresher.app.connections import Connections
    from refresher.config.loading import LoadedConfiguration
    from refresher.engine.minting import Chain
    from refresher.google.source_credentials import SourceCredential
    from refresher.resources import Endpoints
    from refresher.settings.problems import Problem
    from refresher.suppliers.interface import Supplier

_ATTEMPTS = 2
"""Loads within one poll: the second knows the files that the first one found included."""


def plan_of(
    loaded: LoadedConfiguration,
    connections: Connections,
    suppliers: Mapping[str, Supplier],
    problems: tuple[Problem, ...] = (),
) -> Plan:
    """Put targets and suppliers together; problems are those of files that had to be left out."""
    return Plan(
        root=Path(loaded.configuration.directory_root),
        targets=targets_of(loaded),
        suppliers=suppliers,
        chain=Once(partial(chain_of, loaded, connections)).get,
        trials=trials_of(loaded, connections),
        threads={name: threads_of(settings) for name, settings in loaded.configuration.suppliers.items()},
        is_partial=loaded.reserved_names is None,
        complaints=tuple(
            (f"{found.location}: {found.problem}", found.remedy) for found in (*problems, *loaded.drop_in_problems)
        ),
    )


def chain_of(loaded: LoadedConfiguration, connections: Connections) -> Chain:
    """Give what mints further artifacts."""
    from refresher.google.chain import GoogleChain

    endpoints = endpoints_of(loaded)
    own = partial(_own_credentials, endpoints, connections)
    return GoogleChain(transport=connections, endpoints=endpoints, own=own)


def _own_credentials(endpoints: Endpoints, connections: Connections, credentials: Path | None) -> SourceCredential:
    return source_of(credentials, endpoints, connections())


class ConfiguredPlans:
    """The plans of one configuration file; asked by one thread."""

    def __init__(self, path: Path, loaded: LoadedConfiguration) -> None:
        self._path = path
        self._loaded = loaded
        self._refused: InvalidConfigurationError | None = None
        self._connections = connections_of(loaded)
        self._suppliers: Mapping[str, Supplier] | None = None
        self._seen: object = None
        self._keys: object = None

    def poll(self, *, force: bool) -> Plan | None:
        """Give the plan if it is the first, if anything changed, or in any case with `force`; else None."""
        # at the first poll too: a while may have passed since the configuration was loaded
        if self._suppliers is not None and not force and self._look() == self._seen:
            return None
        former = self._loaded
        self._load_until_still()
        keys = _keys_of(self._loaded)
        if self._suppliers is None or force or keys != self._keys or _differ(former, self._loaded):
            self._connections = connections_of(self._loaded)
            self._suppliers = suppliers_of(self._loaded, self._connections)
        self._keys = keys
        problems = self._refused.problems if self._refused else ()
        return plan_of(self._loaded, self._connections, self._suppliers, problems)

    def _load_until_still(self) -> None:
        """Load and remember how all looked before: what changes under the reading shows as a difference later."""
        for _ in range(_ATTEMPTS):
            self._seen = self._look()
            self._load_again()
            if self._look() == self._seen:
                return

    def _load_again(self) -> None:
        """Load what changed; a main file that cannot be used leaves the former one, with the drop-ins as they are."""
        try:
            self._loaded = load(self._path, previous=self._loaded)
            self._refused = None
        except InvalidConfigurationError as error:
            self._loaded = rescan(self._loaded)
            self._refused = error

    def _look(self) -> object:
        also = self._refused.files if self._refused else ()
        return (read_signature(self._loaded, also), _keys_of(self._loaded))


def _differ(one: LoadedConfiguration, other: LoadedConfiguration) -> bool:
    """Tell whether two configurations differ in what suppliers are built from."""
    return (one.configuration.suppliers, one.configuration.google) != (
        other.configuration.suppliers,
        other.configuration.google,
    )


def _keys_of(loaded: LoadedConfiguration) -> dict[str, object]:
    """Give what changes with the keys of each self-issuing supplier."""
    return {
        name: keys_signature(settings.keys)
        for name, settings in loaded.configuration.suppliers.items()
        if isinstance(settings, SelfIssuedSettings) and settings.keys is not None
    }
