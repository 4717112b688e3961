"""What a file of a credentials directory, or a JWKS, contains, and why Google would refuse it; nothing else is read.

For people, never for programs that decide. The rules for tokens are those of workload identity federation with an OIDC
provider (https://docs.cloud.google.com/iam/docs/workload-identity-federation-with-other-providers). A signature is
verified and never shown, so that what is printed can't be used as a credential.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from refresher.durations import format_span
from refresher.limits import LONGEST_SUBJECT, LONGEST_SUBJECT_TOKEN_LIFE, MOST_PUBLISHED_KEYS
from refresher.tokens import ExpectedClaims, SubjectToken, UnreadableTokenError, fingerprint, peek, read_segments

_AUDIENCE = re.compile(
    r"//iam\.[a-z0-9.-]+/projects/(?P<project>[^/]+)/locations/global/workloadIdentityPools/[^/]+/providers/[^/]+"
)
_OPAQUE = (
    ("ya29.d.", "federated access token of Google's STS"),
    ("ya29.c.", "access token of a service account"),
    ("ya29.", "access token of Google's"),
    ("1//", "refresh token of a Google user"),
)
_PRIVATE_MEMBERS = {"d", "p", "q", "dp", "dq", "qi", "k"}
_TIMES = ("iat", "nbf", "exp", "auth_time")
_SKEW = timedelta(seconds=60)
_MOST_TARGETS = 5
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=[A-Za-z0-9._/:@-]*")
"""A line of `env`, whose four readers share no quoting (contract, "The credentials directory")."""


@dataclass(slots=True)
class Findings:
    """What something is, collected step by step: its kind, and facts in the order in which they are shown; no secret.

    `problems` are why Google would refuse it, or a client would fail with it, or it is not what the configuration asks;
    `warnings` are what is allowed and yet unwise.
    """

    kind: str
    facts: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add_life(self, expires_at: datetime, now: datetime) -> None:
        """Add the expiry of a token, which it does not show itself."""
        self.facts.append(("expires", _show_moment(expires_at, now)))
        if expires_at <= now:
            self.problems.append(f"it expired {format_span(now - expires_at)} ago")


def inspect_opaque(text: str) -> Findings:
    """Return what a text that is neither JSON nor a JWT seems to be."""
    kind = next((name for prefix, name in _OPAQUE if text.startswith(prefix)), None)
    found = Findings(kind or "opaque text", _describe_secret(text))
    if kind is None:
        found.problems.append("STS refuses it as a subject token for a workload pool: it is not a JWT")
    else:
        found.facts.append(("use", "bearer token of Google's APIs; it is not a subject token"))
    return found


def inspect_variables(text: str) -> Findings:
    """Explain the `env` file: lines that `docker --env-file` and shells read alike."""
    found = Findings("environment variables")
    for number, line in enumerate(text.splitlines(), 1):
        name, _, value = line.partition("=")
        found.facts.append((name, value))
        if not _VARIABLE.fullmatch(line):
            found.problems.append(f"line {number} is not NAME=value with characters that need no quoting")
    return found


def inspect_descriptions(expiries: Mapping[str, datetime], now: datetime) -> Findings:
    """Explain `artifacts.json`: when each artifact expires that does not show it itself."""
    facts = [(name, f"expires {_show_moment(end, now)}") for name, end in expiries.items()]
    problem = "it describes nothing, or not as we write it: it is replaced at the next refresh"
    return Findings("descriptions of artifacts", facts, [] if facts else [problem])


def inspect_document(document: Mapping[str, Any]) -> Findings:
    """Explain a JSON object: an ADC document of any type, a JWKS, or neither."""
    if isinstance(document.get("keys"), list):
        return _inspect_jwks(document["keys"])
    kind = document.get("type")
    if kind == "external_account":
        return _inspect_external_account(document)
    if not isinstance(kind, str):
        found = Findings("JSON object that is neither an ADC document nor a JWKS")
        for key in (key for key, value in document.items() if isinstance(value, str) and value.startswith("eyJ")):
            found.problems.append(f"STS refuses it as a token: it is JSON, with a token in `{key}`")
        return found
    found = Findings(f"credentials file of type {kind}")
    if "private_key" in document:
        found.warnings.append("it holds a private key: a secret that is valid until the key is deleted")
    return found


def _inspect_external_account(document: Mapping[str, Any]) -> Findings:
    found = Findings("ADC document (external_account)")
    source = document.get("credential_source")
    source = source if isinstance(source, dict) else {}
    url = document.get("service_account_impersonation_url")
    account = re.search(r"/serviceAccounts/([^/:]+):generateAccessToken$", str(url))
    unknown = "the federated principal itself" if url is None else f"an account that {url} does not show"
    found.facts += [
        ("audience", str(document.get("audience"))),
        ("subject token type", str(document.get("subject_token_type"))),
        ("subject token from", str(source.get("file") or source.get("url") or sorted(source))),
        ("exchanged at", str(document.get("token_url"))),
        ("acts as", account[1] if account else unknown),
    ]
    audience = _AUDIENCE.fullmatch(str(document.get("audience")))
    if audience is None:
        text = "audience is not a provider's resource name, //iam.googleapis.com/projects/NUMBER/locations/global/…"
        found.problems.append(text)
    elif not audience["project"].isdigit():
        found.problems.append(f"audience contains the project {audience['project']}: STS needs its number")
    if None in document.values():
        found.problems.append("it holds a null: C++ aborts on it, older Java throws")
    for name in ("token_url", "service_account_impersonation_url"):
        if not str(document.get(name, "https://")).startswith("https://"):
            found.warnings.append(f"{name} is not https: Java refuses it, and tokens are sent unencrypted")
    if "file" in source and not isinstance(source.get("format"), dict):
        found.warnings.append("credential_source has no format: OpenDAL needs one")
    return found


def _inspect_jwks(keys: list[Any]) -> Findings:
    entries = [key for key in keys if isinstance(key, dict)]
    found = Findings(f"JWKS of {len(entries)}")
    for key in entries:
        found.facts.append((f"key {key.get('kid')}", f"{key.get('kty')} {key.get('alg', '')}".strip()))
        if key.keys() & _PRIVATE_MEMBERS:
            found.problems.append(f"key {key.get('kid')} holds its private half: never upload this, and revoke the key")
    if not entries:
        found.problems.append("it is empty: a provider would discover keys at the issuer instead")
    if len(keys) > MOST_PUBLISHED_KEYS:
        found.problems.append(f"it has {len(keys)} keys, and a provider accepts {MOST_PUBLISHED_KEYS}")
    return found


def inspect_jwt(
    text: str,
    now: datetime,
    *,
    keys: Sequence[Mapping[str, Any]] | None,
    expected: Mapping[str, ExpectedClaims],
    missing: str = "no keys available",
) -> Findings:
    """Explain a JWT, with the JWKs of its issuer or why they are missing, and with what each target's token must be.

    A JWT whose segments can't be read is an `UnreadableTokenError`.
    """
    header, claims = read_segments(text)
    found = Findings("JWT", _describe_secret(text))
    found.facts += [(f"header {name}", _show(value)) for name, value in header.items()]
    found.facts += [(name, _show_claim(name, value, now)) for name, value in claims.items()]
    signature, *problems = (f"not verified: {missing}",) if keys is None else _verify(text, header, keys)
    found.facts.append(("signature", signature))
    found.problems += problems
    try:
        token = peek(text)
    except UnreadableTokenError as error:
        found.problems.append(f"STS refuses it: {error}")
        return found
    found.facts.append(("life", format_span(token.lifetime)))
    found.problems += list_refusals(token, now)
    mismatches = {name: wanted.mismatches(token) for name, wanted in expected.items()}
    if all(mismatches.values()):  # of many targets the first few are enough
        for name, reasons in list(mismatches.items())[:_MOST_TARGETS]:
            found.problems.append(f"it is not a token of target {name}: {'; '.join(reasons)}")
    return found


def _verify(text: str, header: Mapping[str, Any], keys: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return what is known of a signature, and the problem if there is one and `keys` are those of the provider."""
    from refresher.keys.jose import is_signed_by  # noqa: PLC0415 - cryptography is only needed here

    kid = header.get("kid")
    candidates = [key for key in keys if key.get("kid") == kid]
    if not candidates:
        known = ", ".join(str(key.get("kid")) for key in keys) or "none"
        problem = f"STS refuses it, unless the provider has the key {kid}; known are: {known}"
        return f"not verified: no key {kid}", problem
    message, _, signature = text.rpartition(".")
    if any(is_signed_by(key, str(header.get("alg")), message, signature) for key in candidates):
        return (f"verified with key {kid}",)
    return "FALSE", f"STS refuses it: the signature is false, key {kid} did not sign this"


def list_refusals(token: SubjectToken, now: datetime) -> Iterator[str]:
    """Return the rules of STS that a JWT breaks whatever the provider, in sentences."""
    claims = token.unverified_claims
    if claims is None:
        return
    if claims.algorithm not in ("RS256", "ES256"):
        yield f"STS refuses it: alg is {claims.algorithm}, not RS256 or ES256"
    if claims.key_id is None:
        yield "STS refuses it, unless the issuer has one key: no kid in the header"
    for name, value in (("iss", claims.issuer), ("sub", claims.subject), ("aud", claims.audience or None)):
        if value is None:
            yield f"STS refuses it: no {name}"
    if len((claims.subject or "").encode(errors="surrogatepass")) > LONGEST_SUBJECT:
        yield f"STS refuses it, if sub is mapped as it is: longer than {LONGEST_SUBJECT} bytes"
    if token.expires_at <= now:
        yield f"STS refuses it: it expired {format_span(now - token.expires_at)} ago"
    if token.issued_at > now + _SKEW:
        yield f"STS refuses it: issued {format_span(token.issued_at - now)} from now; check the clocks"
    if (lifetime := claims.expires_at - token.issued_at) > LONGEST_SUBJECT_TOKEN_LIFE:
        yield f"STS refuses it: its life is {format_span(lifetime)}, and 24 h is the most"


def _describe_secret(text: str) -> list[tuple[str, str]]:
    return [("size", f"{len(text)} bytes"), ("fingerprint", fingerprint(text.encode()))]


def _show_claim(name: str, value: object, now: datetime) -> str:
    if name not in _TIMES or isinstance(value, bool) or not isinstance(value, int | float):
        return _show(value)
    try:
        return _show_moment(datetime.fromtimestamp(value, UTC), now)
    except (OverflowError, ValueError, OSError):
        return f"{value}, not a valid timestamp"


def _show_moment(moment: datetime, now: datetime) -> str:
    distance = format_span(abs(moment - now))
    return f"{moment:%FT%TZ} ({f'in {distance}' if moment > now else f'{distance} ago'})"


def _show(value: object) -> str:
    return value if isinstance(value, str) and value.isprintable() else json.dumps(value)
