from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from refresher.emulator.application import decode_path
from refresher.emulator.cloud import Cloud
from refresher.emulator.credentials import AccountKey, create_key
from refresher.emulator.errors import Refusal
from refresher.emulator.evaluation import IdentityNeeded
from refresher.emulator.http import Call, Reply
from refresher.emulator.mapping import Identity, map_identity
from refresher.emulator.oidc_issuer import KeysNeeded
from refresher.emulator.routes import OPERATIONS, answer
from refresher.emulator.settable_clock import SettableClock
from refresher.emulator.state import Provider
from refresher.emulator.storage_state import Bucket
from tests.fakes import FakeClock
from tests.tokens import NOW
from tests.unit.emulator.storage_calls import issue_token

if TYPE_CHECKING:
    from collections.abc import Mapping

ISSUER = "https://workers.invalid"
NUMBER = "123456789012"
POOL = f"projects/{NUMBER}/locations/global/workloadIdentityPools/workers"
PROVIDER = f"{POOL}/providers/refresher"
ALICE = "task-alice@my-project.iam.gserviceaccount.com"
BOB = "task-bob@my-project.iam.gserviceaccount.com"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"
ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"
NOW_SECONDS = int(NOW.timestamp())

Created = tuple[str, AccountKey, rsa.RSAPrivateKey]
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def principal(subject: str, pool: str = POOL) -> str:
    """Return a subject of a pool as a member of IAM policies."""
    return f"principal://iam.googleapis.com/{pool}/subject/{subject}"


@dataclass
class Issuer:
    """An identity provider with one key."""

    key: PrivateKey
    kid: str = "key-1"
    algorithm: str = "ES256"

    @property
    def jwks(self) -> dict[str, Any]:
        """Return the public half of the key."""
        public = self.key.public_key()
        if isinstance(public, rsa.RSAPublicKey):
            members = jwt.algorithms.RSAAlgorithm.to_jwk(public, as_dict=True)
        else:
            members = jwt.algorithms.ECAlgorithm.to_jwk(public, as_dict=True)
        members.pop("key_ops", None)
        return {"keys": [{**members, "kid": self.kid, "use": "sig"}]}

    def token(self, *, without: tuple[str, ...] = (), headers: Mapping[str, Any] | None = None, **claims: Any) -> str:  # noqa: ANN401 - any claim
        """Sign a token that the provider accepts, with these claims changed or added."""
        usual = {
            "iss": ISSUER,
            "aud": f"https://iam.googleapis.com/{PROVIDER}",
            "sub": "user-1",
            "iat": NOW_SECONDS,
            "exp": NOW_SECONDS + 3600,
        }
        content = {name: value for name, value in {**usual, **claims}.items() if name not in without}
        return jwt.encode(content, self.key, algorithm=self.algorithm, headers={"kid": self.kid, **(headers or {})})


@dataclass
class Google:
    """The rules of one cloud, called without sockets."""

    clock: FakeClock = field(default_factory=FakeClock)
    cloud: Cloud = field(init=False)

    def __post_init__(self) -> None:
        self.cloud = Cloud(clock=SettableClock(self.clock))
        self.cloud.faults.operations = OPERATIONS

    def ask(
        self,
        method: str,
        path: str,
        *,
        document: Any = None,  # noqa: ANN401 - any JSON
        body: bytes | None = None,
        token: str | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send one request and return the answer that the server would send."""
        sent = {name.lower(): value for name, value in (headers or {}).items()}
        if token is not None:
            sent.setdefault("authorization", f"Bearer {token}")
        if document is not None:
            body = json.dumps(document).encode()
            sent.setdefault("content-type", "application/json")
        call = Call(
            method=method,
            path=decode_path(path),
            query=dict(query or {}),
            queries=tuple((query or {}).items()),
            headers=sent,
            body=body or b"",
        )
        try:
            return answer(self.cloud, call)
        except KeysNeeded as needed:
            self.cloud.key_sets[needed.issuer] = (self.cloud.discover(needed.issuer), self.cloud.now())
            call = replace(call, keys_discovered=True)
        except IdentityNeeded as needed:
            call = replace(call, identity=_identity(needed))
        return answer(self.cloud, call)

    def exchange(self, subject_token: str, /, **fields: str) -> Reply:
        """Exchange a subject token with the form that clients send, with these fields changed."""
        usual = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "audience": f"//iam.googleapis.com/{PROVIDER}",
            "scope": SCOPE,
            "requested_token_type": ACCESS_TOKEN_TYPE,
            "subject_token": subject_token,
            "subject_token_type": JWT_TYPE,
        }
        return self.ask(
            "POST",
            "/v1/token",
            body=urlencode({**usual, **fields}).encode(),
            headers={"content-type": "application/x-www-form-urlencoded"},
        )

    def iam(self, account: str, method: str, token: str | None, **body: Any) -> Reply:  # noqa: ANN401 - any JSON
        """Call a method of IAM Credentials for a service account."""
        return self.ask("POST", f"/v1/projects/-/serviceAccounts/{account}:{method}", document=body, token=token)

    def impersonate(self, account: str, token: str | None, **body: Any) -> Reply:  # noqa: ANN401 - any JSON
        """Ask for an access token of a service account."""
        return self.iam(account, "generateAccessToken", token, **{"scope": [SCOPE], **body})

    def whoami(self, token: str) -> dict[str, Any]:
        """Ask for the caller that a token authenticates."""
        document: dict[str, Any] = self.ask("GET", "/emulator/whoami", token=token).document
        return document


def _identity(needed: IdentityNeeded) -> Identity | Refusal:
    """Map claims in this process; the server uses another process for that."""
    try:
        return map_identity(needed.provider, needed.claims)
    except Refusal as refusal:
        return refusal


@pytest.fixture
def issuer() -> Issuer:
    """Return an issuer with an ES256 key."""
    return Issuer(key=ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture(scope="session")
def private_key() -> Created:
    """Return a key of a service account: its id, its public half as stored, and itself."""
    return create_key(0.0)


@pytest.fixture
def google(issuer: Issuer) -> Google:
    """Return a cloud whose provider trusts the issuer, at a fixed time."""
    made = Google()
    made.cloud.state.add_pool("workers").providers["refresher"] = Provider(issuer=ISSUER, jwks=issuer.jwks)
    return made


@pytest.fixture
def federated(google: Google, issuer: Issuer) -> str:
    """Return a federated access token of `user-1`, who may act as alice."""
    google.cloud.state.allow(ALICE, principal("user-1"))
    token: str = google.exchange(issuer.token()).document["access_token"]
    return token


@pytest.fixture
def writer(google: Google) -> str:
    """Return a token of a writer, who has all rights to the objects of a bucket; bob has none."""
    bucket = Bucket(project="my-project", created=0.0)
    bucket.policy.allow("roles/storage.objectUser", f"serviceAccount:{ALICE}")
    google.cloud.state.buckets["data"] = bucket
    return issue_token(google, f"serviceAccount:{ALICE}")
