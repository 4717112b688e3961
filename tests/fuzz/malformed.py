"""An endless sequence of malformed requests: all operations with wrong paths, fields, types, tokens and bytes.

Some of them are not even HTTP. The same seed always creates the same requests, so that a failure can be repeated.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from refresher.emulator.routes import ROUTES

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Mapping

    from refresher.emulator.http import Route

ISSUER = "https://workers.invalid"
TOKEN_AUDIENCE = "https://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/workers/providers/refresher"

# a valid request of these would change the rules for all later ones
_LEFT_OUT = {
    "emulator.addFault",
    "emulator.clearFaults",
    "emulator.clearJournal",
    "emulator.moveClock",
    "emulator.seed",
    "emulator.setQuotas",
}
TARGETS = tuple(route for route in ROUTES if route.operation not in _LEFT_OUT)

_HALVES = (
    "\x00",
    "\r\n",
    "%00",
    "%2F",
    "%zz",
    "..",
    "é",
    "\ud800",
    "💥",
    ":",
    "*",
    " ",
    "'",
    '"',
    "{",
    "\x1f",
    "~" * 300,
)
_STRANGE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 1e308, 10**30, "", " ", "a", "\x00", "\ud800", "0s", "-1s", "9" * 400 + "s", "1e9s",
    [], [[]], [None], [1], ["a"] * 60, {}, {"": {}}, {"a": {"b": {"c": []}}}, "A" * 5000, "{", "eyJ.eyJ.x",
    "projects/-/serviceAccounts/", "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools//providers/",
)  # fmt: skip
_FIELDS = (
    "scope", "lifetime", "delegates", "audience", "includeEmail", "payload", "policy", "bindings", "role", "members",
    "condition", "expression", "etag", "options", "updateMask", "oidc", "issuerUri", "jwksJson", "attributeMapping",
    "attributeCondition", "allowedAudiences", "accountId", "serviceAccount", "displayName", "description", "disabled",
    "roleId", "includedPermissions", "stage", "serviceIds", "permissions", "filter", "orderBy", "pageSize", "pageToken",
    "resourceNames", "query", "configuration", "name", "spec", "rules", "values", "conditions", "auditConfigs",
    "metadata", "contentType", "sourceObjects", "destination", "labels", "grant_type", "requested_token_type",
    "subject_token", "subject_token_type", "token", "access_token", "id_token", "member", "lifetime_seconds",
    "attestationRules", "title", "version", "google.subject", "attribute.a", "useLegacySql", "datasetReference",
    "assertion", "refresh_token", "client_id", "client_secret", "publicKeyData", "keyAlgorithm", "privateKeyType",
)  # fmt: skip
_QUERIES = (
    "alt", "uploadType", "name", "upload_id", "project", "prefix", "delimiter", "pageToken", "maxResults", "generation",
    "ifGenerationMatch", "ifMetagenerationNotMatch", "updateMask", "workloadIdentityPoolId", "policyId", "format",
    "workloadIdentityPoolProviderId", "audience", "recursive", "permissions", "filter", "pageSize", "showDeleted",
    "startOffset", "endOffset", "path", "access_token", "rewriteToken", "startIndex", "fields", "kmsKeyName",
)  # fmt: skip
_TYPES = ("application/json", "application/x-www-form-urlencoded", "multipart/related; boundary=b", "text/plain",
          "multipart/related", "application/json; charset=utf-7", "", "\xff")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Malformed:
    """One request.

    Attributes:
        content: All of its bytes.
        is_head: Whether the answer has no body.
        is_whole: Whether it is complete, so that there must be an answer.
        reuses: Whether the connection can be used again afterwards.
    """

    content: bytes
    is_head: bool = False
    is_whole: bool = True
    reuses: bool = True


def requests(chance: random.Random, tokens: Mapping[str, str], key: ec.EllipticCurvePrivateKey) -> Iterator[Malformed]:
    """Create requests without end.

    Args:
        chance: Decides everything about them.
        tokens: Real access tokens, so that the requests also reach rules behind the authorisation.
        key: The provider's key, so that they also reach claims behind the signature.
    """
    while True:
        kind = chance.random()
        if kind < 0.05:
            yield _noise(chance)
        elif kind < 0.1:
            yield _broken(chance, _request(chance, tokens))
        elif kind < 0.15:
            yield _exchange(chance, key)
        else:
            yield _request(chance, tokens)


def _request(chance: random.Random, tokens: Mapping[str, str]) -> Malformed:
    route = chance.choice(TARGETS)
    method = (
        route.method if chance.random() < 0.9 else chance.choice(("GET", "PUT", "PATCH", "HEAD", "DELETE", "OPTIONS"))
    )
    kind, body = _body(chance)
    headers = {
        "host": chance.choice(("127.0.0.1", "storage.googleapis.com", "b.storage.googleapis.com", "", "\xe9:x")),
        "content-type": kind,
        "content-length": str(len(body)),
        "metadata-flavor": chance.choice(("Google", "Google", "google", "")),
    }
    is_known = chance.random() < 0.8
    token = chance.choice((*tokens.values(), "anything") if is_known else ("ya29.", "ya29.éé", "eyJ", "", None))
    if token is not None:
        headers["authorization"] = chance.choice(("Bearer ",) * 8 + ("Basic ", "bearer  ")) + token
    if chance.random() < 0.1:
        name = chance.choice(("range", "content-range", "x-goog-user-project", "x-forwarded-for", "expect", "if-match"))
        headers[name] = chance.choice(("bytes=5-1", "bytes 9-1/*", "bytes */*", "-", "\xff", "0" * 3000, "bytes=-0"))
    head = f"{method} {_target(chance, route)} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items())
    return Malformed(head.encode("latin-1", "replace") + b"\r\n" + body, is_head=method == "HEAD")


def _exchange(chance: random.Random, key: ec.EllipticCurvePrivateKey) -> Malformed:
    """Create an exchange in which anything except the signature may be wrong."""
    usual: dict[str, Any] = {"iss": ISSUER, "sub": "user-1", "aud": TOKEN_AUDIENCE, "iat": 1e9, "exp": 4e9}
    claims = usual | {chance.choice(list(usual)): _value(chance, 2) for _ in range(chance.randrange(3))}
    header = {"alg": "ES256", "kid": "k"} | {chance.choice(("alg", "kid", "typ", "crit", "b64")): _value(chance, 1)}
    signed = ".".join(_encoded(json.dumps(part).encode()) for part in (header, claims))
    der = key.sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
    signature = b"".join(number.to_bytes(32, "big") for number in decode_dss_signature(der))
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "scope": "a",
        "audience": TOKEN_AUDIENCE.removeprefix("https:"),
        "subject_token": f"{signed}.{_encoded(signature)}",
    }
    if chance.random() < 0.3:
        form[chance.choice(list(form))] = str(chance.choice(_STRANGE))
    body = urlencode(form, errors="replace").encode()
    return Malformed(b"POST /v1/token HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body) + body)


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _target(chance: random.Random, route: Route) -> str:
    path = re.sub(r"\{(\w+)(\*\*)?\}", lambda found: _segment(chance, found[1]), route.pattern) or "/data/o"
    if chance.random() < 0.1:
        at = chance.randrange(len(path) + 1)
        path = path[:at] + quote(chance.choice(_HALVES), safe="%/:", errors="replace") + path[at:]
    if chance.random() < 0.05:
        path = "/prefix" + path
    query = {chance.choice(_QUERIES): str(chance.choice(_STRANGE)) for _ in range(chance.randrange(4))}
    return f"{path}?{urlencode(query, errors='replace')}" if query else path


def _segment(chance: random.Random, name: str) -> str:
    known = {
        "project": ("my-project", "123456789012", "-"),
        "account": ("task-alice@my-project.iam.gserviceaccount.com", "default", "%20alice@x.iam.gserviceaccount.com"),
        "pool": ("workers",),
        "provider": ("refresher",),
        "bucket": ("data",),
        "object": ("o", "a%2Fb"),
        "parents": ("projects", "folders"),
        "kind": ("alertPolicies", "notificationChannels"),
        "parent": ("my-project", "cloudresourcemanager.googleapis.com%2Fprojects%2Fmy-project"),
        "service": ("iam.googleapis.com",),
    }.get(name, ("x",))
    strange = quote(chance.choice(_HALVES), safe="%", errors="replace")
    return chance.choice(known) if chance.random() < 0.85 else strange


def _body(chance: random.Random) -> tuple[str, bytes]:
    kind = chance.random()
    if kind < 0.1:
        return chance.choice(_TYPES), chance.randbytes(chance.randrange(200))
    if kind < 0.25:
        fields = {chance.choice(_FIELDS): str(_value(chance, 1)) for _ in range(chance.randrange(8))}
        return "application/x-www-form-urlencoded", urlencode(fields, errors="replace").encode()
    document = {chance.choice(_FIELDS): _value(chance, 3) for _ in range(chance.randrange(6))}
    content = json.dumps(document).encode()
    if kind < 0.35:
        content = b"--b\r\n\r\n" + content + b"\r\n--b\r\ncontent-type: \xff\r\n\r\nx\r\n--b--"
        return "multipart/related; boundary=b", content[: chance.randrange(len(content) + 1)]
    if kind < 0.45:
        at = chance.randrange(len(content) + 1)
        content = content[:at] + chance.randbytes(3) + content[at:]
    return chance.choice(("application/json", "application/json", *_TYPES)), content


def _value(chance: random.Random, depth: int) -> Any:  # noqa: ANN401 - any JSON
    kind = chance.random()
    if depth and kind < 0.3:
        return {chance.choice(_FIELDS): _value(chance, depth - 1) for _ in range(chance.randrange(4))}
    if depth and kind < 0.45:
        return [_value(chance, depth - 1) for _ in range(chance.randrange(3))]
    return chance.choice(_STRANGE)


def _broken(chance: random.Random, request: Malformed) -> Malformed:
    """Damage a request's own framing: cut it off, or change a few bytes of its head."""
    content = bytearray(request.content)
    if chance.random() < 0.5:
        return Malformed(
            bytes(content[: chance.randrange(1, len(content))]), request.is_head, is_whole=False, reuses=False
        )
    for _ in range(3):
        content[chance.randrange(min(len(content), 60))] = chance.randrange(256)
    return Malformed(bytes(content), is_whole=False, reuses=False)


def _noise(chance: random.Random) -> Malformed:
    content = chance.choice(
        (
            chance.randbytes(chance.randrange(1, 300)),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET  / HTTP/1.1\r\n\r\n",
            b"POST /v1/token HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
            b"POST /v1/token HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
            b"POST /v1/token HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nx: " + b"y" * 100_000 + b"\r\n\r\n",
        )
    )
    return Malformed(content, is_whole=False, reuses=False)
