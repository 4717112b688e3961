from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from refresher.errors import SupplyError
from refresher.google.transport import Response
from refresher.suppliers.interface import SupplierContext
from refresher.suppliers.kubernetes import KubernetesSupplier
from tests.fakes import FakeTransport
from tests.tokens import AUDIENCE, NOW, make_jwt

if TYPE_CHECKING:
    from pathlib import Path

CONTEXT = SupplierContext(identity="alice", subject="system:serviceaccount:users:alice", audience=AUDIENCE)


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (401, "see what renews PLACE/own"),
        (403, "create serviceaccounts/token of users/alice (RBAC)"),
        (404, "create the service account users/alice"),
        (422, "admission policies allow the daemon tokens of users/alice"),
        (400, "log of the API server"),
    ],
)
def test_refusal_has_its_own_remedy(tmp_path: Path, status: int, remedy: str) -> None:
    """What the API server refuses is told in its words, and with what mends just that."""
    error = failure_of(tmp_path, Response(status=status, headers={}, body=json.dumps({"message": "no such"}).encode()))

    assert not error.retryable
    assert error.problem == f"the API server refused a token of users/alice with HTTP {status}: no such"
    assert remedy.replace("PLACE", str(tmp_path)) in error.remedy


def test_trouble_of_the_api_server_is_not_the_rights(tmp_path: Path) -> None:
    """A server error passes by itself, and sends nobody to look at rights."""
    error = failure_of(tmp_path, Response(status=500, headers={}, body=b"etcdserver: request timed out"))

    assert error.retryable
    assert "log of the API server" in error.remedy


def test_unreached_server_may_be_an_untrusted_one(tmp_path: Path) -> None:
    """No answer may be for want of a way or of trust: the remedy names both."""
    error = failure_of(tmp_path, None)

    assert error.retryable
    assert "let the daemon's pod reach it, and the supplier's ca_file name" in error.remedy


def test_own_token_is_read_for_each_request(tmp_path: Path) -> None:
    """The kubelet replaces the daemon's own token: what the file holds at the time is what asks."""
    token = make_jwt(subject="system:serviceaccount:users:alice")
    body = json.dumps({"status": {"token": token}}).encode()
    transport = FakeTransport(lambda _: Response(status=201, headers={}, body=body))
    supplier = supplier_of(tmp_path, transport)

    for own in ("first", "second"):
        (tmp_path / "own").write_text(f"{own}\n")
        supplier.supply(CONTEXT, NOW)

    assert [request.headers["Authorization"] for request in transport.requests] == ["Bearer first", "Bearer second"]


def supplier_of(place: Path, transport: FakeTransport) -> KubernetesSupplier:
    """Give a supplier that asks with the token in `own`."""
    return KubernetesSupplier(
        transport=transport,
        api_server="https://cluster.example",
        token_path=place / "own",
        lifetime=timedelta(hours=1),
    )


def failure_of(place: Path, answer: Response | None) -> SupplyError:
    """Give how a supply fails when the API server answers so."""
    (place / "own").write_text("own-token")
    supplier = supplier_of(place, FakeTransport(lambda _: answer))
    with pytest.raises(SupplyError) as caught:
        supplier.supply(CONTEXT, NOW)
    return caught.value
