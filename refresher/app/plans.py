"""The plan follows the configuration: loaded again when a file that it came from changes.

A changed configuration that cannot be used is refused once, and the former plan holds. Suppliers are kept as long as
their settings and keys are, so that an added target reads no key anew and shares tokens as before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from refresher.app.suppliers import suppliers_of
from refresher.app.targets import targets_of
from refresher.config.loading import load
from refresher.config.models import SelfIssuedSettings
from refresher.config.watching import signature
from refresher.engine.target import Plan
from refresher.keys.registry import signature as keys_signature

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from refresher.config.loading import LoadedConfiguration
    from refresher.suppliers.interface import Supplier


def plan_of(loaded: LoadedConfiguration, suppliers: Mapping[str, Supplier]) -> Plan:
    """Put targets and suppliers together."""
    return Plan(
        targets=targets_of(loaded),
        suppliers=suppliers,
        complaints=tuple((f"{found.location}: {found.problem}", found.remedy) for found in loaded.drop_in_problems),
    )


class ConfiguredPlans:
    """The plans of one configuration file; asked by one thread."""

    def __init__(self, path: Path, loaded: LoadedConfiguration) -> None:
        self._path = path
        self._loaded = loaded
        self._files: object = None
        self._files_of_plan: object = None
        self._keys: object = None
        self._suppliers: Mapping[str, Supplier] | None = None

    def poll(self, *, force: bool) -> Plan | None:
        """Give the plan if it is the first, if anything changed, or in any case with `force`; else None.

        Raises:
            ConfigurationError: What changed cannot be used. It counts as seen: the next call says nothing of it.
        """
        files, keys = signature(self._loaded), _keys_of(self._loaded)
        if self._suppliers is not None and not force and (files, keys) == (self._files, self._keys):
            return None
        former, self._files = self._loaded, files
        if self._suppliers is not None and (force or files != self._files_of_plan):
            self._loaded = load(self._path, previous=former)
            keys = _keys_of(self._loaded)
            # what changed while it was read shows as a difference at the next call
            self._files = signature(self._loaded) if signature(former) == files else None
        if self._suppliers is None or force or keys != self._keys or _differ(former, self._loaded):
            self._suppliers = suppliers_of(self._loaded)
        self._files_of_plan, self._keys = self._files, keys
        return plan_of(self._loaded, self._suppliers)


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
        if isinstance(settings, SelfIssuedSettings)
    }
