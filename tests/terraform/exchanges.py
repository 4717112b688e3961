"""Exchanges and impersonations as a client makes them, and an issuer of our own that is not the worker's."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from tests.program import PATIENCE

if TYPE_CHECKING:
    from tests.terraform.conftest import Site

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
JWT = "urn:ietf:params:oauth:token-type:jwt"


@dataclass(frozen=True)
class Issuer:
    """An OpenID provider with one key.

    Attributes:
        uri: Its claim `iss`.
    """

    uri: str
    _key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def jwks(self) -> str:
        """Its public key as a JSON text."""
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key()))
        return json.dumps({"keys": [{**public, "kid": "issuer-1", "alg": "ES256", "use": "sig"}]})

    def token(self, subject: str, audience: str, **claims: Any) -> str:  # noqa: ANN401 - any claim
        """Return a token of an hour for an STS audience."""
        now = int(time.time())
        usual = {"iss": self.uri, "sub": subject, "aud": f"https:{audience}", "iat": now, "exp": now + 3600}
        return jwt.encode(usual | claims, self._key, "ES256", headers={"kid": "issuer-1"})


def exchange(site: Site, audience: str, token: str) -> str:
    """Exchange a subject token; return the federated token, or the text of the refusal."""
    request = {
        "grantType": "urn:ietf:params:oauth:grant-type:token-exchange",
        "audience": audience,
        "scope": SCOPE,
        "requestedTokenType": "urn:ietf:params:oauth:token-type:access_token",
        "subjectTokenType": JWT,
        "subjectToken": token,
    }
    try:
        return str(_post(f"{site.google.http}/v1/token", request)["access_token"])
    except HTTPError as error:
        with error:
            return error.read().decode()


def impersonate(site: Site, federated: str, target: str, delegates: list[str] | None = None) -> int:
    """Request an access token of an account, through a chain; return the status of the answer."""
    chain = [f"projects/-/serviceAccounts/{email}" for email in delegates or []]
    url = f"{site.google.http}/v1/projects/-/serviceAccounts/{target}:generateAccessToken"
    try:
        _post(url, {"scope": [SCOPE], "delegates": chain}, federated)
    except HTTPError as error:
        with error:
            return error.code
    return 200


def describe_provider(site: Site, provider: str, member: str) -> int:
    """Change the description of a provider as a user or account; return the status of the answer."""
    request = Request(  # noqa: S310 - the emulator's own origin
        f"{site.google.http}/v1/{provider}?updateMask=description",
        data=json.dumps({"description": "changed"}).encode(),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {site.google.access_token(member)}"},
        method="PATCH",
    )
    try:
        with urlopen(request, timeout=PATIENCE) as reply:  # noqa: S310 - the emulator's own origin
            return int(reply.status)
    except HTTPError as error:
        with error:
            return error.code


def _post(url: str, body: dict[str, Any], bearer: str | None = None) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {bearer}"} if bearer else {})
    request = Request(url, data=json.dumps(body).encode(), headers=headers)  # noqa: S310 - the emulator's own origin
    with urlopen(request, timeout=PATIENCE) as reply:  # noqa: S310 - the emulator's own origin
        document: dict[str, Any] = json.load(reply)
    return document
