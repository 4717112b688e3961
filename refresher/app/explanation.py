"""What a configuration means, target by target, in the contract's terms; changes nothing."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

from refresher import policy
from refresher.durations import format_duration
from refresher.errors import KeysError, SupplyError
from refresher.keys.registry import published_key_ids

if TYPE_CHECKING:
    from datetime import timedelta

    from refresher.config.loader import LoadedConfiguration
    from refresher.config.targets import ResolvedTarget
    from refresher.errors import RefresherError


def explain(loaded: LoadedConfiguration) -> list[dict[str, Any]]:
    """Return for each target its identity, its place, and how long it works at least if its issuer stops."""
    return [_explain(loaded, target) for target in loaded.targets.values()]


def check_files(loaded: LoadedConfiguration) -> list[RefresherError]:
    """Return what is wrong with keys directories, and which files are absent that suppliers read or run.

    The daemon fails to supply as long as that is so. What only the daemon's user can judge is not judged here.
    """
    found: list[RefresherError] = []
    for name, settings in loaded.configuration.suppliers.items():
        if settings.keys_directory is not None:
            try:
                published_key_ids(settings.keys_directory)
            except KeysError as error:
                found.append(error)
        found += [
            SupplyError(f"suppliers.{name}.{key}: {path} does not exist", "create it, or correct the path")
            for key, path in settings.file_paths()
            if not os.path.lexists(path)
        ]
    return found


def _explain(loaded: LoadedConfiguration, target: ResolvedTarget) -> dict[str, Any]:
    identity = loaded.get_identity(target)
    supplier = loaded.get_supplier_name(identity)
    settings = loaded.configuration.suppliers[supplier]
    lifetime = settings.configured_lifetime if settings.lifetime_range is not None else None
    group = "" if target.gid is None else f":{target.gid}"
    owner = ("" if target.uid is None else str(target.uid)) + group or None
    return {
        "name": target.name,
        "identity": target.identity,
        "service_account": identity.service_account,
        "subject": identity.subject,
        "via": identity.via,
        "supplier": supplier,
        "kind": settings.kind,
        "directory": str(target.directory),
        "container_directory": target.container_directory,
        "owner": owner,
        "mode": f"{stat.S_IMODE(target.mode):04o}",
        "lifetime": None if lifetime is None else format_duration(lifetime),
        "least_runway": None if lifetime is None else format_duration(_least_runway(target.name, lifetime)),
    }


def _least_runway(name: str, lifetime: timedelta) -> timedelta:
    """Return the life left when a token becomes due: so long may the issuer be down, unnoticed by clients."""
    return lifetime / 2 + policy.spread(name, lifetime)
