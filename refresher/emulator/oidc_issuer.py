"""OIDC issuers: Google's own (accounts.google.com), and discovery of the others for providers without uploaded keys.

OpenID Connect Discovery 1.0, section 4. The emulator answers for Google's issuer itself; it asks any other issuer over
the network, as STS does, through `Cloud.discover`, and keeps what it found.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

from refresher.emulator.calls import Call, Reply
from refresher.emulator.tokens import GOOGLE_ISSUER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from refresher.emulator.cloud import Cloud

_TIMEOUT_SECONDS = 5
_LARGEST = 1024 * 1024


def key_set_of(cloud: Cloud, issuer: str) -> dict[str, Any] | None:
    """Give the JWKS of an issuer; None if it cannot be had."""
    if issuer == GOOGLE_ISSUER:
        return cloud.vault.jwks
    if issuer not in cloud.key_sets:
        found = cloud.discover(issuer)
        if found is None:
            return None
        cloud.key_sets[issuer] = found
    return cloud.key_sets[issuer]


def discover(issuer: str) -> dict[str, Any] | None:
    """Ask an issuer for its JWKS over the network; None if it does not answer as it should."""
    document = _fetch(f"{issuer}/.well-known/openid-configuration")
    if document is None or document.get("issuer") != issuer:
        return None
    return _fetch(str(document.get("jwks_uri")))


def configuration(cloud: Cloud, _call: Call, _: Mapping[str, str]) -> Reply:
    """Answer for Google's issuer: its discovery document."""
    return Reply(
        document={
            "issuer": GOOGLE_ISSUER,
            "jwks_uri": f"{cloud.origin}/oauth2/v3/certs",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }
    )


def certs(cloud: Cloud, _call: Call, _: Mapping[str, str]) -> Reply:
    """Answer for Google's issuer: its keys."""
    return Reply(document=cloud.vault.jwks)


def _fetch(url: str) -> dict[str, Any] | None:
    if urlsplit(url).scheme not in ("http", "https"):
        return None
    try:
        with urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310 - the scheme was checked
            document = json.loads(answer.read(_LARGEST))
    except (URLError, OSError, ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


ROUTES = (
    ("GET", r"/\.well-known/openid-configuration", configuration),
    ("GET", r"/oauth2/v3/certs", certs),
)
