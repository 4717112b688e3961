from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.unit.emulator.conftest import (
    ACCESS_TOKEN_TYPE,
    ISSUER,
    JWT_TYPE,
    NOW_SECONDS,
    NUMBER,
    POOL,
    PROVIDER,
    SCOPE,
    Google,
    Issuer,
    principal,
)

if TYPE_CHECKING:
    from refresher.emulator.calls import Reply

INVALID_AUDIENCE = (
    'Invalid value for "audience". This value should be the full resource name of the Identity Provider. See '
    "https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token for the list of possible formats."
)
INVALID_TARGET = (
    'The target service indicated by the "audience" parameters is invalid. This might either be because the pool or '
    "provider is disabled or deleted or because it doesn't exist."
)
STALE = "ID Token issued at {} is stale to sign-in."
UNCONNECTED = "Error connecting to the given credential's issuer."


def refusal_of(reply: Reply) -> tuple[int, str, str]:
    """Give status, code and text of an OAuth error."""
    return reply.status, reply.document["error"], reply.document["error_description"]


def test_exchanges_a_subject_token(google: Google, issuer: Issuer) -> None:
    """A token that the provider accepts becomes a Bearer token of exactly the principal, for at most an hour."""
    reply = google.exchange(issuer.token())

    assert reply.status == 200
    assert set(reply.document) == {"access_token", "issued_token_type", "token_type", "expires_in"}
    assert reply.document["issued_token_type"] == ACCESS_TOKEN_TYPE
    assert reply.document["token_type"] == "Bearer"
    assert reply.document["expires_in"] == 3600
    assert google.whoami(reply.document["access_token"])["principal"] == principal("user-1")


@pytest.mark.parametrize(("left", "expected"), [(7200, 3600), (3600, 3600), (300, 300), (3, 3)])
def test_grants_what_the_subject_token_has_left(google: Google, issuer: Issuer, left: int, expected: int) -> None:
    """The federated token lives as long as the subject token, at most an hour."""
    reply = google.exchange(issuer.token(exp=NOW_SECONDS + left))

    assert reply.document["expires_in"] == expected


def test_leaves_out_the_lifetime_of_a_token_about_to_end(google: Google, issuer: Issuer) -> None:
    """With two seconds left the answer has no `expires_in` (measured with the real STS)."""
    reply = google.exchange(issuer.token(exp=NOW_SECONDS + 2))

    assert reply.status == 200
    assert "expires_in" not in reply.document


def test_fails_on_a_token_that_ends_this_second(google: Google, issuer: Issuer) -> None:
    """E15: with one second left STS answers HTTP 500 in the shape of google.rpc.Status."""
    reply = google.exchange(issuer.token(exp=NOW_SECONDS + 1))

    assert reply.status == 500
    assert reply.document["error"]["status"] == "INTERNAL"


def test_a_federated_token_ends(google: Google, issuer: Issuer) -> None:
    """A federated token is known until its end and not after it."""
    token = google.exchange(issuer.token(exp=NOW_SECONDS + 300)).document["access_token"]
    google.clock.pass_(timedelta(seconds=299))
    before = google.ask("GET", "/emulator/whoami", token=token).status

    google.clock.pass_(timedelta(seconds=1))

    assert (before, google.ask("GET", "/emulator/whoami", token=token).status) == (200, 401)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded;charset=UTF-8",
        "application/x-www-form-urlencoded,application/x-www-form-urlencoded",
    ],
)
def test_takes_forms_however_they_are_announced(google: Google, issuer: Issuer, content_type: str) -> None:
    """The content types that clients send, the doubled one of C++ included, all mean a form."""
    form = {
        "subject_token": issuer.token(),
        "subject_token_type": JWT_TYPE,
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "requested_token_type": ACCESS_TOKEN_TYPE,
        "audience": f"//iam.googleapis.com/{PROVIDER}",
        "scope": SCOPE,
        "actor_token": "",
    }

    reply = google.ask("POST", "/v1/token", body=urlencode(form).encode(), headers={"content-type": content_type})

    assert reply.status == 200


@pytest.mark.parametrize("style", ["camelCase", "snake_case"])
def test_takes_json(google: Google, issuer: Issuer, style: str) -> None:
    """JSON is taken in camel case and in snake case."""
    document = {
        "grantType": "urn:ietf:params:oauth:grant-type:token-exchange",
        "audience": f"//iam.googleapis.com/{PROVIDER}",
        "scope": SCOPE,
        "requestedTokenType": ACCESS_TOKEN_TYPE,
        "subjectToken": issuer.token(),
        "subjectTokenType": JWT_TYPE,
    }
    if style == "snake_case":
        document = {
            "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name): value
            for name, value in document.items()
        }

    assert google.ask("POST", "/v1/token", document=document).status == 200


@pytest.mark.parametrize("encode", [json.dumps, lambda options: quote(json.dumps(options))], ids=["plain", "encoded"])
def test_takes_options_plain_and_url_encoded(google: Google, issuer: Issuer, encode: Any) -> None:  # noqa: ANN401 - a function
    """Options come as JSON, or URL-encoded once more as Python and Ruby do."""
    assert google.exchange(issuer.token(), options=encode({"userProject": "my-project"})).status == 200


def test_tolerates_a_path_prefix(google: Google) -> None:
    """A path in front of Google's changes nothing."""
    form = urlencode({"grant_type": "x"}).encode()

    reply = google.ask("POST", "/sts/v1/token", body=form)

    assert reply.document["error"] == "unsupported_grant_type"


@pytest.mark.parametrize(
    ("fields", "code", "text"),
    [
        ({"scope": ""}, "invalid_request", "Scope(s) must be provided."),
        ({"scope": "  "}, "invalid_request", "Scope(s) must be provided."),
        ({"subject_token": ""}, "invalid_request", "subject_token must be nonempty."),
        ({"subject_token_type": ""}, "invalid_request", "subject_token_type must be nonempty."),
        ({"grant_type": "password"}, "unsupported_grant_type", "Invalid grant_type."),
        ({"requested_token_type": JWT_TYPE}, "invalid_request", "Invalid requested_token_type."),
    ],
    ids=["no scope", "blank scope", "no subject token", "no subject token type", "grant type", "requested token type"],
)
def test_refuses_an_incomplete_form(
    google: Google, issuer: Issuer, fields: dict[str, str], code: str, text: str
) -> None:
    """E1 and its like: what a request must have is named, with HTTP 400."""
    assert refusal_of(google.exchange(issuer.token(), **fields)) == (400, code, text)


@pytest.mark.parametrize(
    "audience",
    [
        "",
        "garbage",
        PROVIDER,
        f"https://iam.googleapis.com/{PROVIDER}",
        f"//iam.googleapis.com//{PROVIDER}",
        f"//iam.googleapis.com///iam.googleapis.com/{PROVIDER}",
        f"//iam.example.com/{PROVIDER}",
        "//iam.googleapis.com/projects//locations/global/workloadIdentityPools/workers/providers/refresher",
        f"//iam.googleapis.com/projects/{NUMBER}/locations/eu/workloadIdentityPools/workers/providers/refresher",
        f"//iam.googleapis.com/{PROVIDER}/",
    ],
)
def test_refuses_a_malformed_audience(google: Google, issuer: Issuer, audience: str) -> None:
    """E2: the STS audience must be the full resource name of a provider."""
    assert refusal_of(google.exchange(issuer.token(), audience=audience)) == (400, "invalid_request", INVALID_AUDIENCE)


@pytest.mark.parametrize(
    "audience",
    [
        f"//iam.googleapis.com/{PROVIDER.replace(NUMBER, 'my-project')}",
        f"//iam.googleapis.com/{POOL}",
        f"//iam.googleapis.com/{POOL}/providers/other",
        f"//iam.googleapis.com/{PROVIDER.replace('workers', 'others')}",
    ],
    ids=["project id for number", "pool for provider", "no such provider", "no such pool"],
)
def test_refuses_an_audience_that_names_nothing(google: Google, issuer: Issuer, audience: str) -> None:
    """E4: a well-formed audience must name a provider that exists."""
    assert refusal_of(google.exchange(issuer.token(), audience=audience)) == (400, "invalid_target", INVALID_TARGET)


@pytest.mark.parametrize("what", ["pool", "provider"])
def test_refuses_what_is_disabled(google: Google, issuer: Issuer, what: str) -> None:
    """E4: a disabled pool or provider accepts nothing."""
    pool = google.cloud.state.add_pool("workers")
    if what == "pool":
        pool.disabled = True
    else:
        pool.providers["refresher"].disabled = True

    assert refusal_of(google.exchange(issuer.token())) == (400, "invalid_target", INVALID_TARGET)


def test_accepts_both_forms_of_the_default_audience(google: Google, issuer: Issuer) -> None:
    """While a provider lists no audiences its own name is accepted with and without the scheme."""
    statuses = [
        google.exchange(issuer.token(aud=aud)).status
        for aud in (f"https://iam.googleapis.com/{PROVIDER}", f"//iam.googleapis.com/{PROVIDER}")
    ]

    assert statuses == [200, 200]


def test_listed_audiences_replace_the_default(google: Google, issuer: Issuer) -> None:
    """E5: once audiences are listed the provider's own name is not accepted any more."""
    google.cloud.state.add_pool("workers").providers["refresher"].allowed_audiences = ["https://a.example"]
    own = f"https://iam.googleapis.com/{PROVIDER}"

    assert google.exchange(issuer.token(aud="https://a.example")).status == 200
    assert google.exchange(issuer.token(aud=["x", "https://a.example"])).status == 200
    assert refusal_of(google.exchange(issuer.token())) == (
        400,
        "invalid_grant",
        f"The audience in ID Token [{own}] does not match the expected audience.",
    )


@pytest.mark.parametrize(("claimed", "shown"), [("https://other.invalid", "https://other.invalid"), (None, "null")])
def test_refuses_another_issuer(google: Google, issuer: Issuer, claimed: str | None, shown: str) -> None:
    """E6: `iss` must be the provider's issuer, character for character."""
    token = issuer.token(iss=claimed) if claimed else issuer.token(without=("iss",))

    assert refusal_of(google.exchange(token)) == (
        400,
        "invalid_grant",
        f"The issuer in ID Token {shown} does not match the expected one in config: {ISSUER}",
    )


@pytest.mark.parametrize(
    ("claims", "without", "text"),
    [
        ({"exp": NOW_SECONDS - 61}, (), STALE.format(NOW_SECONDS)),
        ({"iat": NOW_SECONDS + 119}, (), STALE.format(NOW_SECONDS + 119)),
        ({}, ("exp",), STALE.format(NOW_SECONDS)),
        ({}, ("iat",), STALE.format("null")),
        ({"iat": "yesterday"}, (), STALE.format("null")),
        ({"exp": 1e300}, (), STALE.format(NOW_SECONDS)),
    ],
    ids=["expired", "from the future", "no exp", "no iat", "iat is no number", "exp is no time"],
)
def test_refuses_a_stale_token(
    google: Google, issuer: Issuer, claims: dict[str, Any], without: tuple[str, ...], text: str
) -> None:
    """E7 and E8: issue and expiry must be there and in their place, with 60 s of skew."""
    assert refusal_of(google.exchange(issuer.token(without=without, **claims))) == (400, "invalid_grant", text)


def test_tolerates_a_minute_of_skew(google: Google, issuer: Issuer) -> None:
    """A token issued up to 60 s in the future is accepted (measured)."""
    assert google.exchange(issuer.token(iat=NOW_SECONDS + 60)).status == 200


@pytest.mark.parametrize(
    "change",
    [
        lambda _token: "ya29.opaque",
        lambda token: f"{token}\n",
        lambda token: f" {token}",
        lambda token: f"\ufeff{token}",
        lambda token: f'{{"token": "{token}"}}',
        lambda token: token.rpartition(".")[0],
        lambda token: f"{token}.x",
    ],
    ids=["opaque", "newline", "space", "byte order mark", "JSON wrapper", "two segments", "four segments"],
)
def test_refuses_what_is_no_clean_token(google: Google, issuer: Issuer, change: Any) -> None:  # noqa: ANN401 - a function
    """E9: what is not exactly a JWT cannot be parsed."""
    reply = google.exchange(change(issuer.token()))

    assert refusal_of(reply) == (400, "invalid_grant", "Unable to parse the ID Token.")


def test_refuses_an_unknown_key(google: Google, issuer: Issuer) -> None:
    """E10: a `kid` that is not among the uploaded keys gets the misleading text of the real STS."""
    assert refusal_of(google.exchange(issuer.token(headers={"kid": "key-2"}))) == (400, "invalid_grant", UNCONNECTED)


def test_refuses_the_wrong_signature(google: Google) -> None:
    """E11: the right `kid` with another key's signature is told apart from an unknown `kid`."""
    stranger = Issuer(key=ec.generate_private_key(ec.SECP256R1()))

    assert refusal_of(google.exchange(stranger.token())) == (
        400,
        "invalid_grant",
        "Unable to verify the ID Token signature.",
    )


def test_refuses_a_key_of_another_type(google: Google) -> None:
    """E10: a token whose algorithm is not that of the uploaded key is refused as if the key were unknown."""
    stranger = Issuer(key=rsa.generate_private_key(public_exponent=65537, key_size=2048), algorithm="RS256")

    assert refusal_of(google.exchange(stranger.token()))[2] == UNCONNECTED


def test_accepts_rs256(google: Google) -> None:
    """RSA keys work as EC keys do."""
    issuer = Issuer(key=rsa.generate_private_key(public_exponent=65537, key_size=2048), algorithm="RS256")
    google.cloud.state.add_pool("workers").providers["refresher"].jwks = issuer.jwks

    assert google.exchange(issuer.token()).status == 200


@pytest.mark.parametrize("algorithm", ["HS256", "none"])
def test_refuses_other_algorithms(google: Google, issuer: Issuer, algorithm: str) -> None:
    """Only RS256 and ES256 are accepted, a token without signature least of all."""
    key = "a secret of thirty-two bytes, no less" if algorithm == "HS256" else ""
    token = jwt.encode({"iss": ISSUER, "sub": "user-1"}, key, algorithm=algorithm, headers={"kid": issuer.kid})

    assert google.exchange(token).document["error"] == "invalid_grant"


@pytest.mark.parametrize("claims", [{"sub": ""}, {"sub": None}, {"sub": 7}], ids=["empty", "null", "number"])
def test_refuses_a_subject_without_value(google: Google, issuer: Issuer, claims: dict[str, Any]) -> None:
    """E14: what `google.subject` is mapped from must have a value."""
    content = {
        "iss": ISSUER,
        "aud": f"https://iam.googleapis.com/{PROVIDER}",
        "iat": NOW_SECONDS,
        "exp": NOW_SECONDS + 600,
    }
    token = jwt.api_jws.encode(
        json.dumps(content | claims).encode(), issuer.key, algorithm="ES256", headers={"kid": issuer.kid}
    )

    assert refusal_of(google.exchange(token)) == (
        400,
        "unauthorized_client",
        "Could not obtain a value for google.subject from the given credential.",
    )


@pytest.mark.parametrize(("subject", "status"), [("x" * 127, 200), ("x" * 128, 400), ("é" * 63, 200), ("é" * 64, 400)])
def test_limits_the_subject_in_bytes(google: Google, issuer: Issuer, subject: str, status: int) -> None:
    """E3: `google.subject` may be 127 bytes long, not characters."""
    reply = google.exchange(issuer.token(sub=subject))

    assert reply.status == status
    assert status == 200 or "exceeds the 127 bytes limit" in reply.document["error_description"]


def test_discovers_the_keys_of_an_issuer(google: Google, issuer: Issuer) -> None:
    """Without uploaded keys the issuer is asked; one that does not answer is E10."""
    google.cloud.state.add_pool("workers").providers["refresher"].jwks = None
    unanswered = google.exchange(issuer.token())

    google.cloud.discover = {ISSUER: issuer.jwks}.get

    assert refusal_of(unanswered) == (400, "invalid_grant", UNCONNECTED)
    assert google.exchange(issuer.token()).status == 200


def test_introspects_a_federated_token(google: Google, issuer: Issuer) -> None:
    """RFC 7662: a federated token is active and names its principal; anything else is not active."""
    token = google.exchange(issuer.token()).document["access_token"]

    known, unknown = (
        google.ask("POST", "/v1/introspect", body=urlencode({"token": value, "token_type_hint": "x"}).encode()).document
        for value in (token, "ya29.other")
    )

    assert (known["active"], known["username"]) == (True, principal("user-1"))
    assert known["exp"] == NOW_SECONDS + 3600
    assert unknown == {"active": False}


def test_notes_exchanges_without_secrets(google: Google, issuer: Issuer) -> None:
    """The journal tells who exchanged and which refusal was met, with a fingerprint instead of the token."""
    token = issuer.token()
    google.exchange(token)
    google.exchange(token, scope="")

    entries = google.cloud.journal.entries("/v1/token")

    assert [(entry.status, entry.refusal) for entry in entries] == [(200, None), (400, "E1")]
    assert entries[0].facts["principal"] == principal("user-1")
    assert len(entries[0].facts["subject_token"]) == 8
    assert token not in json.dumps([entry.as_document() for entry in entries])
