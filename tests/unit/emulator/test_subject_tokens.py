from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from refresher.emulator.expressions import DEEPEST
from tests.unit.emulator.conftest import (
    ISSUER,
    NOW_SECONDS,
    PROVIDER,
    Google,
    Issuer,
)

if TYPE_CHECKING:
    from refresher.emulator.http import Reply

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


def read_refusal(reply: Reply) -> tuple[int, str, str]:
    """Return status, code and text of an OAuth error."""
    return reply.status, reply.document["error"], reply.document["error_description"]


def test_both_forms_of_the_default_audience_are_accepted(google: Google, issuer: Issuer) -> None:
    """If a provider lists no audiences, its own name is accepted with and without the scheme."""
    statuses = [
        google.exchange(issuer.token(aud=aud)).status
        for aud in (f"https://iam.googleapis.com/{PROVIDER}", f"//iam.googleapis.com/{PROVIDER}")
    ]

    assert statuses == [200, 200]


def test_listed_audiences_replace_the_default(google: Google, issuer: Issuer) -> None:
    """E5: if audiences are listed, the provider's own name is no longer accepted."""
    google.cloud.state.add_pool("workers").providers["refresher"].allowed_audiences = ["https://a.example"]
    own = f"https://iam.googleapis.com/{PROVIDER}"

    assert google.exchange(issuer.token(aud="https://a.example")).status == 200
    assert google.exchange(issuer.token(aud=["x", "https://a.example"])).status == 200
    assert read_refusal(google.exchange(issuer.token())) == (
        400,
        "invalid_grant",
        f"The audience in ID Token [{own}] does not match the expected audience.",
    )


@pytest.mark.parametrize(("claimed", "shown"), [("https://other.invalid", "https://other.invalid"), (None, "null")])
def test_other_issuer_is_refused(google: Google, issuer: Issuer, claimed: str | None, shown: str) -> None:
    """E6: `iss` must be the provider's issuer, character for character."""
    token = issuer.token(iss=claimed) if claimed else issuer.token(without=("iss",))

    assert read_refusal(google.exchange(token)) == (
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
def test_stale_token_is_refused(
    google: Google, issuer: Issuer, claims: dict[str, Any], without: tuple[str, ...], text: str
) -> None:
    """E7 and E8: issue and expiry are required and must fit the time, with 60 s of skew."""
    assert read_refusal(google.exchange(issuer.token(without=without, **claims))) == (400, "invalid_grant", text)


def test_minute_of_skew_is_accepted(google: Google, issuer: Issuer) -> None:
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
def test_malformed_token_is_refused(google: Google, issuer: Issuer, change: Any) -> None:  # noqa: ANN401 - a function
    """E9: what is not exactly a JWT cannot be parsed."""
    reply = google.exchange(change(issuer.token()))

    assert read_refusal(reply) == (400, "invalid_grant", "Unable to parse the ID Token.")


@pytest.mark.parametrize("levels", [100, 101, 495, 800])
def test_deeply_nested_claims_are_refused(google: Google, issuer: Issuer, levels: int) -> None:
    """E9: a claim with more levels than the limit is refused, however many there are."""
    claim: Any = "a"
    for _ in range(levels - 1):
        claim = [claim]

    reply = google.exchange(issuer.token(extra=claim))

    if levels > DEEPEST:
        assert read_refusal(reply) == (400, "invalid_grant", "Unable to parse the ID Token.")
    else:
        assert reply.status == 200


def test_unknown_key_is_refused(google: Google, issuer: Issuer) -> None:
    """E10: a `kid` that is not among the uploaded keys gets the misleading text of the real STS."""
    assert read_refusal(google.exchange(issuer.token(headers={"kid": "key-2"}))) == (400, "invalid_grant", UNCONNECTED)


def test_wrong_signature_is_refused(google: Google) -> None:
    """E11: the right `kid` with another key's signature has another error than an unknown `kid`."""
    stranger = Issuer(key=ec.generate_private_key(ec.SECP256R1()))

    assert read_refusal(google.exchange(stranger.token())) == (
        400,
        "invalid_grant",
        "Unable to verify the ID Token signature.",
    )


def test_key_of_another_type_is_refused(google: Google) -> None:
    """E10: a token whose algorithm is not that of the uploaded key is refused as for an unknown key."""
    stranger = Issuer(key=rsa.generate_private_key(public_exponent=65537, key_size=2048), algorithm="RS256")

    assert read_refusal(google.exchange(stranger.token()))[2] == UNCONNECTED


def test_rs256_is_accepted(google: Google) -> None:
    """RSA keys work like EC keys."""
    issuer = Issuer(key=rsa.generate_private_key(public_exponent=65537, key_size=2048), algorithm="RS256")
    google.cloud.state.add_pool("workers").providers["refresher"].jwks = issuer.jwks

    assert google.exchange(issuer.token()).status == 200


@pytest.mark.parametrize("algorithm", ["HS256", "none"])
def test_other_algorithms_are_refused(google: Google, issuer: Issuer, algorithm: str) -> None:
    """Only RS256 and ES256 are accepted; a token without a signature is refused, too."""
    key = "a secret of thirty-two bytes, no less" if algorithm == "HS256" else ""
    token = jwt.encode({"iss": ISSUER, "sub": "user-1"}, key, algorithm=algorithm, headers={"kid": issuer.kid})

    assert google.exchange(token).document["error"] == "invalid_grant"


@pytest.mark.parametrize("claims", [{"sub": ""}, {"sub": None}, {"sub": 7}], ids=["empty", "null", "number"])
def test_subject_without_value_is_refused(google: Google, issuer: Issuer, claims: dict[str, Any]) -> None:
    """E14: the claim that is mapped to `google.subject` must have a value."""
    content = {
        "iss": ISSUER,
        "aud": f"https://iam.googleapis.com/{PROVIDER}",
        "iat": NOW_SECONDS,
        "exp": NOW_SECONDS + 600,
    }
    token = jwt.api_jws.encode(
        json.dumps(content | claims).encode(), issuer.key, algorithm="ES256", headers={"kid": issuer.kid}
    )

    assert read_refusal(google.exchange(token)) == (
        400,
        "unauthorized_client",
        "Could not obtain a value for google.subject from the given credential.",
    )


@pytest.mark.parametrize(("subject", "status"), [("x" * 127, 200), ("x" * 128, 400), ("é" * 63, 200), ("é" * 64, 400)])
def test_subject_is_limited_in_bytes(google: Google, issuer: Issuer, subject: str, status: int) -> None:
    """E3: `google.subject` may have 127 bytes; the limit does not count characters."""
    reply = google.exchange(issuer.token(sub=subject))

    assert reply.status == status
    assert status == 200 or "exceeds the 127 bytes limit" in reply.document["error_description"]


def test_keys_of_an_issuer_are_discovered(google: Google, issuer: Issuer) -> None:
    """Without uploaded keys the issuer is asked; without an answer the refusal is E10."""
    google.cloud.state.add_pool("workers").providers["refresher"].jwks = None
    unanswered = google.exchange(issuer.token())

    google.cloud.discover = {ISSUER: issuer.jwks}.get

    assert read_refusal(unanswered) == (400, "invalid_grant", UNCONNECTED)
    assert google.exchange(issuer.token()).status == 200
