"""Explains whatever it is given: a token, an ADC document, a JWKS; with what a configuration knows, if there is one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from refresher.app.targets import targets_of
from refresher.config.supplier_models import SelfIssuedSettings
from refresher.errors import KeysError, UsageError
from refresher.inspection.documents import inspect_document, inspect_opaque
from refresher.inspection.jwts import inspect_jwt
from refresher.tokens import UnreadableTokenError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from refresher.config.loading import LoadedConfiguration
    from refresher.inspection.findings import Findings

_SEGMENTS = 3


def inspect(
    text: str, now: datetime, *, keys: Sequence[dict[str, Any]] | None, loaded: LoadedConfiguration | None
) -> Findings:
    """Explain a text.

    Args:
        text: Of the file.
        now: The wall clock's time.
        keys: JWKs to verify with; None for those of the configuration's keys directories.
        loaded: The configuration that a token is held against.

    Raises:
        UsageError: It cannot be read at all.
    """
    text = text.strip()
    if text.startswith("{"):
        return _of_json(text)
    if len(text.split(".")) != _SEGMENTS or text.startswith("ya29."):
        return inspect_opaque(text)
    expected = {} if loaded is None else {name: target.expected for name, target in targets_of(loaded).items()}
    try:
        return inspect_jwt(text, now, keys=keys if keys is not None else _own_keys(loaded), expected=expected)
    except UnreadableTokenError as error:
        raise UsageError(f"it looks like a JWT, but {error}", "see whether it was cut off") from error


def _of_json(text: str) -> Findings:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError("it looks like JSON, but is broken", "see whether it was cut off") from error
    return inspect_document(document)


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
