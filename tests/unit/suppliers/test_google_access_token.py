from __future__ import annotations

from datetime import timedelta

from refresher.suppliers.google_access_token import GoogleAccessTokenSupplier
from refresher.suppliers.interface import SupplierContext
from tests.contract.cases import ContractCase
from tests.fakes import FakeSource
from tests.tokens import AUDIENCE, NOW

CONTEXT = SupplierContext(identity="alice", subject="42", audience=AUDIENCE)
CONTRACT = {
    "google_access_token": ContractCase(
        supplier="{kind: google_access_token, accept_unsupported: true}",
        answer=lambda _path, _content: None,
        takes_credentials=True,
        subject_keys=frozenset({"credentials"}),
        other_keys=frozenset({"accept_unsupported"}),
    ),
}


def test_access_token_is_opaque() -> None:
    """The source's access token is returned with its expiry, and without claims."""
    token = GoogleAccessTokenSupplier(FakeSource()).supply(CONTEXT, NOW)

    assert (token.value, token.unverified_claims) == ("ya29.fake-source", None)
    assert (token.issued_at, token.expires_at) == (NOW, NOW + timedelta(hours=1))
