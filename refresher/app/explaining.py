"""What a configuration means, target by target, in the contract's terms; touches nothing."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

from refresher import policy, resources
from refresher.config.supplier_models import CommandSettings, SelfIssuedSettings, SignJwtSettings
from refresher.durations import format_duration
from refresher.errors import KeysError, SupplyError, UsageError
from refresher.keys.registry import published_key_ids

if TYPE_CHECKING:
    from datetime import timedelta

    from refresher.config.loading import LoadedConfiguration
    from refresher.config.targets import ResolvedTarget
    from refresher.errors import RefresherError

_FILES = ("path", "credentials", "secret_file", "token_file", "ca_file")
"""Keys of suppliers that name a file; what is not written is looked for where the daemon runs."""


def explain(loaded: LoadedConfiguration) -> list[dict[str, Any]]:
    """Give for each target who it is, where it lies, and how long it outlives its issuer's death at worst."""
    return [_explain(loaded, target) for target in loaded.targets.values()]


def complaints_of_files(loaded: LoadedConfiguration) -> list[RefresherError]:
    """Give what is wrong with keys directories, and what else suppliers are to read or run and is not there.

    The daemon would fail to supply as long as that is so. What only its user may judge is not judged here.
    """
    found: list[RefresherError] = []
    for name, settings in loaded.configuration.suppliers.items():
        if isinstance(settings, SelfIssuedSettings) and settings.keys is not None:
            try:
                published_key_ids(settings.keys)
            except KeysError as error:
                found.append(error)
        wanted = {key: getattr(settings, key) for key in _FILES if key in settings.model_fields_set}
        if isinstance(settings, CommandSettings):
            wanted["argv"] = settings.argv[0]
        found += [
            SupplyError(f"suppliers.{name}.{key}: {path} does not exist", "make it, or mend the path")
            for key, path in wanted.items()
            if not os.path.lexists(path)
        ]
    return found


def discovery_of(loaded: LoadedConfiguration, supplier: str) -> dict[str, Any]:
    """Give the discovery document that the issuer of a `sign_jwt` supplier must serve.

    Raises:
        UsageError: There is no such supplier, or it is of another kind.
    """
    settings = loaded.configuration.suppliers.get(supplier)
    if not isinstance(settings, SignJwtSettings):
        known = [name for name, each in loaded.configuration.suppliers.items() if isinstance(each, SignJwtSettings)]
        raise UsageError(
            f"{supplier} is no supplier of the kind sign_jwt", f"name one of: {', '.join(known) or 'none'}"
        )
    return resources.discovery_document(issuer=settings.issuer, service_account=settings.service_account)


def _explain(loaded: LoadedConfiguration, target: ResolvedTarget) -> dict[str, Any]:
    identity = loaded.identity_of(target)
    supplier = loaded.supplier_name_of(identity)
    settings = loaded.configuration.suppliers[supplier]
    lifetime = settings.lifetime if isinstance(settings, SelfIssuedSettings | SignJwtSettings) else None
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
    """Give the life that is left when a token becomes due: so long may the issuer be down, unnoticed by clients."""
    return lifetime / 2 + policy.spread(name, lifetime)
