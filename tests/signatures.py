"""Checks that a service account signed a program's output: JWTs, bytes and URLs, with keys that Google publishes."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlsplit
from urllib.request import urlopen

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

if TYPE_CHECKING:
    from refresher.emulator.testing import Scenario

GUIDE = Path(__file__).parents[1] / "docs" / "signing.md"
AUDIENCE = "https://api.example.com"


def programs(language: str) -> list[str]:
    """Return the programs of the guide in a language."""
    return re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(), re.DOTALL)


def printed(output: str) -> dict[str, str]:
    """Return the lines of a program's output, by their first word."""
    return dict(line.split(" ", 1) for line in output.splitlines())


def claims_of(google: Scenario, account: str, token: str) -> dict[str, Any]:
    """Verify a JWT with the account's published JWKS; return its claims."""
    keys = jwt.PyJWKSet.from_dict(_published(google, "jwk", account))
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims: dict[str, Any] = jwt.decode(token, key, algorithms=["RS256"], audience=AUDIENCE)
    return claims


def check_blob(google: Scenario, account: str, signature: str, content: bytes) -> None:
    """Verify a signature of bytes with the account's published certificates.

    Raises:
        InvalidSignature: The signature is invalid.
    """
    _key_of(google, account).verify(base64.b64decode(signature), content, padding.PKCS1v15(), SHA256())


def check_url(google: Scenario, account: str, url: str) -> str:
    """Verify a signed URL (https://docs.cloud.google.com/storage/docs/authentication/signatures); return its path.

    Raises:
        InvalidSignature: The signature is invalid.
    """
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    signature = query.pop("X-Goog-Signature")
    assert query["X-Goog-SignedHeaders"] == "host"
    email, _, scope = query["X-Goog-Credential"].partition("/")
    assert email == account
    canonical_query = "&".join(
        f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(query.items())
    )
    canonical = f"GET\n{parts.path}\n{canonical_query}\nhost:{parts.netloc}\n\nhost\nUNSIGNED-PAYLOAD"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    message = f"GOOG4-RSA-SHA256\n{query['X-Goog-Date']}\n{scope}\n{digest}"
    _key_of(google, account).verify(bytes.fromhex(signature), message.encode(), padding.PKCS1v15(), SHA256())
    return parts.path


def _key_of(google: Scenario, account: str) -> rsa.RSAPublicKey:
    (pem,) = _published(google, "x509", account).values()
    key = x509.load_pem_x509_certificate(pem.encode()).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    return key


def _published(google: Scenario, form: str, account: str) -> dict[str, Any]:
    url = f"{google.http}/service_accounts/v1/metadata/{form}/{account}"
    with urlopen(url, timeout=10) as answer:  # noqa: S310 - of loopback
        document: dict[str, Any] = json.load(answer)
    return document
