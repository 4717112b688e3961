from __future__ import annotations

import base64
import json
from datetime import timedelta

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from tests.unit.emulator.conftest import ALICE, NOW_SECONDS, Google

TOKEN_CREATOR = "roles/iam.serviceAccountTokenCreator"
CAROL = "user:carol@example.com"


@pytest.fixture
def carol(google: Google) -> str:
    """Return an access token of a user who may sign as alice."""
    google.cloud.state.allow(ALICE, CAROL, TOKEN_CREATOR)
    token: str = google.ask("POST", "/emulator/token", document={"member": CAROL}).document["access_token"]
    return token


@pytest.mark.parametrize("path", ["/service_accounts/v1/metadata/jwk", "/service_accounts/v1/jwk"])
def test_published_jwk_verifies_a_signed_jwt(google: Google, carol: str, path: str) -> None:
    """The account's JWKS has the key with the `kid` of a signed JWT, which verifies it."""
    payload = json.dumps({"sub": "user-9", "exp": NOW_SECONDS + 60, "nested": {"a": [1]}})

    signed = google.iam(ALICE, "signJwt", carol, payload=payload).document
    (jwk,) = google.ask("GET", f"{path}/{ALICE}").document["keys"]

    assert jwk["kid"] == signed["keyId"] == jwt.get_unverified_header(signed["signedJwt"])["kid"]
    claims = jwt.decode(
        signed["signedJwt"], jwt.PyJWK(jwk), algorithms=["RS256"], options={"verify_exp": False, "verify_iat": False}
    )
    assert claims == json.loads(payload)


@pytest.mark.parametrize("path", ["/service_accounts/v1/metadata/x509", "/robot/v1/metadata/x509"])
def test_published_certificate_verifies_a_signed_blob(google: Google, carol: str, path: str) -> None:
    """The account's certificate verifies a signed blob, RSA with SHA-256."""
    content = bytes(range(256))

    signed = google.iam(ALICE, "signBlob", carol, payload=base64.b64encode(content).decode()).document
    certificates = google.ask("GET", f"{path}/{ALICE}").document

    key = x509.load_pem_x509_certificate(certificates[signed["keyId"]].encode()).public_key()
    assert isinstance(key, RSAPublicKey)
    key.verify(base64.b64decode(signed["signedBlob"]), content, PKCS1v15(), SHA256())


def test_each_account_has_its_own_key(google: Google) -> None:
    """Two accounts publish two keys, which do not change."""
    google.cloud.state.add_service_account("task-bob@my-project.iam.gserviceaccount.com")
    google.cloud.state.add_service_account(ALICE)
    names = (ALICE, "task-bob@my-project.iam.gserviceaccount.com", ALICE)

    alice, bob, again = (
        google.ask("GET", f"/service_accounts/v1/jwk/{name}").document["keys"][0]["kid"] for name in names
    )

    assert alice == again != bob


def test_absent_accounts_publish_nothing(google: Google) -> None:
    """An unknown or deleted account has no keys."""
    google.cloud.state.add_service_account(ALICE).deleted_at = 0.0

    assert google.ask("GET", f"/service_accounts/v1/jwk/{ALICE}").status == 404
    assert google.ask("GET", "/service_accounts/v1/metadata/x509/nobody@x.iam.gserviceaccount.com").status == 404


@pytest.mark.parametrize(("ahead", "status"), [(43_200, 200), (43_201, 400), (-1, 200)])
def test_signed_jwt_lives_twelve_hours_at_most(google: Google, carol: str, ahead: int, status: int) -> None:
    """`exp` may be at most twelve hours ahead."""
    payload = json.dumps({"exp": NOW_SECONDS + ahead})

    assert google.iam(ALICE, "signJwt", carol, payload=payload).status == status


@pytest.mark.parametrize("payload", ["", "x", "[]", '{"exp": "tomorrow"}', '{"exp": true}', None])
def test_only_claims_are_signed(google: Google, carol: str, payload: str | None) -> None:
    """SignJwt signs a JSON object only."""
    assert google.iam(ALICE, "signJwt", carol, payload=payload).status == 400


def test_only_base64_is_signed(google: Google, carol: str) -> None:
    """SignBlob signs bytes in base64 only."""
    assert google.iam(ALICE, "signBlob", carol, payload="*").status == 400


@pytest.mark.parametrize("method", ["signJwt", "signBlob"])
def test_signing_needs_the_permission(google: Google, method: str) -> None:
    """A caller who may only get tokens of an account may not sign as it."""
    google.cloud.state.allow(ALICE, CAROL, "roles/iam.workloadIdentityUser")
    token = google.ask("POST", "/emulator/token", document={"member": CAROL}).document["access_token"]

    reply = google.iam(ALICE, method, token, payload="e30=" if method == "signBlob" else "{}")

    assert reply.status == 403
    assert f"'iam.serviceAccounts.{method}' denied" in reply.document["error"]["message"]


def test_last_account_of_a_chain_signs(google: Google, carol: str) -> None:
    """Delegates can be between the caller and the account that signs."""
    bob = "task-bob@my-project.iam.gserviceaccount.com"
    google.cloud.state.allow(bob, f"serviceAccount:{ALICE}", TOKEN_CREATOR)
    delegates = [f"projects/-/serviceAccounts/{ALICE}"]

    assert google.iam(bob, "signJwt", carol, payload="{}").status == 403
    assert google.iam(bob, "signJwt", carol, payload="{}", delegates=delegates).status == 200


def test_signed_tokens_can_be_federated(google: Google, carol: str) -> None:
    """A provider can trust an account's own key, at the place where Google publishes it."""
    key = google.ask("GET", f"/service_accounts/v1/jwk/{ALICE}").document
    pool = next(iter(google.cloud.state.pools.values()))
    pool.providers["refresher"].jwks = key
    audience = (
        "https://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/workers/providers/"
    )
    claims = {
        "iss": "https://workers.invalid",
        "aud": f"{audience}refresher",
        "sub": "user-3",
        "iat": NOW_SECONDS,
        "exp": NOW_SECONDS + int(timedelta(hours=1).total_seconds()),
    }

    signed = google.iam(ALICE, "signJwt", carol, payload=json.dumps(claims)).document["signedJwt"]

    assert google.exchange(signed).status == 200


def test_twelve_hours_need_the_organisation_policy(google: Google, carol: str) -> None:
    """I9: only accounts in the organisation policy get more than an hour, and at most twelve."""
    assert google.impersonate(ALICE, carol, lifetime="43200s").status == 400

    policy = {"spec": {"rules": [{"values": {"allowedValues": [ALICE]}}]}}
    name = "projects/my-project/policies/iam.allowServiceAccountCredentialLifetimeExtension"
    google.ask("POST", "/v2/projects/my-project/policies", document={"name": name, **policy}, token="anything")

    granted = google.impersonate(ALICE, carol, lifetime="43200s")
    assert (granted.status, google.impersonate(ALICE, carol, lifetime="43201s").status) == (200, 400)
    google.cloud.clock.advance(timedelta(seconds=43_199))
    assert google.whoami(granted.document["accessToken"])["service_account"] == ALICE
