from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from refresher.errors import SupplyError
from refresher.google.call import Response
from refresher.suppliers.interface import Supplier, SupplierContext
from refresher.suppliers.kubernetes import KubernetesSettings
from tests.contract.cases import ContractCase
from tests.fakes import FakeTransport, FakeWorkshop
from tests.tokens import AUDIENCE, NOW, make_jwt

if TYPE_CHECKING:
    from pathlib import Path

CONTEXT = SupplierContext(identity="alice", subject="system:serviceaccount:users:alice", audience=AUDIENCE)


def prepare(directory: Path) -> None:
    """Create the token that the daemon asks with."""
    (directory / "own-token").write_text("ya29.own")


def answer(path: str, content: bytes) -> bytes:
    """Answer as an API server does."""
    (audience,) = json.loads(content)["spec"]["audiences"]
    _, _, _, namespace, _, name, _ = path.strip("/").split("/")
    subject = f"system:serviceaccount:{namespace}:{name}"
    token = make_jwt(subject=subject, audience=audience, issued_at=datetime.now(UTC))
    return json.dumps({"status": {"token": token}}).encode()


CONTRACT = {
    "kubernetes": ContractCase(
        supplier="{kind: kubernetes, api_server: ORIGIN, token_file: own-token}",
        prepare=prepare,
        answer=answer,
        subject="system:serviceaccount:users:{user}",
    ),
}


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (401, "check what renews PLACE/own"),
        (403, "create serviceaccounts/token of users/alice (RBAC)"),
        (404, "create the service account users/alice"),
        (422, "allow the daemon tokens of users/alice for this audience in the cluster's admission policies"),
        (400, "log of the API server"),
    ],
)
def test_refusal_has_its_own_remedy(tmp_path: Path, status: int, remedy: str) -> None:
    """A refusal of the API server is reported in its words, with the remedy for just that."""
    error = catch_failure(
        tmp_path, Response(status=status, headers={}, body=json.dumps({"message": "no such"}).encode())
    )

    assert not error.retryable
    assert error.problem == f"a token of users/alice from the API server was refused with HTTP {status}: no such"
    assert remedy.replace("PLACE", str(tmp_path)) in error.remedy


def test_error_of_the_api_server_is_retryable(tmp_path: Path) -> None:
    """A server error passes by itself, and its remedy is not about rights."""
    error = catch_failure(tmp_path, Response(status=500, headers={}, body=b"etcdserver: request timed out"))

    assert error.retryable
    assert "log of the API server" in error.remedy


def test_unreached_server_may_be_an_untrusted_one(tmp_path: Path) -> None:
    """Without an answer the network or the trust may be missing: the remedy names both."""
    error = catch_failure(tmp_path, None)

    assert error.retryable
    assert "make https://cluster.example reachable for the daemon's pod, with its authority in" in error.remedy


def test_own_token_is_read_for_each_request(tmp_path: Path) -> None:
    """The kubelet replaces the daemon's own token: each request has what the file holds then."""
    token = make_jwt(subject="system:serviceaccount:users:alice")
    body = json.dumps({"status": {"token": token}}).encode()
    transport = FakeTransport(lambda _: Response(status=201, headers={}, body=body))
    supplier = make_supplier(tmp_path, transport)

    for own in ("first", "second"):
        (tmp_path / "own").write_text(f"{own}\n")
        supplier.supply(CONTEXT, NOW)

    assert [request.headers["Authorization"] for request in transport.requests] == ["Bearer first", "Bearer second"]


def make_supplier(place: Path, transport: FakeTransport) -> Supplier:
    """Return a supplier that asks with the token in `own`."""
    fields = {"kind": "kubernetes", "api_server": "https://cluster.example", "token_file": str(place / "own")}
    return KubernetesSettings.model_validate(fields).build(FakeWorkshop.over(transport))


def catch_failure(place: Path, answer: Response | None) -> SupplyError:
    """Return the failure of a supply when the API server returns this answer."""
    (place / "own").write_text("own-token")
    supplier = make_supplier(place, FakeTransport(lambda _: answer))
    with pytest.raises(SupplyError) as caught:
        supplier.supply(CONTEXT, NOW)
    return caught.value
