"""From the configuration to the trials of next keys: which directories hold one, and what proves it.

A key must be accepted by every provider whose supplier signs with its directory. The token that proves it is one of a
real identity, so that the provider's condition and mapping let it pass; what it is exchanged for is thrown away.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from refresher.app.targets import audiences_of, endpoints_of, provider_of
from refresher.config.supplier_models import SelfIssuedSettings
from refresher.engine.plan import KeyTrial
from refresher.errors import KeysError
from refresher.keys.registry import KeyState, list_keys
from refresher.resources import CLOUD_PLATFORM_SCOPE
from refresher.suppliers.interface import SupplierContext

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

    from refresher.config.loading import LoadedConfiguration
    from refresher.config.supplier_models import SupplierSettings
    from refresher.google.transport import Transport

_LONGEST_SPACING = timedelta(minutes=1)
_SHARE_OF_LIFETIME = 4


def trials_of(loaded: LoadedConfiguration, transport: Callable[[], Transport]) -> tuple[KeyTrial, ...]:
    """Give a trial for every next key of a configuration; reads `keys.json` of each directory and no key."""
    suppliers: dict[Path, dict[str, SelfIssuedSettings]] = {}
    for name, settings in loaded.configuration.suppliers.items():
        if isinstance(settings, SelfIssuedSettings) and settings.keys is not None:
            suppliers.setdefault(settings.keys, {})[name] = settings
    return tuple(
        _trial(loaded, directory, kid, sharing, transport)
        for directory, sharing in suppliers.items()
        for kid in _waiting(directory)
    )


def _waiting(directory: Path) -> Iterator[str]:
    try:
        records = list_keys(directory)
    except KeysError:
        return  # whoever signs with it says so
    yield from (record.kid for record in records if record.state is KeyState.NEXT)


def _trial(
    loaded: LoadedConfiguration,
    directory: Path,
    kid: str,
    suppliers: dict[str, SelfIssuedSettings],
    transport: Callable[[], Transport],
) -> KeyTrial:
    longest = max(settings.lifetime for settings in suppliers.values())
    shortest = min(settings.lifetime for settings in suppliers.values())
    return KeyTrial(
        directory=directory,
        kid=kid,
        spacing=min(_LONGEST_SPACING, shortest / _SHARE_OF_LIFETIME),
        prove=partial(_prove, loaded, directory, kid, suppliers, transport),
        activate=partial(_activate, directory, kid, longest),
    )


def _prove(
    loaded: LoadedConfiguration,
    directory: Path,
    kid: str,
    suppliers: dict[str, SelfIssuedSettings],
    transport: Callable[[], Transport],
    now: datetime,
) -> None:
    from refresher import adc
    from refresher.app.suppliers import claims_of
    from refresher.google.sts import exchange
    from refresher.keys.directory import load_next_key
    from refresher.suppliers.self_issued import SelfIssuedSupplier

    key = load_next_key(directory, kid)
    for name, settings in suppliers.items():
        context = _somebody(loaded, name, settings)
        token = SelfIssuedSupplier(key=key, claims=claims_of(settings)).supply(context, now)
        exchange(
            transport(),
            endpoints_of(loaded),
            provider=provider_of(loaded, settings),
            subject_token=token.value,
            subject_token_type=adc.JWT_TYPE,
            scopes=[CLOUD_PLATFORM_SCOPE],
            now=now,
        )


def _activate(directory: Path, kid: str, lifetime: timedelta, now: datetime) -> None:
    from refresher.keys.changes import activate

    activate(directory, kid, lifetime=lifetime, now=now)


def _somebody(loaded: LoadedConfiguration, supplier: str, settings: SupplierSettings) -> SupplierContext:
    """Give an identity of a supplier, one with a target if there is any.

    Raises:
        KeysError: The supplier serves nobody.
    """
    served = loaded.configuration.identities
    names = [target.identity for target in loaded.targets.values()] + list(served)
    for name in names:
        if loaded.supplier_name_of(served[name]) == supplier:
            return SupplierContext(
                identity=name, subject=served[name].subject, audience=audiences_of(loaded, settings)[0]
            )
    raise KeysError(
        f"supplier {supplier} serves no identity, so that its next key cannot be tried",
        "activate it: refresher keys activate",
    )
