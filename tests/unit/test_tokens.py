from __future__ import annotations

import base64
from dataclasses import replace
from datetime import timedelta

import pytest

from refresher.tokens import ExpectedClaims, SubjectToken, UnreadableTokenError, peek
from tests.tokens import AUDIENCE, ISSUER, NOW, jwt_of, make_jwt

EXPECTED = ExpectedClaims(
    issuer=ISSUER,
    subject="user-1",
    audiences=frozenset({AUDIENCE}),
    key_ids=frozenset({"key-1"}),
    maximum_lifetime=timedelta(hours=1),
)

DIGITS = base64.urlsafe_b64encode(b'{"exp":' + b"1" * 5000 + b"}").rstrip(b"=").decode()


def test_peek_reads_life_and_claims() -> None:
    """Times, issuer, subject, audience and key id of a JWT are read."""
    token = peek(make_jwt())

    assert (token.issued_at, token.expires_at) == (NOW, NOW + timedelta(hours=1))
    assert token.unverified_claims is not None
    assert token.unverified_claims.issuer == ISSUER
    assert token.unverified_claims.subject == "user-1"
    assert token.unverified_claims.audience == (AUDIENCE,)
    assert token.unverified_claims.key_id == "key-1"
    assert token.unverified_claims.algorithm == "ES256"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("", "three segments", id="empty"),
        pytest.param("ya29.opaque", "three segments", id="opaque"),
        pytest.param("a..c", "three segments", id="empty-segment"),
        pytest.param("a.b.c.d", "three segments", id="four-segments"),
        pytest.param("!!.!!.!!", "header is not base64url", id="not-base64"),
        pytest.param("YQ.YQ.YQ", "header is not JSON", id="not-json"),
        pytest.param("W10.W10.YQ", "header is not a JSON object", id="list"),
        pytest.param(make_jwt() + "\n", "signature is not base64url", id="trailing-newline"),
        pytest.param("\ufeff" + make_jwt(), "header is not base64url", id="byte-order-mark"),
        pytest.param(jwt_of({"exp": 1}), "claim `iat`", id="no-iat"),
        pytest.param(jwt_of({"iat": 1}), "claim `exp`", id="no-exp"),
        pytest.param(jwt_of({"iat": True, "exp": 1}), "claim `iat`", id="iat-boolean"),
        pytest.param(jwt_of({"iat": "1", "exp": 1}), "claim `iat`", id="iat-text"),
        pytest.param(jwt_of({"iat": 1, "exp": 1e300}), "not a valid timestamp", id="exp-far-away"),
        pytest.param(jwt_of({"iat": 1, "exp": float("nan")}), "not a valid timestamp", id="exp-nan"),
        pytest.param(f"e30.{DIGITS}.YQ", "payload is not JSON", id="exp-of-5000-digits"),
        pytest.param("W1tbW1tb" * 4000 + ".YQ.YQ", "header is not JSON", id="deeply-nested"),
    ],
)
def test_peek_refuses_other_texts(text: str, reason: str) -> None:
    """A text that is not a JWT with a life is refused with the reason, which never repeats the text."""
    with pytest.raises(UnreadableTokenError, match=reason) as caught:
        peek(text)

    assert len(str(caught.value)) < 80


@pytest.mark.parametrize(
    ("lifetime", "usable"),
    [
        (timedelta(hours=1), timedelta(hours=1)),
        (timedelta(hours=24), timedelta(hours=24)),
        (timedelta(days=30), timedelta(hours=24)),
    ],
    ids=["hour", "day", "month"],
)
def test_token_is_usable_for_a_day_at_most(lifetime: timedelta, usable: timedelta) -> None:
    """STS refuses a token a day after `iat`, whatever its `exp`; what the token itself claims is kept too."""
    token = peek(make_jwt(lifetime=lifetime))

    assert token.expires_at == NOW + usable
    assert token.lifetime == usable
    assert token.unverified_claims is not None
    assert token.unverified_claims.expires_at == NOW + lifetime


def test_life_is_compared_as_claimed() -> None:
    """A token that claims a longer life than configured differs, even if no more than a day of it is usable."""
    (mismatch,) = replace(EXPECTED, maximum_lifetime=timedelta(hours=24)).mismatches(
        peek(make_jwt(lifetime=timedelta(hours=25)))
    )

    assert "longer than the configured" in mismatch


CONSTANTS = replace(EXPECTED, constants={"worker": "w-17", "zone": 3, "is_spot": True})


@pytest.mark.parametrize(
    ("claims", "mismatches"),
    [
        pytest.param({"worker": "w-17", "zone": 3, "is_spot": True}, (), id="equal"),
        pytest.param(
            {"worker": "w-16", "zone": 3, "is_spot": True}, ("claim worker is 'w-16', not 'w-17'",), id="text"
        ),
        pytest.param({"worker": "w-17", "zone": 3, "is_spot": 1}, ("claim is_spot is 1, not True",), id="kind"),
        pytest.param({"worker": "w-17", "is_spot": True}, ("claim zone is absent, not 3",), id="absent"),
        pytest.param(
            {"worker": "w-17", "zone": 3, "is_spot": True, "group": "a"},
            ("claim group is 'a', and none is configured",),
            id="more",
        ),
        pytest.param({"worker": "w-17", "zone": 3, "is_spot": True, "jti": "x", "nbf": 1}, (), id="registered"),
    ],
)
def test_constant_claims_are_compared(claims: dict[str, object], mismatches: tuple[str, ...]) -> None:
    """A token with other constant claims than the configured ones is not the one that would be minted."""
    assert CONSTANTS.mismatches(peek(make_jwt(other=claims))) == mismatches


def test_other_claims_stay_out_of_text() -> None:
    """What another issuer puts into its claims is not shown by a token's repr."""
    token = peek(make_jwt(other={"session": "shh"}))

    assert "shh" not in repr(token)


def test_secret_stays_out_of_text() -> None:
    """Neither repr nor str of a token shows its value."""
    token = peek(make_jwt())

    assert token.value not in repr(token)
    assert token.value not in str(token)
    assert token.value.split(".")[2] not in repr(token)


def test_expected_token_has_no_mismatches() -> None:
    """The token that the configuration would mint has no mismatches."""
    assert EXPECTED.mismatches(peek(make_jwt())) == ()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param(make_jwt(issuer="https://other.example.com"), "iss is", id="issuer"),
        pytest.param(make_jwt(subject="user-2"), "sub is", id="subject"),
        pytest.param(make_jwt(audience="https://else.example.com"), "aud is", id="audience"),
        pytest.param(make_jwt(kid="key-2"), "is not published", id="key"),
        pytest.param(make_jwt(lifetime=timedelta(hours=2)), "longer than the configured", id="lifetime"),
    ],
)
def test_each_mismatch_is_named(value: str, reason: str) -> None:
    """Each way in which a token is not the configured one is named alone."""
    (mismatch,) = EXPECTED.mismatches(peek(value))

    assert reason in mismatch


@pytest.mark.parametrize("value", ["\ud800", "a\x1b[2J\nb", "\u202e", "A" * 30_000, "\U000e0001" * 9_000])
def test_mismatches_can_be_shown(value: str) -> None:
    """For every text in the claims, the reasons are short, printable and can be encoded."""
    mismatches = EXPECTED.mismatches(peek(make_jwt(issuer=value, subject=value, audience=[value, value], kid=value)))

    assert len(mismatches) == 4
    assert all(mismatch.isprintable() and len(mismatch) < 3_000 for mismatch in mismatches)


def test_audience_list_needs_one_hit() -> None:
    """A list of audiences matches as soon as it contains an accepted one."""
    assert EXPECTED.mismatches(peek(make_jwt(audience=["https://else.example.com", AUDIENCE]))) == ()


def test_token_is_not_compared_where_nothing_is_configured() -> None:
    """A token is not compared with what the configuration does not contain."""
    assert ExpectedClaims().mismatches(peek(make_jwt(issuer="https://anybody.example.com"))) == ()


def test_opaque_token_is_a_mismatch_where_a_jwt_is_expected() -> None:
    """An opaque token is foreign, unless the supplier issues opaque tokens."""
    opaque = SubjectToken(value="ya29.x", issued_at=NOW, expires_at=NOW, unverified_claims=None)

    assert EXPECTED.mismatches(opaque)
    assert ExpectedClaims(is_jwt=False).mismatches(opaque) == ()


def test_subject_is_compared_where_one_is_configured() -> None:
    """A token of another subject is a mismatch only if the identity's own is configured."""
    token = peek(make_jwt(subject="user-2"))

    assert EXPECTED.mismatches(token)
    assert replace(EXPECTED, subject="user-2").mismatches(token) == ()
    assert replace(EXPECTED, subject=None).mismatches(token) == ()
