"""The rules for providers: issuers, key sets, mappings and conditions, with Google's error texts (T1 to T6).

https://cloud.google.com/iam/docs/reference/rest/v1/projects.locations.workloadIdentityPools.providers and
https://docs.cloud.google.com/iam/docs/workload-identity-federation-with-other-providers.
"""

import json
import re
from typing import Any
from urllib.parse import urlsplit

import jwt

from refresher.emulator.errors import api_refusal
from refresher.emulator.expressions import CONDITION, LONGEST_CONDITION, MAPPING, ExpressionError, check, mask_texts
from refresher.emulator.mapping import ATTRIBUTE, GROUPS, SUBJECT
from refresher.emulator.state import Provider

KINDS = ("oidc", "aws", "saml", "x509")
MOST_KEYS = 8
MOST_AUDIENCES = 10
LONGEST_AUDIENCE = 256
MOST_ATTRIBUTES = 50
LONGEST_EXPRESSION = 2048
MULTI_TENANT = (
    "https://token.actions.githubusercontent.com",
    "https://gitlab.com",
    "https://app.terraform.io",
)
"""Issuers at which anyone can have an account: a condition must restrict whose tokens are accepted (T6)."""

_KEY_MEMBERS = {"kty", "alg", "use", "kid", "n", "e", "x", "y", "crv", "key_ops"}
_ATTRIBUTE_NAME = re.compile(r"attribute\.[a-z0-9_]{1,100}")
_REFERENCE = re.compile(r"\b(assertion|attribute|google)\s*[.\[]")


def check_provider(provider: Provider, *, plain_http: bool = False) -> None:
    """Check all settings of a provider.

    Args:
        provider: A provider of any kind.
        plain_http: Whether its issuer may have plain HTTP, which Google never accepts.

    Raises:
        Refusal: T2 to T6, or a limit.
    """
    if provider.kind not in KINDS:
        raise api_refusal("bad_field", field="kind")
    if provider.kind == "oidc":
        check_issuer(provider.issuer, plain_http=plain_http)
        check_audiences(provider.allowed_audiences)
    if provider.kind != "aws" or provider.mapping:  # Google maps the assertions of AWS itself
        check_mapping(provider.mapping)
    check_condition(provider.condition, provider.issuer)
    if provider.jwks is not None:
        check_key_set(provider.jwks)


def check_issuer(issuer: str, *, plain_http: bool = False) -> None:
    """Check an issuer URI.

    Raises:
        Refusal: T5.
    """
    try:
        parts = urlsplit(issuer)
        scheme, host = parts.scheme, parts.hostname
    except ValueError:
        raise api_refusal("T5b") from None
    if not scheme or not host:
        raise api_refusal("T5b")
    if scheme != "https" and not (plain_http and scheme == "http"):
        raise api_refusal("T5")
    if parts.query or parts.fragment:
        raise api_refusal("T5b")


def check_audiences(audiences: list[str]) -> None:
    """Check the allowed audiences.

    Raises:
        Refusal: There are too many, or one is too long or empty.
    """
    if len(audiences) > MOST_AUDIENCES or any(not 0 < len(audience) <= LONGEST_AUDIENCE for audience in audiences):
        raise api_refusal("bad_field", field="oidc.allowed_audiences")


def read_key_set(text: str) -> dict[str, Any] | None:
    """Read an uploaded key set; None for an empty text, which means discovery.

    Raises:
        Refusal: T2, T3 or T4.
    """
    if not text:
        return None
    try:
        jwks = json.loads(text)
    except (ValueError, RecursionError):
        raise api_refusal("T2") from None
    check_key_set(jwks)
    return dict(jwks)


def check_key_set(jwks: object) -> None:
    """Check a key set.

    Raises:
        Refusal: T2, T3 or T4.
    """
    keys = jwks.get("keys") if isinstance(jwks, dict) else None
    if not isinstance(keys, list) or not keys or not all(isinstance(key, dict) for key in keys):
        raise api_refusal("T2")
    if len(keys) > MOST_KEYS:
        raise api_refusal("invalid", problem=f"Invalid JWKs. At most {MOST_KEYS} keys can be uploaded.")
    for key in keys:
        _check_key(key)


def check_mapping(mapping: dict[str, Any]) -> None:
    """Check an attribute mapping.

    Raises:
        Refusal: It lacks `google.subject`, has an unknown attribute, exceeds a limit, or does not compile.
    """
    if not mapping.get(SUBJECT):
        raise _invalid("The attribute mapping must include google.subject.")
    for name, expression in mapping.items():
        if name not in (SUBJECT, GROUPS) and not _ATTRIBUTE_NAME.fullmatch(name):
            raise _invalid(
                f"Invalid mapped attribute key: {name}. Custom mapped attributes must be in format "
                "'attribute.{custom_attribute}'"
            )
        if not isinstance(expression, str) or not 0 < len(expression) <= LONGEST_EXPRESSION:
            raise _invalid(f"The mapping of {name} must be an expression of at most {LONGEST_EXPRESSION} characters.")
        _compile(expression, MAPPING, what=f"mapping of {name}")
    if sum(name.startswith(ATTRIBUTE) for name in mapping) > MOST_ATTRIBUTES:
        raise _invalid(f"The attribute mapping has more than {MOST_ATTRIBUTES} custom attributes.")


def check_condition(condition: str, issuer: str) -> None:
    """Check an attribute condition.

    Raises:
        Refusal: T6, or it is too long, does not compile, or is not a boolean.
    """
    if issuer.rstrip("/") in MULTI_TENANT and not _REFERENCE.search(mask_texts(condition)):
        raise api_refusal("T6")
    if len(condition) > LONGEST_CONDITION:
        raise _invalid(f"The attribute condition has more than {LONGEST_CONDITION} characters.")
    if condition and _compile(condition, CONDITION, what="attribute condition") not in ("BOOL", "DYN"):
        raise _invalid("The attribute condition must evaluate to a boolean.")


def _check_key(key: dict[str, Any]) -> None:
    kind = key.get("kty")
    if not isinstance(kind, str) or not key.keys() <= _KEY_MEMBERS:
        raise api_refusal("T2")
    if kind == "OKP":
        raise api_refusal("T4")
    if kind not in ("RSA", "EC") or (kind == "EC" and key.get("crv") != "P-256"):
        raise api_refusal("T3")
    try:
        private = "d" in key
        jwt.PyJWK(key, algorithm="ES256" if kind == "EC" else "RS256")
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        raise api_refusal("T4") from None
    if private:
        raise api_refusal("T2")


def _compile(expression: str, scope: str, *, what: str) -> str:
    try:
        return check(expression, scope)
    except ExpressionError as error:
        raise _invalid(f"Invalid {what}: {error}") from None


def _invalid(problem: str) -> Exception:
    return api_refusal("invalid", problem=problem)
