"""From the configuration to signing keys: what has to be published, and the trials of next keys.

A next key must be accepted by every provider whose supplier signs with its directory. The token that proves it is one
of a real identity, so that the provider's condition and mapping accept it; what it is exchanged for is thrown away.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from refresher.app.suppliers import open_workshop
from refresher.app.targets import compose_jwks_command, get_provider, list_audiences
from refresher.config.loader import LoadedConfiguration
from refresher.engine.plan import KeyTrial
from refresher.errors import KeysError, UsageError
from refresher.keys.registry import KeyState, list_keys
from refresher.resources import CLOUD_PLATFORM_SCOPE
from refresher.suppliers.interface import SupplierContext, SupplierSettings, Workshop

_LONGEST_SPACING = timedelta(minutes=1)
_USUAL_LIFETIME = timedelta(hours=1)


def compose_jwks(loaded: LoadedConfiguration, supplier: str, versions: Sequence[int], now: datetime) -> dict[str, Any]:
    """Return the JWKS that has to be uploaded to the provider of a supplier.

    Of a key in Cloud KMS these `versions` are published, or else the one that signs.

    Raises:
        UsageError: There is no such supplier, its issuer publishes the keys, or its keys have no versions.
        KeysError: The keys directory can't be used.
        SupplyError: Cloud KMS refused, or did not answer.
    """
    suitable = {name: each for name, each in loaded.configuration.suppliers.items() if each.uploads_keys}
    if supplier not in suitable:
        raise _refuse(supplier, "has no keys to upload", suitable)
    return suitable[supplier].published_jwks(open_workshop(loaded), versions, now)


def compose_discovery_document(loaded: LoadedConfiguration, supplier: str) -> dict[str, Any]:
    """Return the discovery document that the issuer of a supplier has to serve; a `UsageError` shows which have one."""
    documents = {name: each.discovery_document() for name, each in loaded.configuration.suppliers.items()}
    if (found := documents.get(supplier)) is None:
        raise _refuse(supplier, "has no discovery document", filter(documents.get, documents))
    return found


def _refuse(supplier: str, fault: str, suitable: Iterable[str]) -> UsageError:
    return UsageError(f"supplier {supplier} {fault}", f"use one of: {', '.join(suitable) or 'none'}")


def list_trials(loaded: LoadedConfiguration, workshop: Workshop) -> Iterator[KeyTrial]:
    """Return a trial for every next key of a configuration; reads `keys.json` of each directory and no key."""
    suppliers: dict[Path, dict[str, SupplierSettings]] = {}
    for name, settings in loaded.configuration.suppliers.items():
        if settings.keys_directory is not None:
            suppliers.setdefault(settings.keys_directory, {})[name] = settings
    for directory, sharing in suppliers.items():
        try:
            kids = [record.kid for record in list_keys(directory) if record.state is KeyState.NEXT]
        except KeysError:
            continue  # the supplier that signs with it reports that
        lifetimes = [settings.configured_lifetime or _USUAL_LIFETIME for settings in sharing.values()]
        for kid in kids:
            yield KeyTrial(
                directory=directory,
                kid=kid,
                spacing=min(_LONGEST_SPACING, min(lifetimes) / 4),
                prove=partial(_prove, loaded, kid, sharing, workshop),
                activate=partial(_activate, directory, kid, max(lifetimes)),
            )


def _prove(
    loaded: LoadedConfiguration, kid: str, suppliers: Mapping[str, SupplierSettings], workshop: Workshop, now: datetime
) -> None:
    from refresher.google.chain import exchange

    identities = loaded.configuration.identities
    preferred = (*(target.identity for target in loaded.targets.values()), *identities)
    for name, settings in suppliers.items():
        chosen = next((each for each in preferred if loaded.get_supplier_name(identities[each]) == name), None)
        if chosen is None:
            problem = f"supplier {name} has no identity, so that its next key cannot be tried"
            raise KeysError(problem, "activate it: refresher keys activate")
        audience = list_audiences(loaded, settings)[0]
        context = SupplierContext(identity=chosen, subject=identities[chosen].subject, audience=audience)
        token = settings.build_with_next_key(kid, workshop).supply(context, now)
        exchange(
            workshop.transport(),
            workshop.endpoints,
            provider=get_provider(loaded, settings),
            subject_token=token.value,
            subject_token_type=settings.token_type,
            scopes=[CLOUD_PLATFORM_SCOPE],
            now=now,
            facts={} if (command := compose_jwks_command(loaded, name)) is None else {"jwks": command},
        )


def _activate(directory: Path, kid: str, lifetime: timedelta, now: datetime) -> None:
    from refresher.keys.directory import activate

    activate(directory, kid, lifetime=lifetime, now=now)
