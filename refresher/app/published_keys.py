"""From a supplier to the JWKS that its provider must hold: of a keys directory, or of a key in Cloud KMS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from refresher.app.connections import connections_of
from refresher.app.suppliers import kms_key_of
from refresher.app.targets import endpoints_of
from refresher.config.supplier_models import SelfIssuedSettings
from refresher.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from refresher.config.loading import LoadedConfiguration


def jwks_of(loaded: LoadedConfiguration, supplier: str, versions: Sequence[int], now: datetime) -> dict[str, Any]:
    """Give the JWKS of a self-issuing supplier.

    Args:
        loaded: The configuration.
        supplier: Its name.
        versions: Of the key in Cloud KMS, the ones to publish; empty for the one that signs.
        now: The wall clock's time.

    Raises:
        UsageError: There is no such supplier, or it has no versions to choose from.
        KeysError: The keys directory cannot be used.
        SupplyError: Cloud KMS cannot be asked, or refused.
    """
    settings = loaded.configuration.suppliers.get(supplier)
    if not isinstance(settings, SelfIssuedSettings):
        known = [name for name, each in loaded.configuration.suppliers.items() if isinstance(each, SelfIssuedSettings)]
        raise UsageError(
            f"{supplier} is no supplier of the kind self_issued", f"name one of: {', '.join(known) or 'none'}"
        )
    if settings.signer is not None:
        names = [_other_version(settings.signer.kms, version) for version in versions] or [settings.signer.kms]
        return {"keys": [_of_kms(loaded, settings, name, now) for name in names]}
    if versions or settings.keys is None:
        raise UsageError(f"{supplier} signs with keys of its own, which have no versions", "leave --version away")
    from refresher.keys.directory import jwks

    return jwks(settings.keys)


def _of_kms(loaded: LoadedConfiguration, settings: SelfIssuedSettings, name: str, now: datetime) -> dict[str, str]:
    from refresher.config.supplier_models import SignerSettings
    from refresher.suppliers.kms_signed import public_jwk

    settings = settings.model_copy(update={"signer": SignerSettings(kms=name)})
    key, source = kms_key_of(settings, endpoints_of(loaded), connections_of(loaded)())
    access_token, _ = source.access_token(now)
    return public_jwk(key, access_token)


def _other_version(name: str, version: int) -> str:
    return f"{name.rpartition('/')[0]}/{version}"
