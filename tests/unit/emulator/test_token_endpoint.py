"""The token endpoint, and the tokens that accounts sign themselves: what is accepted, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from refresher.emulator.credentials import USER_SCOPES, UserCredential, create_key
from refresher.emulator.oauth2.token import TOKEN_URL
from tests.unit.emulator.conftest import ALICE, BOB, NOW_SECONDS, SCOPE, Google
from tests.unit.emulator.storage_calls import issue_token
from tests.unit.emulator.token_calls import ASSERTION, CAROL, CREATOR, ERRORS, USER, post, read_refusal, refresh, sign

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import rsa

    from tests.unit.emulator.conftest import Created

IAM = "https://www.googleapis.com/auth/iam"


@pytest.fixture
def user(google: Google) -> UserCredential:
    """Create carol's refresh token."""
    google.cloud.state.users[CAROL] = UserCredential(**USER)
    return google.cloud.state.users[CAROL]


@pytest.fixture
def key(google: Google, private_key: Created) -> rsa.RSAPrivateKey:
    """Make the key one of alice's."""
    key_id, stored, private = private_key
    google.cloud.state.add_service_account(ALICE).keys[key_id] = stored
    return private


def test_refresh_token_gets_an_access_token(google: Google, user: UserCredential) -> None:
    """The answer has what the user granted, and an ID token of the user for the client."""
    reply = refresh(google)

    token = reply.document["access_token"]
    assert reply.document | {"access_token": "", "id_token": ""} == {
        "access_token": "",
        "expires_in": 3599,
        "token_type": "Bearer",
        "scope": " ".join(USER_SCOPES),
        "id_token": "",
    }
    assert google.whoami(token)["kind"] == "user"
    assert f"user:{CAROL}" in google.whoami(token)["members"]
    shown = google.ask("GET", "/tokeninfo", query={"id_token": reply.document["id_token"]}).document
    assert (shown["aud"], shown["email"], shown["iss"]) == (USER["client_id"], CAROL, "https://accounts.google.com")
    told = google.ask("GET", "/tokeninfo", query={"access_token": token}).document
    assert (told["email"], told["aud"], told["sub"]) == (CAROL, USER["client_id"], shown["sub"])


@pytest.mark.parametrize("scope", [SCOPE, "openid", f"openid {SCOPE}"])
def test_refresh_can_narrow_the_scopes(google: Google, user: UserCredential, scope: str) -> None:
    """A client can ask for some of the scopes, and gets an ID token only with `openid`."""
    reply = refresh(google, scope=scope)

    assert google.whoami(reply.document["access_token"])["scopes"] == scope.split()
    assert ("id_token" in reply.document) is ("openid" in scope)


def test_user_has_the_rights_of_the_policies(google: Google, user: UserCredential) -> None:
    """A user impersonates an account if its policy allows that, and not otherwise."""
    google.cloud.state.allow(ALICE, f"user:{CAROL}", CREATOR)
    google.cloud.state.add_service_account(BOB)
    token = refresh(google).document["access_token"]

    assert google.impersonate(ALICE, token).status == 200
    assert google.impersonate(BOB, token).status == 403


USER_CAUSES = {
    "O1": ({"refresh_token": "1//unknown"}, {}),
    "O2": ({}, {"revoked": True}),
    "O3": ({"client_id": "another.apps.googleusercontent.com"}, {}),
    "O4": ({"client_secret": "wrong"}, {}),
    "O5": ({"client_id": ""}, {}),
    "O6": ({"client_secret": ""}, {}),
    "O15": ({"grant_type": "password"}, {}),
    "no_parameter": ({"refresh_token": ""}, {}),
    "ungranted_scope": ({"scope": IAM}, {}),
    "other_client": ({"client_id": "other"}, {}),
}


@pytest.mark.parametrize("entry", USER_CAUSES)
def test_wrong_refresh_is_refused(google: Google, user: UserCredential, entry: str) -> None:
    """Each mistake has its own error, and no other user's token is issued."""
    fields, changes = USER_CAUSES[entry]
    google.cloud.state.users["dan@example.com"] = UserCredential(
        client_id="other", client_secret="s", refresh_token="1//dan"
    )
    for name, value in changes.items():
        setattr(user, name, value)

    reply = refresh(google, **fields)

    assert read_refusal(google, reply) == entry
    assert set(reply.document) == {"error", "error_description"}


@pytest.mark.parametrize("path", ["/token", "/oauth2/v4/token", "/oauth2/v3/token", "/o/oauth2/token"])
def test_assertion_gets_an_access_token(google: Google, key: rsa.RSAPrivateKey, path: str) -> None:
    """An account's key is exchanged for a token of the account, at every address of the endpoint."""
    reply = post(google, path, grant_type=ASSERTION, assertion=sign(key, scope=f"{IAM} {SCOPE}"))

    assert (reply.document["expires_in"], reply.document["token_type"]) == (3599, "Bearer")
    shown = google.whoami(reply.document["access_token"])
    assert (shown["service_account"], shown["scopes"]) == (ALICE, [IAM, SCOPE])


def test_assertion_gets_an_id_token(google: Google, key: rsa.RSAPrivateKey) -> None:
    """With `target_audience` the answer is an ID token of the account, and nothing else."""
    reply = post(google, grant_type=ASSERTION, assertion=sign(key, scope=None, target_audience="https://api"))

    assert set(reply.document) == {"id_token"}
    shown = google.ask("GET", "/tokeninfo", query={"id_token": reply.document["id_token"]}).document
    assert (shown["aud"], shown["email"]) == ("https://api", ALICE)


@pytest.mark.parametrize(
    "audience", [TOKEN_URL, "https://www.googleapis.com/oauth2/v4/token", "http://127.0.0.1:8080/token"]
)
def test_assertion_is_for_the_endpoint(google: Google, key: rsa.RSAPrivateKey, audience: str) -> None:
    """The audience is one of Google's addresses, or the one to which the assertion is sent."""
    assert post(google, grant_type=ASSERTION, assertion=sign(key, aud=audience)).status == 200


def test_seed_limits_tokens_of_keys(google: Google, key: rsa.RSAPrivateKey) -> None:
    """`access_token_lives` applies to tokens for a key as well."""
    google.cloud.state.service_accounts[ALICE].longest_life = 20

    assert post(google, grant_type=ASSERTION, assertion=sign(key)).document["expires_in"] == 20


def test_assertion_of_the_key_that_google_holds_is_accepted(google: Google, key: rsa.RSAPrivateKey) -> None:
    """A JWT from `signJwt` is an assertion, too: for accounts without a key."""
    google.cloud.state.allow(ALICE, f"user:{CAROL}", CREATOR)
    claims = {"iss": ALICE, "scope": SCOPE, "aud": TOKEN_URL, "iat": NOW_SECONDS, "exp": NOW_SECONDS + 3600}
    carol = issue_token(google, f"user:{CAROL}")
    signed = google.iam(ALICE, "signJwt", carol, payload=json.dumps(claims)).document["signedJwt"]

    assert post(google, grant_type=ASSERTION, assertion=signed).status == 200


ASSERTIONS: dict[str, list[dict[str, Any]]] = {
    "O8": [{"iss": "nobody@my-project.iam.gserviceaccount.com"}],
    "O9": [
        {"iat": NOW_SECONDS - 7200, "exp": NOW_SECONDS - 3600}, {"exp": NOW_SECONDS + 3601}, {"iat": None},
        {"exp": None}, {"iat": NOW_SECONDS + 400, "exp": NOW_SECONDS + 500}, {"iat": "now"}, {"exp": NOW_SECONDS - 1},
    ],
    "O10": [{"aud": "https://example.com/token"}, {"aud": None}, {"aud": [TOKEN_URL]}, {"aud": f"{TOKEN_URL}/"}],
    "O11": [{"scope": None}, {"scope": ""}, {"scope": ["openid"]}, {"scope": None, "target_audience": ""}],
    "O12": [{"scope": "devstorage.read_write"}, {"scope": f"{SCOPE},{IAM}"}, {"scope": " ".join(SCOPE)}],
    "O13": [{"sub": CAROL}],
    "O14": [{"iss": None}, {"iss": "112233445566778899000"}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "claims"), [(entry, claims) for entry, many in ASSERTIONS.items() for claims in many]
)
def test_wrong_assertion_is_refused(google: Google, key: rsa.RSAPrivateKey, entry: str, claims: dict[str, Any]) -> None:
    """Each mistake has Google's own error."""
    reply = post(google, grant_type=ASSERTION, assertion=sign(key, **claims))

    assert read_refusal(google, reply) == entry


STRANGE: tuple[Any, ...] = (True, -1, 1e308, 10**30, "", " ", "\x00", "9" * 400, [], [None], {}, {"a": []}, "a" * 5000)


@pytest.mark.parametrize("claim", ["iss", "sub", "aud", "scope", "target_audience", "iat", "exp"])
def test_claim_of_any_type_has_an_answer(google: Google, key: rsa.RSAPrivateKey, claim: str) -> None:
    """Whatever a signed claim is, an assertion gets an error of the endpoint or a token, and a bearer token a 401."""
    for value in STRANGE:
        token = sign(key, **{"sub": ALICE, claim: value})
        reply = post(google, grant_type=ASSERTION, assertion=token)

        assert reply.status == 200 or set(reply.document) == {"error", "error_description"}
        assert google.ask("GET", "/emulator/whoami", token=token).status in (200, 401)


def test_guide_shows_the_errors_of_the_endpoint() -> None:
    """The table of the guide has each error with its status, code and text, and a request causes each."""
    guide = Path("docs/emulator.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (O\d+) \| (\d+) `([^`]+)` \| (.+?) \| .+ \|$", guide, re.MULTILINE)

    assert {entry: (int(status), code, text) for entry, status, code, text in rows} == ERRORS
    assert set(ERRORS) - {*USER_CAUSES, *ASSERTIONS} == {"O7"}


@pytest.mark.parametrize("assertion", ["", "rubbish", "a.b.c", "eyJhbGciOiJub25lIn0.e30."])
def test_what_is_no_jwt_is_refused(google: Google, key: rsa.RSAPrivateKey, assertion: str) -> None:
    """400 for an assertion that is missing or cannot be read."""
    assert post(google, grant_type=ASSERTION, assertion=assertion).status == 400


def test_assertion_of_another_key_is_refused(google: Google, key: rsa.RSAPrivateKey) -> None:
    """O7: a stranger's signature, an unknown `kid`, and a disabled or deleted key."""
    account = google.cloud.state.service_accounts[ALICE]
    (key_id,) = account.keys
    _, _, other = create_key(0.0)

    def exchange(assertion: str) -> str | None:
        return read_refusal(google, post(google, grant_type=ASSERTION, assertion=assertion))

    assert exchange(sign(key, kid=key_id)) is None
    assert exchange(sign(other)) == exchange(sign(other, kid=key_id)) == exchange(sign(key, kid="another")) == "O7"
    assert exchange(jwt.encode({"iss": ALICE}, "x" * 32, algorithm="HS256")) == "O7"
    account.keys[key_id].disabled = True
    assert exchange(sign(key, kid=key_id)) == "O7"
    account.keys[key_id].disabled = False
    assert exchange(sign(key)) is None
    account.disabled = True
    assert exchange(sign(key)) == "O8"
    del account.keys[key_id]
    account.disabled = False
    assert exchange(sign(key)) == "O7"


def test_key_of_a_deleted_account_is_void(google: Google, key: rsa.RSAPrivateKey) -> None:
    """O8, and O7 once a new account has the e-mail: it has none of the old keys."""
    path = f"/v1/projects/my-project/serviceAccounts/{ALICE}"
    google.ask("DELETE", path, token="anything")
    gone = post(google, grant_type=ASSERTION, assertion=sign(key))
    google.ask("POST", path.rpartition("/")[0], document={"accountId": ALICE.partition("@")[0]}, token="anything")

    assert gone.document["error_description"] == "Invalid grant: account not found"
    assert read_refusal(google, post(google, grant_type=ASSERTION, assertion=sign(key))) == "O7"


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"aud": "https://iamcredentials.googleapis.com/", "scope": None}, 200),
        ({"aud": None}, 200),
        ({"aud": None, "scope": "openid"}, 403),
        ({"aud": None, "scope": None}, 401),
        ({"aud": "https://iamcredentials.googleapis.com/projects/1", "scope": None}, 401),
        ({"aud": "https://example.com/", "scope": None}, 401),
        ({"aud": None, "sub": CAROL}, 401),
        ({"aud": None, "sub": None}, 401),
        ({"aud": None, "exp": NOW_SECONDS - 400}, 401),
        ({"aud": None, "exp": NOW_SECONDS + 3700}, 401),
    ],
)
def test_self_signed_token_is_a_bearer_token(
    google: Google, key: rsa.RSAPrivateKey, claims: dict[str, Any], status: int
) -> None:
    """An account's own JWT, for a scope or for one service, is accepted without the token endpoint, as at Google."""
    google.cloud.state.allow(BOB, f"serviceAccount:{ALICE}", CREATOR)

    assert google.impersonate(BOB, sign(key, **{"sub": ALICE, **claims})).status == status


def test_self_signed_token_ends_with_its_account(google: Google, key: rsa.RSAPrivateKey) -> None:
    """A disabled account's own JWT is refused."""
    token = sign(key, sub=ALICE, aud=None)
    before = google.ask("GET", "/emulator/whoami", token=token)
    google.cloud.state.service_accounts[ALICE].disabled = True

    assert before.document["service_account"] == ALICE
    assert google.ask("GET", "/emulator/whoami", token=token).status == 401
