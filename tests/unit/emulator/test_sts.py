from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import pytest

from refresher.emulator.state import Provider
from tests.unit.emulator.conftest import (
    ACCESS_TOKEN_TYPE,
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


def test_subject_token_is_exchanged(google: Google, issuer: Issuer) -> None:
    """A token that the provider accepts becomes a Bearer token of exactly the principal, for at most an hour."""
    reply = google.exchange(issuer.token())

    assert reply.status == 200
    assert set(reply.document) == {"access_token", "issued_token_type", "token_type", "expires_in"}
    assert reply.document["issued_token_type"] == ACCESS_TOKEN_TYPE
    assert reply.document["token_type"] == "Bearer"
    assert reply.document["expires_in"] == 3600
    assert google.whoami(reply.document["access_token"])["principal"] == principal("user-1")


@pytest.mark.parametrize(("left", "expected"), [(7200, 3600), (3600, 3600), (300, 300), (3, 3)])
def test_federated_token_lives_as_long_as_the_subject_token(
    google: Google, issuer: Issuer, left: int, expected: int
) -> None:
    """The federated token lives as long as the subject token, but at most an hour."""
    reply = google.exchange(issuer.token(exp=NOW_SECONDS + left))

    assert reply.document["expires_in"] == expected


def test_expires_in_is_absent_when_two_seconds_are_left(google: Google, issuer: Issuer) -> None:
    """With two seconds left the answer has no `expires_in` (measured with the real STS)."""
    reply = google.exchange(issuer.token(exp=NOW_SECONDS + 2))

    assert reply.status == 200
    assert "expires_in" not in reply.document


def test_exchange_fails_when_one_second_is_left(google: Google, issuer: Issuer) -> None:
    """E15: with one second left STS answers with HTTP 500 in the shape of google.rpc.Status."""
    reply = google.exchange(issuer.token(exp=NOW_SECONDS + 1))

    assert reply.status == 500
    assert reply.document["error"]["status"] == "INTERNAL"


def test_federated_token_expires(google: Google, issuer: Issuer) -> None:
    """A federated token is recognised until its expiry, and not after it."""
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
def test_forms_have_several_content_types(google: Google, issuer: Issuer, content_type: str) -> None:
    """Every content type that clients send, even the doubled one of C++, means a form."""
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
def test_json_is_accepted(google: Google, issuer: Issuer, style: str) -> None:
    """JSON is accepted in camel case and in snake case."""
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
def test_options_are_plain_or_url_encoded(google: Google, issuer: Issuer, encode: Any) -> None:  # noqa: ANN401 - a function
    """Options are JSON, or URL-encoded JSON, as Python and Ruby send it."""
    assert google.exchange(issuer.token(), options=encode({"userProject": "my-project"})).status == 200


def test_path_prefix_is_ignored(google: Google) -> None:
    """A path in front of Google's path changes nothing."""
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
def test_incomplete_form_is_refused(
    google: Google, issuer: Issuer, fields: dict[str, str], code: str, text: str
) -> None:
    """E1 and similar refusals: the error shows the missing field, with HTTP 400."""
    assert read_refusal(google.exchange(issuer.token(), **fields)) == (400, code, text)


@pytest.mark.parametrize(
    ("token", "error"),
    [
        ("", "invalid_request"),
        ("rubbish", "Invalid format of AWS credentials:"),
        ("%7Bxyz", "Invalid format of AWS credentials:"),
        ("[]", "Invalid format of AWS credentials:"),
        ("%7B%22url%22%3A%22https%3A%2F%2Fa.invalid%22%7D", "Error connecting to the given credential's issuer."),
    ],
)
def test_aws_credentials_are_a_json_object(google: Google, token: str, error: str) -> None:
    """E16 unless they are a URL-encoded JSON object; such an object is refused, too, since it cannot be verified."""
    google.cloud.state.pools[POOL].providers["refresher"] = Provider(kind="aws", settings={"accountId": "1"})

    reply = google.exchange(token, subject_token_type="urn:ietf:params:aws:token-type:aws4_request")

    assert reply.status == 400
    assert str(reply.document.get("error_description")).startswith(error) or reply.document["error"] == error


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
        f"//iam.googleapis.com/{PROVIDER}\n",
        f"//iam.googleapis.com/{POOL}\n",
    ],
)
def test_malformed_audience_is_refused(google: Google, issuer: Issuer, audience: str) -> None:
    """E2: the STS audience must be the full resource name of a provider."""
    assert read_refusal(google.exchange(issuer.token(), audience=audience)) == (
        400,
        "invalid_request",
        INVALID_AUDIENCE,
    )


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
def test_unknown_audience_is_refused(google: Google, issuer: Issuer, audience: str) -> None:
    """E4: a well-formed audience must contain an existing provider."""
    assert read_refusal(google.exchange(issuer.token(), audience=audience)) == (400, "invalid_target", INVALID_TARGET)


@pytest.mark.parametrize("what", ["pool", "provider"])
def test_disabled_pool_or_provider_is_refused(google: Google, issuer: Issuer, what: str) -> None:
    """E4: a disabled pool or provider refuses every token."""
    pool = google.cloud.state.add_pool("workers")
    if what == "pool":
        pool.disabled = True
    else:
        pool.providers["refresher"].disabled = True

    assert read_refusal(google.exchange(issuer.token())) == (400, "invalid_target", INVALID_TARGET)


def test_federated_token_is_introspected(google: Google, issuer: Issuer) -> None:
    """RFC 7662: a federated token is active and has its principal; any other token is not active."""
    token = google.exchange(issuer.token()).document["access_token"]

    known, unknown = (
        google.ask("POST", "/v1/introspect", body=urlencode({"token": value, "token_type_hint": "x"}).encode()).document
        for value in (token, "ya29.other")
    )

    assert (known["active"], known["username"]) == (True, principal("user-1"))
    assert known["exp"] == NOW_SECONDS + 3600
    assert unknown == {"active": False}


def test_journal_shows_exchanges_without_secrets(google: Google, issuer: Issuer) -> None:
    """The journal has the principal and the refusal, and a fingerprint instead of the token."""
    token = issuer.token()
    google.exchange(token)
    google.exchange(token, scope="")

    entries = google.cloud.journal.entries("/v1/token")

    assert [(entry.status, entry.refusal) for entry in entries] == [(200, None), (400, "E1")]
    assert entries[0].facts["principal"] == principal("user-1")
    assert len(entries[0].facts["subject_token"]) == 8
    assert token not in json.dumps([entry.as_document() for entry in entries])
