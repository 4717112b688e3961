"""A JWT explained: header, claims, times in words, whether a key verifies it, and the rules of STS it breaks.

The rules are those of workload identity federation with an OIDC provider
(https://docs.cloud.google.com/iam/docs/workload-identity-federation-with-other-providers). The signature is checked and
never shown, so that what is printed is no credential.
"""

from __future__ import annotations

import base64
import binascii
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from refresher.inspection.findings import Findings, span, told
from refresher.keys.verifying import verifies
from refresher.limits import LONGEST_SUBJECT
from refresher.tokens import UnreadableTokenError, fingerprint, peek

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from refresher.tokens import ExpectedClaims, SubjectToken, UnverifiedClaims

_TIMES = ("iat", "nbf", "exp", "auth_time")
_ALGORITHMS = ("RS256", "ES256")
_LONGEST_LIFE = timedelta(hours=24)
_SKEW = timedelta(seconds=60)
_MOST_TARGETS = 5


def inspect_jwt(
    text: str,
    now: datetime,
    *,
    keys: Sequence[Mapping[str, Any]] | None,
    expected: Mapping[str, ExpectedClaims],
    lacking: str = "no keys at hand",
) -> Findings:
    """Explain a JWT.

    Args:
        text: The token.
        now: The wall clock's time.
        keys: JWKs of its issuer; None if there are none to be had.
        expected: What the token of each target of a configuration must be, by its name.
        lacking: Why there are no keys.

    Raises:
        UnreadableTokenError: Its segments cannot be read.
    """
    header, claims = _segment(text, 0), _segment(text, 1)
    facts = [("size", f"{len(text)} bytes"), ("fingerprint", fingerprint(text.encode()))]
    facts += [(f"header {name}", _shown(value)) for name, value in header.items()]
    facts += [(name, _claim(name, value, now)) for name, value in claims.items()]
    facts.append(("signature", _verdict(text, header, keys, lacking)))
    try:
        token = peek(text)
    except UnreadableTokenError as error:
        return Findings(kind="JWT", facts=tuple(facts), problems=(f"STS refuses it: {error}",))
    facts.append(("life", span(token.lifetime)))
    problems = [*_refusals(token, now), *_mismatches(token, expected)]
    return Findings(kind="JWT", facts=tuple(facts), problems=tuple(problems))


def _segment(text: str, number: int) -> dict[str, Any]:
    name = ("header", "payload")[number]
    try:
        segment = text.split(".")[number]
        document = json.loads(base64.b64decode(segment + "=" * (-len(segment) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, IndexError, RecursionError):
        raise UnreadableTokenError(f"its {name} is not base64url of JSON") from None
    if not isinstance(document, dict):
        raise UnreadableTokenError(f"its {name} is not a JSON object")
    return document


def _claim(name: str, value: object, now: datetime) -> str:
    if name in _TIMES and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return told(datetime.fromtimestamp(value, UTC), now)
        except (OverflowError, ValueError, OSError):
            return f"{value}, no time of this era"
    return _shown(value)


def _shown(value: object) -> str:
    return value if isinstance(value, str) and value.isprintable() else json.dumps(value)


def _verdict(text: str, header: Mapping[str, Any], keys: Sequence[Mapping[str, Any]] | None, lacking: str) -> str:
    if keys is None:
        return f"not verified: {lacking}"
    kid = header.get("kid")
    fitting = [key for key in keys if key.get("kid") == kid]
    if not fitting:
        known = ", ".join(str(key.get("kid")) for key in keys) or "none"
        return f"not verified: no key {kid} among {known}"
    message, _, signature = text.rpartition(".")
    is_good = any(verifies(key, str(header.get("alg")), message, signature) for key in fitting)
    return f"verified with key {kid}" if is_good else f"FALSE: key {kid} did not sign this"


def _refusals(token: SubjectToken, now: datetime) -> Iterator[str]:
    """Name the rules of STS that a token breaks whatever the provider."""
    if token.unverified_claims is not None:
        yield from _refused_claims(token.unverified_claims)
    if token.expires_at <= now:
        yield f"STS refuses it: it ended {span(now - token.expires_at)} ago"
    if token.issued_at > now + _SKEW:
        yield f"STS refuses it: issued {span(token.issued_at - now)} from now; check the clocks"
    if token.lifetime > _LONGEST_LIFE:
        yield f"STS refuses it: a life of {span(token.lifetime)}, where 24 h is the most"


def _refused_claims(claims: UnverifiedClaims) -> Iterator[str]:
    if claims.algorithm not in _ALGORITHMS:
        yield f"STS refuses it: alg is {claims.algorithm}, not RS256 or ES256"
    if claims.key_id is None:
        yield "STS refuses it, unless the issuer has one key: no kid in the header"
    for name, value in (("iss", claims.issuer), ("sub", claims.subject), ("aud", claims.audience or None)):
        if value is None:
            yield f"STS refuses it: no {name}"
    if claims.subject is not None and len(claims.subject.encode(errors="surrogatepass")) > LONGEST_SUBJECT:
        yield f"STS refuses it, if sub is mapped as it is: longer than {LONGEST_SUBJECT} bytes"


def _mismatches(token: SubjectToken, expected: Mapping[str, ExpectedClaims]) -> Iterator[str]:
    """Say why it is no token of any target; nothing if it is one's. Of many targets the first few stand for all."""
    found = {name: claims.mismatches(token) for name, claims in expected.items()}
    if all(found.values()):
        for name, mismatches in list(found.items())[:_MOST_TARGETS]:
            yield f"it is no token of target {name}: {'; '.join(mismatches)}"
