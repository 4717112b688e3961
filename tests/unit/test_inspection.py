from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from refresher.app.inspection import Inspector
from refresher.errors import UsageError
from refresher.inspection import (
    Findings,
    inspect_descriptions,
    inspect_document,
    inspect_jwt,
    inspect_opaque,
    inspect_variables,
)
from refresher.keys.jose import PrivateKey, is_signed_by
from refresher.tokens import ExpectedClaims, UnreadableTokenError, encode_base64url
from tests.tokens import AUDIENCE, ISSUER, NOW, make_jwt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.conftest import Need


def signed(key: PrivateKey, header: Mapping[str, Any] | None = None, **claims: object) -> str:
    """Return a JWT that a key really signed."""
    instant = int(NOW.timestamp())
    payload = {"iss": ISSUER, "sub": "user-1", "aud": AUDIENCE, "iat": instant, "exp": instant + 3600, **claims}
    parts = ({"alg": key.algorithm, "kid": key.kid} if header is None else header, payload)
    message = ".".join(encode_base64url(json.dumps(part).encode()) for part in parts)
    return f"{message}.{encode_base64url(key.sign(message.encode()))}"


def explained(text: str, *, keys: list[dict[str, Any]] | None = None, **expected: ExpectedClaims) -> Findings:
    """Return the findings about a JWT ten minutes after it was issued."""
    return inspect_jwt(text, NOW + timedelta(minutes=10), keys=keys, expected=expected)


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_good_token_is_explained_and_verified(algorithm: str) -> None:
    """Claims, times in words and the key that signed it are shown, and the signature is not."""
    key = PrivateKey.generate(algorithm)
    text = signed(key, role="reader")

    found = explained(text, keys=[key.public_jwk])

    facts = dict(found.facts)
    assert found.problems == []
    assert facts["sub"] == "user-1"
    assert facts["role"] == "reader"
    assert facts["iat"].endswith("(10 min ago)")
    assert facts["exp"].endswith("(in 50 min)")
    assert facts["signature"] == f"verified with key {key.kid}"
    assert text.rpartition(".")[2] not in str(found)


def test_signature_of_another_key_is_false() -> None:
    """A token that a key did not sign is reported as false; without keys nothing is claimed."""
    key, other = PrivateKey.generate("ES256"), PrivateKey.generate("ES256")
    forged = signed(other, {"alg": "ES256", "kid": key.kid})

    false, unknown, unverified = (explained(forged, keys=keys) for keys in ([key.public_jwk], [other.public_jwk], None))

    assert dict(false.facts)["signature"] == "FALSE"
    assert "the signature is false" in false.problems[0]
    assert dict(unknown.facts)["signature"] == f"not verified: no key {key.kid}"
    assert f"unless the provider has the key {key.kid}" in unknown.problems[0]
    assert (dict(unverified.facts)["signature"], unverified.problems) == ("not verified: no keys available", [])


@pytest.mark.parametrize(
    ("header", "claims", "problem"),
    [
        ({"alg": "HS256", "kid": "k"}, {}, "alg is HS256"),
        ({"alg": "ES256"}, {}, "no kid"),
        (None, {"exp": int(NOW.timestamp()) + 60}, "it expired 9 min ago"),
        (None, {"iat": int(NOW.timestamp()) + 1200}, "issued 10 min from now"),
        (None, {"exp": int(NOW.timestamp()) + 90000}, "24 h is the most"),
        (None, {"sub": "x" * 128}, "longer than 127 bytes"),
        (None, {"sub": None}, "no sub"),
        (None, {"iss": 7}, "no iss"),
        (None, {"aud": []}, "no aud"),
        (None, {"exp": None}, "`exp` is missing"),
    ],
)
def test_broken_rules_of_sts_are_listed(header: dict[str, Any] | None, claims: dict[str, Any], problem: str) -> None:
    """Each rule that a token breaks is listed, and no other."""
    found = explained(signed(PrivateKey.generate("ES256"), header, **claims))

    assert len(found.problems) == 1
    assert problem in found.problems[0]


def test_token_is_compared_with_each_target() -> None:
    """A token of no target has a reason for each; a token of any target has none."""
    text = signed(PrivateKey.generate("ES256"))
    wrong, right = ExpectedClaims(subject="user-2"), ExpectedClaims(subject="user-1")

    assert explained(text, bob=wrong).problems == ["it is not a token of target bob: sub is 'user-1', not 'user-2'"]
    assert explained(text, bob=wrong, alice=right).problems == []


@pytest.mark.parametrize("text", ["a.b.c", "e30.W10.x", ".."])
def test_broken_jwt_is_unreadable(text: str) -> None:
    """A text that only looks like a JWT is not explained."""
    with pytest.raises(UnreadableTokenError):
        explained(text)


@pytest.mark.parametrize(
    ("algorithm", "jwk", "signature"),
    [
        ("none", {"kty": "EC"}, ""),
        ("HS256", {"kty": "oct", "k": "AA"}, "AA"),
        ("ES256", {"kty": "EC", "x": "AA", "y": "AA"}, "AA" * 43),
        ("RS256", {"kty": "RSA", "n": "!", "e": "AQAB"}, "AA"),
        ("RS256", {}, "AA"),
        ("ES256", {"kty": "EC", "x": 1, "y": None}, "A" * 86),
    ],
)
def test_strange_keys_verify_nothing(algorithm: str, jwk: dict[str, Any], signature: str) -> None:
    """No algorithm but the two, and no broken key or signature, verifies anything."""
    assert not is_signed_by(jwk, algorithm, "a.b", signature)


GOOD: dict[str, Any] = {
    "type": "external_account",
    "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    "token_url": "https://sts.googleapis.com/v1/token",
    "credential_source": {"file": "/t", "format": {"type": "text"}},
    "service_account_impersonation_url": (
        "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a@p.iam.gserviceaccount.com:generateAccessToken"
    ),
}


def test_adc_document_is_explained() -> None:
    """A good document has no problems, and its account is shown."""
    found = inspect_document(GOOD)

    assert found.problems == []
    assert dict(found.facts)["acts as"] == "a@p.iam.gserviceaccount.com"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"audience": "https://x"}, "not a provider's resource name"),
        ({"audience": GOOD["audience"].replace("/1/", "/my-project/")}, "contains the project my-project"),
        ({"quota_project_id": None}, "holds a null"),
    ],
)
def test_faults_of_an_adc_document(change: dict[str, Any], problem: str) -> None:
    """Each fault that every client or STS would fail at is a problem."""
    (found,) = inspect_document(GOOD | change).problems

    assert problem in found


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        ({"token_url": "http://x"}, "token_url is not https"),
        ({"credential_source": {"file": "/t"}}, "has no format"),
    ],
)
def test_weaknesses_of_an_adc_document(change: dict[str, Any], warning: str) -> None:
    """What single clients fail at is a warning."""
    found = inspect_document(GOOD | change)

    assert found.problems == []
    assert [warning in each for each in found.warnings] == [True]


@pytest.mark.parametrize(
    ("document", "kind", "problem"),
    [
        ({"keys": []}, "JWKS of 0", "it is empty"),
        ({"keys": [{"kid": "a", "kty": "EC", "d": "x"}]}, "JWKS of 1", "private half"),
        ({"keys": [{"kid": str(n), "kty": "EC"} for n in range(9)]}, "JWKS of 9", "9 keys"),
        ({"type": "service_account", "private_key": "secret"}, "credentials file of type service_account", "private"),
        ({"type": "authorized_user"}, "credentials file of type authorized_user", None),
        ({"a": 1}, "JSON object that is neither", None),
    ],
)
def test_other_documents(document: dict[str, Any], kind: str, problem: str | None) -> None:
    """Key sets and other credentials files are explained, with their faults and without secrets."""
    found = inspect_document(document)

    assert found.kind.startswith(kind)
    assert "secret" not in str(found).replace("a secret that is valid", "")
    assert (problem or "") in " ".join((*found.problems, *found.warnings))
    assert bool(found.problems or found.warnings) is (problem is not None)


def test_opaque_tokens_are_recognised_by_their_prefix() -> None:
    """An opaque token's kind, size and fingerprint are shown, and nothing else of it."""
    found = inspect_opaque("ya29.d.secret-part")

    assert found.kind == "federated access token of Google's STS"
    assert "secret-part" not in str(found)
    assert not found.problems
    assert inspect_opaque("another").problems


def test_unsigned_token_is_explained() -> None:
    """A JWT without a signature shows its claims, and why STS refuses it."""
    header, payload, _ = signed(PrivateKey.generate("ES256"), {"alg": "none"}).split(".")

    found = explained(f"{header}.{payload}.")

    assert dict(found.facts)["sub"] == "user-1"
    assert found.problems == ["STS refuses it: it is not a JWT of three segments"]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("A=b\nREFRESHER_ID_TOKEN_FILE_API=/c/id_tokens/api\n", ()),
        ("A=b\nB='c'\n", ("line 2 is not NAME=value with characters that need no quoting",)),
        ("export A=b", ("line 1 is not NAME=value with characters that need no quoting",)),
    ],
    ids=["good", "quoted", "shell"],
)
def test_variables_are_explained(text: str, problems: tuple[str, ...]) -> None:
    """Names and values are shown, and each line that one of the readers would misread is a problem."""
    found = inspect_variables(text)

    assert (found.kind, found.problems) == ("environment variables", list(problems))
    assert len(found.facts) == len(text.splitlines())


def test_descriptions_are_explained() -> None:
    """The expiry of each artifact is shown; a file that describes nothing is a problem."""
    found = inspect_descriptions({"access_token": NOW + timedelta(hours=1)}, NOW)

    assert found.facts == [("access_token", "expires 2026-01-01T01:00:00Z (in 1 h)")]
    assert found.problems == []
    assert "it describes nothing" in inspect_descriptions({}, NOW).problems[0]


@pytest.mark.parametrize(("age", "problems"), [(-60, ()), (60, ("it expired 1 min ago",))])
def test_life_that_is_known_from_elsewhere(age: int, problems: tuple[str, ...]) -> None:
    """A token that has expired is a problem, wherever its expiry is known from."""
    found = Findings("x", problems=["a"])

    found.add_life(NOW - timedelta(seconds=age), NOW)

    assert found.problems == ["a", *problems]
    assert found.facts[0][0] == "expires"


def test_directory_that_may_not_be_read_is_not_called_empty(
    tmp_path: Path, need: Need, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user without rights learns that the directory can't be read, and not that it holds no artifact."""
    need.root()
    directory = tmp_path / "alice"
    directory.mkdir(mode=0o700)
    tmp_path.chmod(0o755)
    (directory / "token").write_text(make_jwt())
    monkeypatch.chdir(tmp_path)  # the directories above it are closed to others
    try:
        os.seteuid(54_321)
        with pytest.raises(UsageError) as caught:
            list(Inspector(NOW).inspect_path(Path("alice")))
    finally:
        os.seteuid(0)

    assert caught.value.problem == "alice can't be read: Permission denied"
    assert "credentials directory" not in caught.value.remedy
