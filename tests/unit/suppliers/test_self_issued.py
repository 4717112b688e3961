from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from refresher.errors import SupplyError
from refresher.keys.directory import create
from refresher.keys.jose import PrivateKey
from refresher.suppliers.interface import SupplierContext
from refresher.suppliers.self_issued import SelfIssuedSettings, SelfIssuedSupplier
from refresher.tokens import peek
from tests.contract.cases import ContractCase
from tests.kms import answer_as_kms
from tests.tokens import AUDIENCE, ISSUER, NOW

if TYPE_CHECKING:
    from pathlib import Path

KEY = PrivateKey.generate("ES256")
CONTEXT = SupplierContext(identity="alice", subject="user-1", audience=AUDIENCE)
VERSION = "projects/p-1-test/locations/global/keyRings/ring/cryptoKeys/key/cryptoKeyVersions/1"
KMS_KEY = ec.generate_private_key(ec.SECP256R1())


def prepare(directory: Path) -> None:
    """Create a keys directory."""
    create(directory / "keys", algorithm="ES256", now=datetime.now(UTC))


def answer(path: str, content: bytes) -> bytes | None:
    """Answer as the metadata server and Cloud KMS do."""
    return answer_as_kms(KMS_KEY, VERSION, content) if path.startswith(f"/v1/{VERSION}") else None


CONTRACT = {
    "self_issued": ContractCase(
        supplier="{kind: self_issued, issuer: https://workers.invalid, keys: keys, claims: {worker: w-17, zone: 3}}",
        prepare=prepare,
    ),
    "self_issued-kms": ContractCase(
        supplier=f"{{kind: self_issued, issuer: https://workers.invalid, signer: {{kms: {VERSION}}}}}",
        answer=answer,
        takes_credentials=True,
    ),
}


def make_supplier(claims: dict[str, str | int | bool] | None = None) -> SelfIssuedSupplier:
    """Return a supplier whose tokens live half an hour."""
    numbers = count()
    fields = {"kind": "self_issued", "issuer": ISSUER, "lifetime": "30m", "keys": "/keys", "claims": claims or {}}
    return SelfIssuedSupplier(SelfIssuedSettings.model_validate(fields), lambda _now: KEY, lambda: f"n{next(numbers)}")


def segments(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and payload of a JWT."""
    header, payload, _ = token.split(".")
    return json.loads(base64.urlsafe_b64decode(header + "==")), json.loads(base64.urlsafe_b64decode(payload + "=="))


def test_token_has_what_sts_asks_for_and_no_more() -> None:
    """Header and claims are exactly those that Google's STS needs, in whole seconds."""
    token = make_supplier().supply(CONTEXT, NOW + timedelta(milliseconds=999))

    header, payload = segments(token.value)
    issued_at = int(NOW.timestamp())
    assert header == {"alg": "ES256", "kid": KEY.kid, "typ": "JWT"}
    assert payload == {
        "iss": ISSUER,
        "sub": "user-1",
        "aud": AUDIENCE,
        "iat": issued_at,
        "exp": issued_at + 1800,
        "jti": "n0",
    }
    assert "=" not in token.value


def test_supplier_reports_what_a_reader_finds() -> None:
    """Life and claims are reported as a reader of the token finds them."""
    token = make_supplier({"worker": "w-17"}).supply(CONTEXT, NOW + timedelta(milliseconds=1))
    read = peek(token.value)

    assert (token.issued_at, token.expires_at) == (read.issued_at, read.expires_at)
    assert token.unverified_claims == read.unverified_claims


def test_constant_claims_are_added() -> None:
    """Configured claims are in the token, in addition to ours, and a token with others is not what is expected."""
    settings = SelfIssuedSettings.model_validate(
        {
            "kind": "self_issued",
            "issuer": ISSUER,
            "keys": "/keys",
            "claims": {"worker": "w-17", "zone": 3, "spot": True},
        }
    )
    token = SelfIssuedSupplier(settings, lambda _now: KEY, lambda: "unique").supply(CONTEXT, NOW)
    other = make_supplier({"worker": "w-16", "zone": 3, "spot": True}).supply(CONTEXT, NOW)

    expected = settings.expect_claims("user-1", frozenset({AUDIENCE}), frozenset({KEY.kid}))
    _, payload = segments(token.value)
    assert (payload["worker"], payload["zone"], payload["spot"]) == ("w-17", 3, True)
    assert expected.mismatches(token) == ()
    assert expected.mismatches(other) == ("claim worker is 'w-16', not 'w-17'",)


def test_identity_without_subject_is_refused() -> None:
    """Without a subject nothing is signed, and the remedy contains the key."""
    context = SupplierContext(identity="alice", subject=None, audience=AUDIENCE)

    with pytest.raises(SupplyError) as caught:
        make_supplier().supply(context, NOW)

    assert caught.value.remedy == "set identities.alice.subject"
