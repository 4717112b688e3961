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
    """Give an access token of a user who may sign as alice."""
    google.cloud.state.allow(ALICE, CAROL, TOKEN_CREATOR)
    token: str = google.ask("POST", "/emulator/token", document={"member": CAROL}).document["access_token"]
    return token


@pytest.mark.parametrize("path", ["/service_accounts/v1/metadata/jwk", "/service_accounts/v1/jwk"])
def test_the_published_jwk_verifies_a_signed_jwt(google: Google, carol: str, path: str) -> None:
    """What signJwt signed is verified by the account's JWKS, found by the `kid`."""
    payload = json.dumps({"sub": "user-9", "exp": NOW_SECONDS + 60, "nested": {"a": [1]}})

    signed = google.iam(ALICE, "signJwt", carol, payload=payload).document
    (jwk,) = google.ask("GET", f"{path}/{ALICE}").document["keys"]

    assert jwk["kid"] == signed["keyId"] == jwt.get_unverified_header(signed["signedJwt"])["kid"]
    claims = jwt.decode(
        signed["signedJwt"], jwt.PyJWK(jwk), algorithms=["RS256"], options={"verify_exp": False, "verify_iat": False}
    )
    assert claims == json.loads(payload)


@pytest.mark.parametrize("path", ["/service_accounts/v1/metadata/x509", "/robot/v1/metadata/x509"])
def test_the_published_certificate_verifies_a_signed_blob(google: Google, carol: str, path: str) -> None:
    """What signBlob signed is verified by the account's certificate, RSA with SHA-256."""
    content = bytes(range(256))

    signed = google.iam(ALICE, "signBlob", carol, payload=base64.b64encode(content).decode()).document
    certificates = google.ask("GET", f"{path}/{ALICE}").document

    key = x509.load_pem_x509_certificate(certificates[signed["keyId"]].encode()).public_key()
    assert isinstance(key, RSAPublicKey)
    key.verify(base64.b64decode(signed["signedBlob"]), content, PKCS1v15(), SHA256())


def test_accounts_have_keys_of_their_own(google: Google) -> None:
    """Two accounts publish two keys, each always the same."""
    google.cloud.state.add_service_account("task-bob@my-project.iam.gserviceaccount.com")
    google.cloud.state.add_service_account(ALICE)
    names = (ALICE, "task-bob@my-project.iam.gserviceaccount.com", ALICE)

    alice, bob, again = (
        google.ask("GET", f"/service_accounts/v1/jwk/{name}").document["keys"][0]["kid"] for name in names
    )

    assert alice == again != bob


def test_accounts_that_are_not_there_publish_nothing(google: Google) -> None:
    """An unknown or deleted account has no keys."""
    google.cloud.state.add_service_account(ALICE).deleted_at = 0.0

    assert google.ask("GET", f"/service_accounts/v1/jwk/{ALICE}").status == 404
    assert google.ask("GET", "/service_accounts/v1/metadata/x509/nobody@x.iam.gserviceaccount.com").status == 404


@pytest.mark.parametrize(("ahead", "status"), [(43_200, 200), (43_201, 400), (-1, 200)])
def test_a_signed_jwt_lives_twelve_hours_at_most(google: Google, carol: str, ahead: int, status: int) -> None:
    """`exp` may lie at most twelve hours ahead."""
    payload = json.dumps({"exp": NOW_SECONDS + ahead})

    assert google.iam(ALICE, "signJwt", carol, payload=payload).status == status


@pytest.mark.parametrize("payload", ["", "x", "[]", '{"exp": "tomorrow"}', '{"exp": true}', None])
def test_signs_claims_only(google: Google, carol: str, payload: str | None) -> None:
    """What signJwt signs is a JSON object."""
    assert google.iam(ALICE, "signJwt", carol, payload=payload).status == 400


def test_signs_base64_only(google: Google, carol: str) -> None:
    """What signBlob signs comes as base64."""
    assert google.iam(ALICE, "signBlob", carol, payload="*").status == 400


@pytest.mark.parametrize("method", ["signJwt", "signBlob"])
def test_signing_needs_the_permission(google: Google, method: str) -> None:
    """Who may only get tokens of an account may not sign as it."""
    google.cloud.state.allow(ALICE, CAROL, "roles/iam.workloadIdentityUser")
    token = google.ask("POST", "/emulator/token", document={"member": CAROL}).document["access_token"]

    reply = google.iam(ALICE, method, token, payload="e30=" if method == "signBlob" else "{}")

    assert reply.status == 403
    assert f"'iam.serviceAccounts.{method}' denied" in reply.document["error"]["message"]


def test_signs_for_the_last_of_a_chain(google: Google, carol: str) -> None:
    """Delegates stand between the caller and the account that signs."""
    bob = "task-bob@my-project.iam.gserviceaccount.com"
    google.cloud.state.allow(bob, f"serviceAccount:{ALICE}", TOKEN_CREATOR)
    delegates = [f"projects/-/serviceAccounts/{ALICE}"]

    assert google.iam(bob, "signJwt", carol, payload="{}").status == 403
    assert google.iam(bob, "signJwt", carol, payload="{}", delegates=delegates).status == 200


def test_signed_tokens_can_be_federated(google: Google, carol: str) -> None:
    """A provider may trust an account's own key, found where Google publishes it."""
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
    """I9: more than an hour is granted only to accounts that the organisation policy lists, and twelve at most."""
    assert google.impersonate(ALICE, carol, lifetime="43200s").status == 400

    policy = {"spec": {"rules": [{"values": {"allowedValues": [ALICE]}}]}}
    name = "projects/my-project/policies/iam.allowServiceAccountCredentialLifetimeExtension"
    google.ask("POST", "/v2/projects/my-project/policies", document={"name": name, **policy}, token="anything")

    granted = google.impersonate(ALICE, carol, lifetime="43200s")
    assert (granted.status, google.impersonate(ALICE, carol, lifetime="43201s").status) == (200, 400)
    google.cloud.clock.advance(timedelta(seconds=43_199))
    assert google.whoami(granted.document["accessToken"])["service_account"] == ALICE
