"""Explains a token, an ADC document or a JWKS; with what a configuration knows, if there is one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from refresher.app.suppliers import Connections, open_connections
from refresher.app.targets import build_targets
from refresher.errors import KeysError, SupplyError, UsageError
from refresher.inspection import inspect_document, inspect_jwt, inspect_opaque
from refresher.tokens import UnreadableTokenError, peek

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from refresher.config.loader import LoadedConfiguration
    from refresher.inspection import Findings
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
        text: The content of a file, or of standard input.
        now: The wall clock's time.
        keys: JWKs to verify with; None for those of the configuration's keys directories.
        loaded: The configuration that a token is compared with.
        discover: Whether to ask the token's issuer, or Google for a service account, for keys that are not available.

    Raises:
        UsageError: It can't be read at all.
    """
    text = text.strip()
    if text.startswith("{"):
        try:
            return inspect_document(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise UsageError("it looks like JSON, but is broken", "check whether it was cut off") from error
    if not text or len(text.split()) > 1:
        problem = "it is empty" if not text else "it is neither a token, an ADC document nor a JWKS"
        raise UsageError(problem, "use a file that holds one of these and nothing else")
    if len(text.split(".")) != _SEGMENTS or text.startswith("ya29."):
        return inspect_opaque(text)
    expected = {} if loaded is None else {name: target.expected for name, target in build_targets(loaded).items()}
    missing = "no keys available"
    if keys is None:
        keys, claims = _read_own_keys(loaded), _peek_claims(text)
        if discover and not any(claims and key["kid"] == claims.key_id for key in keys or ()):
            keys, missing = _discover_keys(claims, loaded, now)
    try:
        return inspect_jwt(text, now, keys=keys, expected=expected, missing=missing)
    except UnreadableTokenError as error:
        raise UsageError(f"it looks like a JWT, but {error}", "check whether it was cut off") from error


def _peek_claims(text: str) -> UnverifiedClaims | None:
    try:
        return peek(text).unverified_claims
    except UnreadableTokenError:
        return None


def _discover_keys(
    claims: UnverifiedClaims | None, loaded: LoadedConfiguration | None, now: datetime
) -> tuple[list[dict[str, Any]] | None, str]:
    """Return the keys that are published for a token's issuer, or why no keys are available."""
    if claims is None or claims.issuer is None:
        return None, "it has no issuer that could be asked"
    try:
        return _fetch_keys(claims.issuer, loaded, now), ""
    except SupplyError as error:
        return None, str(error)


def _fetch_keys(issuer: str, loaded: LoadedConfiguration | None, now: datetime) -> list[dict[str, Any]]:
    """Return the keys of an issuer, or of what signs for it where a supplier declares that."""
    from refresher.app.suppliers import open_workshop
    from refresher.google.openid import fetch_key_set, fetch_keys

    if loaded is None:
        return fetch_keys(Connections(ca_file=None)(), issuer)
    connections = open_connections(loaded)
    workshop = open_workshop(loaded, connections)
    for settings in loaded.configuration.suppliers.values():
        if settings.expect_claims(None, frozenset(), None).issuer != issuer or settings.keys_directory is not None:
            continue
        if settings.keys_url is not None:
            return fetch_key_set(connections(), settings.keys_url)
        if settings.uploads_keys:
            found: list[dict[str, Any]] = settings.published_jwks(workshop, (), now)["keys"]
            return found
    return fetch_keys(connections(), issuer)


def _read_own_keys(loaded: LoadedConfiguration | None) -> list[dict[str, Any]] | None:
    """Return the public halves of the keys that a configuration signs with; None if it has no keys."""
    from refresher.keys.directory import read_jwks

    if loaded is None:
        return None
    found: list[dict[str, Any]] = []
    for settings in loaded.configuration.suppliers.values():
        if settings.keys_directory is not None:
            try:
                found += read_jwks(settings.keys_directory)["keys"]
            except KeysError:
                continue
    return found or None
