"""Explains whatever it is given: a token, an ADC document, a JWKS; with what a configuration knows, if there is one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from refresher.app.connections import Connections, connections_of
from refresher.app.targets import targets_of
from refresher.config.supplier_models import SelfIssuedSettings, SignJwtSettings
from refresher.errors import KeysError, SupplyError, UsageError
from refresher.inspection.documents import inspect_document, inspect_opaque
from refresher.inspection.jwts import inspect_jwt
from refresher.tokens import UnreadableTokenError, peek

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from refresher.config.loading import LoadedConfiguration
    from refresher.inspection.findings import Findings
    from refresher.tokens import UnverifiedClaims

_SEGMENTS = 3


def inspect(
    text: str,
    now: datetime,
    *,
    keys: Sequence[dict[str, Any]] | None,
    loaded: LoadedConfiguration | None,
    discover: bool = False,
) -> Findings:
    """Explain a text.

    Args:
        text: Of the file.
        now: The wall clock's time.
        keys: JWKs to verify with; None for those of the configuration's keys directories.
        loaded: The configuration that a token is held against.
        discover: Whether to ask the token's issuer, or Google for a service account, for keys that are not at hand.

    Raises:
        UsageError: It cannot be read at all.
    """
    text = text.strip()
    if text.startswith("{"):
        return _of_json(text)
    if not text or len(text.split()) > 1:
        said = "it is empty" if not text else "it is neither a token, an ADC document nor a JWKS"
        raise UsageError(said, "name a file that holds one of these and nothing else")
    if len(text.split(".")) != _SEGMENTS or text.startswith("ya29."):
        return inspect_opaque(text)
    expected = {} if loaded is None else {name: target.expected for name, target in targets_of(loaded).items()}
    lacking = "no keys at hand"
    if keys is None:
        keys, claims = _own_keys(loaded), _claims_of(text)
        if discover and not any(claims and key["kid"] == claims.key_id for key in keys or ()):
            keys, lacking = _published_keys(claims, loaded, now)
    try:
        return inspect_jwt(text, now, keys=keys, expected=expected, lacking=lacking)
    except UnreadableTokenError as error:
        raise UsageError(f"it looks like a JWT, but {error}", "see whether it was cut off") from error


def _of_json(text: str) -> Findings:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError("it looks like JSON, but is broken", "see whether it was cut off") from error
    return inspect_document(document)


def _claims_of(text: str) -> UnverifiedClaims | None:
    try:
        return peek(text).unverified_claims
    except UnreadableTokenError:
        return None


def _published_keys(
    claims: UnverifiedClaims | None, loaded: LoadedConfiguration | None, now: datetime
) -> tuple[list[dict[str, Any]] | None, str]:
    """Give the keys that are published for a token's issuer, or why there are none."""
    from refresher.google.published_keys import UnpublishedKeysError

    if claims is None or claims.issuer is None:
        return None, "it names no issuer that could be asked"
    try:
        return _keys_of(claims.issuer, loaded, now), ""
    except (UnpublishedKeysError, SupplyError) as error:
        return None, str(error)


def _keys_of(issuer: str, loaded: LoadedConfiguration | None, now: datetime) -> list[dict[str, Any]]:
    """Give the keys of an issuer, or of the account or Cloud KMS key that signs for it, where a supplier says so."""
    from refresher.app.published_keys import jwks_of
    from refresher.google.published_keys import published_keys

    if loaded is None:
        return published_keys(Connections(ca_file=None)(), issuer)
    signer = issuer
    for name, settings in loaded.configuration.suppliers.items():
        if isinstance(settings, SignJwtSettings) and settings.issuer == issuer:
            signer = settings.service_account
        elif isinstance(settings, SelfIssuedSettings) and settings.issuer == issuer and settings.signer is not None:
            found: list[dict[str, Any]] = jwks_of(loaded, name, (), now)["keys"]
            return found
    return published_keys(connections_of(loaded)(), signer)


def _own_keys(loaded: LoadedConfiguration | None) -> list[dict[str, Any]] | None:
    """Give the public halves of the keys that a configuration signs with; None if there are none."""
    from refresher.keys.directory import jwks

    if loaded is None:
        return None
    found: list[dict[str, Any]] = []
    for settings in loaded.configuration.suppliers.values():
        if isinstance(settings, SelfIssuedSettings) and settings.keys is not None:
            try:
                found += jwks(settings.keys)["keys"]
            except KeysError:
                continue
    return found or None
