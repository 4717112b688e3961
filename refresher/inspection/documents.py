"""An ADC document, a JWKS or an opaque token of Google's explained, as far as that goes without asking anybody."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from refresher.inspection.findings import Findings
from refresher.tokens import fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MOST_KEYS = 8
_AUDIENCE = re.compile(
    r"//iam\.[a-z0-9.-]+/projects/(?P<project>[^/]+)/locations/global/workloadIdentityPools/[^/]+/providers/[^/]+"
)
_OPAQUE = (
    ("ya29.d.", "federated access token of Google's STS"),
    ("ya29.c.", "access token of a service account"),
    ("ya29.", "access token of Google's"),
    ("1//", "refresh token of a Google user"),
)
_PRIVATE_MEMBERS = ("d", "p", "q", "dp", "dq", "qi", "k")


def inspect_opaque(text: str) -> Findings:
    """Tell what a text that is neither JSON nor a JWT seems to be."""
    kind = next((name for prefix, name in _OPAQUE if text.startswith(prefix)), None)
    facts = (("size", f"{len(text)} bytes"), ("fingerprint", fingerprint(text.encode())))
    refused = "STS refuses it as a subject token for a workload pool: it is no JWT"
    if kind is None:
        return Findings(kind="opaque text", facts=facts, problems=(refused,))
    return Findings(kind=kind, facts=(*facts, ("as subject token", refused)))


def inspect_document(document: Mapping[str, Any]) -> Findings:
    """Explain a JSON object: an ADC document of any type, a JWKS, or neither."""
    if isinstance(document.get("keys"), list):
        return _jwks(document["keys"])
    kind = document.get("type")
    if kind == "external_account":
        return _external_account(document)
    if isinstance(kind, str):
        holds_key = "private_key" in document
        problems = ("it holds a private key: a secret that lasts until somebody deletes it",) if holds_key else ()
        return Findings(kind=f"credentials file of type {kind}", problems=problems)
    return Findings(kind="JSON object that is neither an ADC document nor a JWKS")


def _external_account(document: Mapping[str, Any]) -> Findings:
    source = document.get("credential_source")
    source = source if isinstance(source, dict) else {}
    facts = [
        ("audience", str(document.get("audience"))),
        ("subject token type", str(document.get("subject_token_type"))),
        ("subject token from", str(source.get("file") or source.get("url") or sorted(source))),
        ("exchanged at", str(document.get("token_url"))),
        ("acts as", _account(document.get("service_account_impersonation_url"))),
    ]
    problems = tuple(_faults(document, source))
    return Findings(kind="ADC document (external_account)", facts=tuple(facts), problems=problems)


def _account(url: object) -> str:
    if url is None:
        return "the federated principal itself"
    found = re.search(r"/serviceAccounts/([^/:]+):generateAccessToken$", str(url))
    return found[1] if found else f"nobody that could be told from {url}"


def _faults(document: Mapping[str, Any], source: Mapping[str, Any]) -> Iterator[str]:
    audience = _AUDIENCE.fullmatch(str(document.get("audience")))
    if audience is None:
        yield "audience is no provider's resource name, //iam.googleapis.com/projects/NUMBER/locations/global/…"
    elif not audience["project"].isdigit():
        yield f"audience names project {audience['project']}: STS wants its number"
    for name in ("token_url", "service_account_impersonation_url"):
        url = document.get(name)
        if url is not None and urlsplit(str(url)).scheme != "https":
            yield f"{name} is not https: Java refuses it, and tokens travel in the clear"
    if any(value is None for value in document.values()):
        yield "it holds a null: C++ aborts on it, older Java throws"
    if "file" in source and not isinstance(source.get("format"), dict):
        yield "credential_source has no format: OpenDAL needs one"


def _jwks(keys: list[Any]) -> Findings:
    entries = [key for key in keys if isinstance(key, dict)]
    facts = [(f"key {key.get('kid')}", f"{key.get('kty')} {key.get('alg', '')}".strip()) for key in entries]
    problems = [
        f"key {key.get('kid')} holds its private half: never upload this, and revoke the key"
        for key in entries
        if any(member in key for member in _PRIVATE_MEMBERS)
    ]
    if not entries:
        problems.append("it is empty: a provider would discover keys at the issuer instead")
    if len(keys) > MOST_KEYS:
        problems.append(f"{len(keys)} keys, where a provider takes {MOST_KEYS}")
    return Findings(kind=f"JWKS of {len(entries)}", facts=tuple(facts), problems=tuple(problems))
