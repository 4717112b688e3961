"""What a token, an ADC document or a JWKS contains, and what Google would refuse it for; without asking a server.

For people, never for programs that decide. The rules for tokens are those of workload identity federation with an OIDC
provider (https://docs.cloud.google.com/iam/docs/workload-identity-federation-with-other-providers). A signature is
verified and never shown, so that what is printed can't be used as a credential.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from refresher.limits import LONGEST_SUBJECT, LONGEST_SUBJECT_TOKEN_LIFE, MOST_PUBLISHED_KEYS
from refresher.tokens import UnreadableTokenError, fingerprint, peek, read_segments

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from refresher.tokens import ExpectedClaims, SubjectToken, UnverifiedClaims

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
_TIMES = ("iat", "nbf", "exp", "auth_time")
_ALGORITHMS = ("RS256", "ES256")
_SKEW = timedelta(seconds=60)
_MOST_TARGETS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What something is.

    Attributes:
        kind: In a few words.
        facts: Label and value of each, in the order in which they are shown; no secret.
        problems: What Google, or the configuration, would refuse it for.
    """

    kind: str
    facts: tuple[tuple[str, str], ...] = ()
    problems: tuple[str, ...] = ()


def inspect_opaque(text: str) -> Findings:
    """Return what a text that is neither JSON nor a JWT seems to be."""
    kind = next((name for prefix, name in _OPAQUE if text.startswith(prefix)), None)
    facts = (("size", f"{len(text)} bytes"), ("fingerprint", fingerprint(text.encode())))
    refused = "STS refuses it as a subject token for a workload pool: it is not a JWT"
    if kind is None:
        return Findings(kind="opaque text", facts=facts, problems=(refused,))
    return Findings(kind=kind, facts=(*facts, ("as subject token", refused)))


def inspect_document(document: Mapping[str, Any]) -> Findings:
    """Explain a JSON object: an ADC document of any type, a JWKS, or neither."""
    if isinstance(document.get("keys"), list):
        return _inspect_jwks(document["keys"])
    kind = document.get("type")
    if kind == "external_account":
        return _inspect_external_account(document)
    if isinstance(kind, str):
        holds_key = "private_key" in document
        problems = ("it holds a private key: a secret that is valid until the key is deleted",) if holds_key else ()
        return Findings(kind=f"credentials file of type {kind}", problems=problems)
    return Findings(kind="JSON object that is neither an ADC document nor a JWKS")


def inspect_jwt(
    text: str,
    now: datetime,
    *,
    keys: Sequence[Mapping[str, Any]] | None,
    expected: Mapping[str, ExpectedClaims],
    missing: str = "no keys available",
) -> Findings:
    """Explain a JWT.

    Args:
        text: The token.
        now: The wall clock's time.
        keys: JWKs of its issuer; None if no keys are available.
        expected: What the token of each target of a configuration must be, by its name.
        missing: Why no keys are available.

    Raises:
        UnreadableTokenError: Its segments can't be read.
    """
    header, claims = read_segments(text)
    facts = [("size", f"{len(text)} bytes"), ("fingerprint", fingerprint(text.encode()))]
    facts += [(f"header {name}", _show(value)) for name, value in header.items()]
    facts += [(name, _show_claim(name, value, now)) for name, value in claims.items()]
    facts.append(("signature", _verify(text, header, keys, missing)))
    try:
        token = peek(text)
    except UnreadableTokenError as error:
        return Findings(kind="JWT", facts=tuple(facts), problems=(f"STS refuses it: {error}",))
    facts.append(("life", format_span(token.lifetime)))
    problems = [*_list_refusals(token, now), *_list_mismatches(token, expected)]
    return Findings(kind="JWT", facts=tuple(facts), problems=tuple(problems))


def format_span(duration: timedelta) -> str:
    """Return a duration in its two largest units."""
    seconds = int(duration.total_seconds())
    parts = []
    for name, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2]) or "0 s"


def _inspect_external_account(document: Mapping[str, Any]) -> Findings:
    source = document.get("credential_source")
    source = source if isinstance(source, dict) else {}
    url = document.get("service_account_impersonation_url")
    account = re.search(r"/serviceAccounts/([^/:]+):generateAccessToken$", str(url))
    unknown = "the federated principal itself" if url is None else f"an account that {url} does not show"
    facts = (
        ("audience", str(document.get("audience"))),
        ("subject token type", str(document.get("subject_token_type"))),
        ("subject token from", str(source.get("file") or source.get("url") or sorted(source))),
        ("exchanged at", str(document.get("token_url"))),
        ("acts as", account[1] if account else unknown),
    )
    problems = tuple(_list_faults(document, source))
    return Findings(kind="ADC document (external_account)", facts=facts, problems=problems)


def _list_faults(document: Mapping[str, Any], source: Mapping[str, Any]) -> Iterator[str]:
    audience = _AUDIENCE.fullmatch(str(document.get("audience")))
    if audience is None:
        yield "audience is not a provider's resource name, //iam.googleapis.com/projects/NUMBER/locations/global/…"
    elif not audience["project"].isdigit():
        yield f"audience contains the project {audience['project']}: STS needs its number"
    for name in ("token_url", "service_account_impersonation_url"):
        url = document.get(name)
        if url is not None and urlsplit(str(url)).scheme != "https":
            yield f"{name} is not https: Java refuses it, and tokens are sent unencrypted"
    if any(value is None for value in document.values()):
        yield "it holds a null: C++ aborts on it, older Java throws"
    if "file" in source and not isinstance(source.get("format"), dict):
        yield "credential_source has no format: OpenDAL needs one"


def _inspect_jwks(keys: list[Any]) -> Findings:
    entries = [key for key in keys if isinstance(key, dict)]
    facts = [(f"key {key.get('kid')}", f"{key.get('kty')} {key.get('alg', '')}".strip()) for key in entries]
    problems = [
        f"key {key.get('kid')} holds its private half: never upload this, and revoke the key"
        for key in entries
        if any(member in key for member in _PRIVATE_MEMBERS)
    ]
    if not entries:
        problems.append("it is empty: a provider would discover keys at the issuer instead")
    if len(keys) > MOST_PUBLISHED_KEYS:
        problems.append(f"it has {len(keys)} keys, and a provider accepts {MOST_PUBLISHED_KEYS}")
    return Findings(kind=f"JWKS of {len(entries)}", facts=tuple(facts), problems=tuple(problems))


def _show_claim(name: str, value: object, now: datetime) -> str:
    if name not in _TIMES or isinstance(value, bool) or not isinstance(value, int | float):
        return _show(value)
    try:
        moment = datetime.fromtimestamp(value, UTC)
        distance = format_span(abs(moment - now))
    except (OverflowError, ValueError, OSError):
        return f"{value}, not a valid timestamp"
    return f"{moment:%FT%TZ} ({f'in {distance}' if moment > now else f'{distance} ago'})"


def _show(value: object) -> str:
    return value if isinstance(value, str) and value.isprintable() else json.dumps(value)


def _verify(text: str, header: Mapping[str, Any], keys: Sequence[Mapping[str, Any]] | None, missing: str) -> str:
    from refresher.keys.jose import is_signed_by  # noqa: PLC0415 - cryptography is only needed here

    if keys is None:
        return f"not verified: {missing}"
    kid = header.get("kid")
    candidates = [key for key in keys if key.get("kid") == kid]
    if not candidates:
        known = ", ".join(str(key.get("kid")) for key in keys) or "none"
        return f"not verified: no key {kid} among {known}"
    message, _, signature = text.rpartition(".")
    is_good = any(is_signed_by(key, str(header.get("alg")), message, signature) for key in candidates)
    return f"verified with key {kid}" if is_good else f"FALSE: key {kid} did not sign this"


def _list_refusals(token: SubjectToken, now: datetime) -> Iterator[str]:
    """Return the rules of STS that a token breaks whatever the provider."""
    claims = token.unverified_claims
    if claims is None:
        return
    yield from _list_claim_refusals(claims)
    if token.expires_at <= now:
        yield f"STS refuses it: it expired {format_span(now - token.expires_at)} ago"
    if token.issued_at > now + _SKEW:
        yield f"STS refuses it: issued {format_span(token.issued_at - now)} from now; check the clocks"
    if (lifetime := claims.expires_at - token.issued_at) > LONGEST_SUBJECT_TOKEN_LIFE:
        yield f"STS refuses it: its life is {format_span(lifetime)}, and 24 h is the most"


def _list_claim_refusals(claims: UnverifiedClaims) -> Iterator[str]:
    if claims.algorithm not in _ALGORITHMS:
        yield f"STS refuses it: alg is {claims.algorithm}, not RS256 or ES256"
    if claims.key_id is None:
        yield "STS refuses it, unless the issuer has one key: no kid in the header"
    for name, value in (("iss", claims.issuer), ("sub", claims.subject), ("aud", claims.audience or None)):
        if value is None:
            yield f"STS refuses it: no {name}"
    if claims.subject is not None and len(claims.subject.encode(errors="surrogatepass")) > LONGEST_SUBJECT:
        yield f"STS refuses it, if sub is mapped as it is: longer than {LONGEST_SUBJECT} bytes"


def _list_mismatches(token: SubjectToken, expected: Mapping[str, ExpectedClaims]) -> Iterator[str]:
    """Return why it is not a token of any target; nothing if it is of one. Of many targets the first few are enough."""
    found = {name: claims.mismatches(token) for name, claims in expected.items()}
    if all(found.values()):
        for name, mismatches in list(found.items())[:_MOST_TARGETS]:
            yield f"it is not a token of target {name}: {'; '.join(mismatches)}"
