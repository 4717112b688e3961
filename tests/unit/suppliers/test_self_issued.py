from __future__ import annotations

import base64
import json
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from refresher.errors import SupplyError
from refresher.keys.signing import PrivateKey
from refresher.suppliers.claims import ClaimsTemplate
from refresher.suppliers.interface import SupplierContext
from refresher.suppliers.self_issued import SelfIssuedSupplier
from refresher.tokens import peek
from tests.tokens import AUDIENCE, ISSUER, NOW

KEY = PrivateKey.generate("ES256")
CONTEXT = SupplierContext(identity="alice", subject="user-1", audience=AUDIENCE)


def supplier_of(claims: dict[str, str | int | bool] | None = None) -> SelfIssuedSupplier:
    """Return a supplier whose tokens live half an hour."""
    numbers = count()
    template = ClaimsTemplate(
        issuer=ISSUER,
        lifetime=timedelta(minutes=30),
        constant=claims or {},
        random=lambda: f"n{next(numbers)}",
    )
    return SelfIssuedSupplier(key=KEY, claims=template)


def segments(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and payload of a JWT."""
    header, payload, _ = token.split(".")
    return json.loads(base64.urlsafe_b64decode(header + "==")), json.loads(base64.urlsafe_b64decode(payload + "=="))


def test_token_has_what_sts_asks_for_and_no_more() -> None:
    """Header and claims are exactly those that Google's STS needs, in whole seconds."""
    token = supplier_of().supply(CONTEXT, NOW + timedelta(milliseconds=999))

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


def test_what_is_said_of_a_token_is_what_it_says() -> None:
    """The returned lifetime and claims are those in the token."""
    token = supplier_of().supply(CONTEXT, NOW + timedelta(milliseconds=1))
    read = peek(token.value)

    assert (token.issued_at, token.expires_at) == (read.issued_at, read.expires_at)
    assert token.unverified_claims == read.unverified_claims


def test_constant_claims_cannot_replace_ours() -> None:
    """A configured claim is added to the standard ones and never replaces one."""
    token = supplier_of({"worker": "w-17", "sub": "somebody-else"}).supply(CONTEXT, NOW)

    _, payload = segments(token.value)
    assert (payload["worker"], payload["sub"]) == ("w-17", "user-1")


def test_identity_without_subject_is_refused() -> None:
    """Without a subject nothing is signed, and the remedy contains the key."""
    context = SupplierContext(identity="alice", subject=None, audience=AUDIENCE)

    with pytest.raises(SupplyError) as caught:
        supplier_of().supply(context, NOW)

    assert caught.value.remedy == "set identities.alice.subject"
