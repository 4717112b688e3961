"""Keys of service accounts and refresh tokens of users: how they are created, stored, and read from a seed."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from refresher.emulator.credentials import UserCredential
from refresher.emulator.seed import apply_seed
from refresher.emulator.state import State
from refresher.emulator.tokens import dump_key
from refresher.errors import EmulatorError
from tests.unit.emulator.conftest import ALICE, BOB, Google
from tests.unit.emulator.storage_calls import issue_token
from tests.unit.emulator.token_calls import ASSERTION, CAROL, USER, post, refresh, sign

if TYPE_CHECKING:
    from pathlib import Path

    from refresher.emulator.http import Reply
    from tests.conftest import LoadCloud
    from tests.unit.emulator.conftest import Created

KEYS = f"/v1/projects/-/serviceAccounts/{ALICE}/keys"


def admin(google: Google, method: str, path: str, document: Any = None, **query: str) -> Reply:  # noqa: ANN401 - JSON
    """Send a request as the administrator."""
    return google.ask(method, path, document=document, query=query, token="anything")


def test_keys_are_managed(google: Google) -> None:
    """A key is created, used, listed, disabled, enabled and deleted; its private half is shown once."""
    google.cloud.state.add_service_account(ALICE)
    google.cloud.origin = "http://127.0.0.1:8080"
    made = admin(google, "POST", KEYS, {}).document
    file = json.loads(base64.b64decode(made["privateKeyData"]))
    private = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256).prepare_key(file["private_key"])
    assert isinstance(private, rsa.RSAPrivateKey)
    one = f"{KEYS}/{file['private_key_id']}"

    def works() -> bool:
        assertion = sign(private, kid=file["private_key_id"])
        return post(google, grant_type=ASSERTION, assertion=assertion).status == 200

    assert (file["client_email"], file["token_uri"]) == (ALICE, "http://127.0.0.1:8080/token")
    assert (made["keyOrigin"], made["keyType"], made["name"].rpartition("/")[2]) == (
        "GOOGLE_PROVIDED",
        "USER_MANAGED",
        file["private_key_id"],
    )
    assert works()
    assert admin(google, "GET", KEYS).document["keys"] == [admin(google, "GET", one).document]
    assert "privateKeyData" not in admin(google, "GET", one, publicKeyType="TYPE_RAW_PUBLIC_KEY").document
    assert admin(google, "GET", KEYS, keyTypes="SYSTEM_MANAGED").document == {}
    published = google.ask("GET", f"/service_accounts/v1/jwk/{ALICE}").document["keys"]
    assert file["private_key_id"] in [entry["kid"] for entry in published]
    assert admin(google, "POST", f"{one}:disable", {}).status == 200
    assert not works()
    assert admin(google, "POST", f"{one}:enable", {}).status == 200
    assert works()
    assert admin(google, "DELETE", one).status == 200
    assert not works()
    assert (admin(google, "GET", one).status, admin(google, "GET", KEYS).document) == (404, {})


def test_uploaded_certificate_is_a_key(google: Google, private_key: Created) -> None:
    """A user keeps the private half; what is not a certificate or key of RSA is refused."""
    google.cloud.state.add_service_account(ALICE)
    _, stored, private = private_key
    data = base64.b64encode(stored.public_key.encode()).decode()

    made = admin(google, "POST", f"{KEYS}:upload", {"publicKeyData": data})

    assert made.document["keyOrigin"] == "USER_PROVIDED"
    assert post(google, grant_type=ASSERTION, assertion=sign(private)).status == 200
    for wrong in ("", "!", base64.b64encode(b"rubbish").decode()):
        assert admin(google, "POST", f"{KEYS}:upload", {"publicKeyData": wrong}).status == 400
    assert admin(google, "POST", KEYS, {"keyAlgorithm": "KEY_ALG_RSA_1024"}).status == 400


@pytest.mark.parametrize(
    ("constraint", "path", "text"),
    [
        ("iam.disableServiceAccountKeyCreation", KEYS, "Key creation is not allowed on this service account."),
        ("iam.disableServiceAccountKeyUpload", f"{KEYS}:upload", "Key upload is not allowed on this service account."),
    ],
)
def test_organisation_policy_refuses_new_keys(google: Google, constraint: str, path: str, text: str) -> None:
    """The guard rails have an effect: no key is created, or none is uploaded."""
    google.cloud.state.add_service_account(ALICE)
    policy = {"name": f"projects/my-project/policies/{constraint}", "spec": {"rules": [{"enforce": True}]}}
    admin(google, "POST", "/v2/projects/my-project/policies", policy)

    refused = admin(google, "POST", path, {})

    error = refused.document["error"]
    assert (refused.status, error["status"], error["message"]) == (400, "FAILED_PRECONDITION", text)
    assert error["details"][0]["violations"][0]["type"] == f"constraints/{constraint}"
    assert google.cloud.state.service_accounts[ALICE].keys == {}


@pytest.mark.parametrize(
    ("role", "status"),
    [("roles/iam.serviceAccountKeyAdmin", 200), ("roles/iam.serviceAccountTokenCreator", 403), ("roles/owner", 200)],
)
def test_keys_need_a_permission(google: Google, role: str, status: int) -> None:
    """T9: only a caller with the permission creates a key."""
    google.cloud.state.add_service_account(ALICE)
    google.cloud.state.projects["my-project"].policy.allow(role, f"user:{CAROL}")

    assert google.ask("POST", KEYS, document={}, token=issue_token(google, f"user:{CAROL}")).status == status


def test_account_has_ten_keys_at_most(google: Google, private_key: Created) -> None:
    """The eleventh key is refused."""
    account = google.cloud.state.add_service_account(ALICE)
    account.keys.update({f"key-{number}": private_key[1] for number in range(10)})

    assert admin(google, "POST", KEYS, {}).status == 400
    assert len(account.keys) == 10


def test_seed_contains_credentials(google: Google, private_key: Created, tmp_path: Path) -> None:
    """A seed has refresh tokens, and keys by their files: Google's own, PEM of a private or of a public key."""
    key_id, stored, private = private_key
    (tmp_path / "key.json").write_text(
        json.dumps({"client_email": ALICE, "private_key": dump_key(private), "private_key_id": "of-google"})
    )
    (tmp_path / "private.pem").write_text(dump_key(private))
    (tmp_path / "public.pem").write_text(stored.public_key)
    seed = {
        "users": {CAROL: USER},
        "service_account_keys": {ALICE: ["key.json", "private.pem"], BOB: ["public.pem"]},
    }

    apply_seed(google.cloud.state, seed, directory=tmp_path)
    apply_seed(google.cloud.state, seed, directory=tmp_path)

    assert set(google.cloud.state.service_accounts[ALICE].keys) == {"of-google", key_id}
    assert refresh(google).status == 200
    for account, kid in ((ALICE, "of-google"), (ALICE, key_id), (BOB, key_id)):
        assert post(google, grant_type=ASSERTION, assertion=sign(private, kid=kid, iss=account)).status == 200


@pytest.mark.parametrize(
    ("seed", "problem"),
    [
        ({"users": {CAROL: {"client_id": "c"}}}, "client_secret is missing"),
        ({"users": {CAROL: USER | {"scopes": "openid"}}}, "a list of texts"),
        ({"users": {CAROL: USER | {"scopes": ["cloud-platform"]}}}, "Google's form"),
        ({"users": {CAROL: USER | {"revoked": "no"}}}, "true or false"),
        ({"users": {CAROL: USER | {"password": "x"}}}, "unknown keys: password"),
        ({"users": [CAROL]}, "a mapping is needed"),
        ({"service_account_keys": {ALICE: ["absent.json"]}}, "cannot be read: No such file"),
        ({"service_account_keys": {ALICE: ["rubbish"]}}, "neither the file of a service account's key nor PEM"),
        ({"service_account_keys": {ALICE: ["empty.json"]}}, "neither the file of a service account's key nor PEM"),
        ({"service_account_keys": {ALICE: ["bytes"]}}, "is not text"),
        ({"service_account_keys": {ALICE: ["bob.json"]}}, f"is the key of {BOB}"),
        ({"service_account_keys": {ALICE: "bob.json"}}, "a list of texts"),
    ],
)
def test_wrong_credentials_in_a_seed_are_refused(
    seed: dict[str, Any], problem: str, private_key: Created, tmp_path: Path
) -> None:
    """The mistake is shown, and nothing of a key."""
    (tmp_path / "rubbish").write_text("rubbish")
    (tmp_path / "empty.json").write_text("{}")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    (tmp_path / "bob.json").write_text(json.dumps({"client_email": BOB, "private_key": dump_key(private_key[2])}))

    with pytest.raises(EmulatorError, match=problem) as refused:
        apply_seed(State(), seed, directory=tmp_path)

    assert "PRIVATE KEY" not in str(refused.value)


def test_restart_restores_credentials(tmp_path: Path, private_key: Created, load_cloud: LoadCloud) -> None:
    """Keys and refresh tokens are stored; of a key, only the public half."""
    key_id, stored, private = private_key
    before = load_cloud(tmp_path)
    before.state.users[CAROL] = UserCredential(**USER, scopes=["openid"])
    before.state.add_service_account(ALICE).keys[key_id] = stored
    before.save()

    after = load_cloud(tmp_path)

    assert after.state == before.state
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert dump_key(private).splitlines()[1].encode() not in content
