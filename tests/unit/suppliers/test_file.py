from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from refresher.errors import SupplyError
from refresher.suppliers.file import FileSettings
from refresher.suppliers.interface import Supplier, SupplierContext
from refresher.tokens import MAXIMUM_SIZE
from tests.contract.cases import ContractCase
from tests.failures import is_retryable
from tests.fakes import FakeTransport, FakeWorkshop
from tests.tokens import AUDIENCE, NOW, make_jwt

NOWHERE = FakeTransport(lambda _: None)
CONTEXT = SupplierContext(identity="alice", subject="user-1", audience=AUDIENCE)


def prepare(directory: Path) -> None:
    """Create the file, with a token that is issued now."""
    (directory / "source-token").write_text(make_jwt(issued_at=datetime.now(UTC)))


def prepare_json(directory: Path) -> None:
    """Create the file, with a JSON object that holds a token that is issued now."""
    (directory / "source.json").write_text(json.dumps({"id_token": make_jwt(issued_at=datetime.now(UTC))}))


KEYS: dict[str, frozenset[str]] = {
    "subject_keys": frozenset({"path", "subject_token_field_name"}),
    "other_keys": frozenset({"format", "issuer"}),
}
CONTRACT = {
    "file": ContractCase(supplier="{kind: file, path: source-token}", prepare=prepare, **KEYS),  # type: ignore[arg-type]
    "file-json": ContractCase(
        supplier="{kind: file, path: source.json, format: json, subject_token_field_name: id_token}",
        prepare=prepare_json,
        **KEYS,  # type: ignore[arg-type]
    ),
}


def make_supplier(path: Path, field: str | None = None) -> Supplier:
    """Return the supplier that reads a file, or a field of it."""
    fields = {} if field is None else {"format": "json", "subject_token_field_name": field}
    return FileSettings.model_validate({"kind": "file", "path": path, **fields}).build(FakeWorkshop.over(NOWHERE))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(make_jwt().encode(), id="plain"),
        pytest.param(f"\n {make_jwt()}\r\n".encode(), id="whitespace"),
        pytest.param(b"\xef\xbb\xbf" + make_jwt().encode(), id="byte-order-mark"),
    ],
)
def test_token_is_trimmed(tmp_path: Path, content: bytes) -> None:
    """Whitespace and a byte order mark around the token are not part of it."""
    path = tmp_path / "token"
    path.write_bytes(content)

    assert make_supplier(path).supply(CONTEXT, NOW).value == make_jwt()


def test_links_are_followed_to_what_is_projected_now(tmp_path: Path) -> None:
    """A link is followed at each supply, since Kubernetes changes its target."""
    (tmp_path / "1").write_text(make_jwt())
    (tmp_path / "2").write_text(make_jwt(issued_at=NOW + timedelta(minutes=1)))
    link = tmp_path / "token"
    supplier = make_supplier(link)
    link.symlink_to("1")
    first = supplier.supply(CONTEXT, NOW)

    link.unlink()
    link.symlink_to("2")
    second = supplier.supply(CONTEXT, NOW)

    assert second.issued_at - first.issued_at == timedelta(minutes=1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "it is empty", id="empty"),
        pytest.param(b" \n", "it is empty", id="whitespace"),
        pytest.param(b"ya29.opaque", "not a JWT", id="opaque"),
        pytest.param(f'{{"id_token": "{make_jwt()}"}}'.encode(), "it is JSON", id="json"),
        pytest.param(f'["{make_jwt()}"]'.encode(), "it is JSON", id="json-list"),
        pytest.param(f'"{make_jwt()}"'.encode(), "it is quoted", id="quoted"),
        pytest.param(f"Bearer {make_jwt()}".encode(), "it begins with Bearer", id="bearer"),
        pytest.param(f"bearer {make_jwt()}".encode(), "it begins with Bearer", id="bearer-in-lower-case"),
        pytest.param(b"\xff\xfea", "not text", id="utf-16"),
        pytest.param(b"a" * (MAXIMUM_SIZE + 1), "larger than", id="too-large"),
        pytest.param(make_jwt(issued_at=NOW - timedelta(hours=2)).encode(), "expired at", id="expired"),
        pytest.param(make_jwt(issued_at=NOW - timedelta(hours=1)).encode(), "expired at", id="ends-now"),
    ],
)
def test_unusable_content_may_be_renewed(tmp_path: Path, content: bytes, reason: str) -> None:
    """A file without a valid token is a retryable failure, and nothing of it is quoted."""
    path = tmp_path / "token"
    path.write_bytes(content)

    with pytest.raises(SupplyError, match=reason, check=is_retryable) as caught:
        make_supplier(path).supply(CONTEXT, NOW)

    assert str(path) in caught.value.problem
    assert caught.value.remedy
    assert "eyJ" not in str(caught.value)
    assert "ya29" not in str(caught.value)


@pytest.mark.parametrize("field", ["id_token", "access_token", "value"])
def test_token_is_a_field_of_json(tmp_path: Path, field: str) -> None:
    """With `format: json` the token is the text of the field that the configuration names, as clients read it."""
    path = tmp_path / "source.json"
    path.write_text(json.dumps({"other": "x", field: make_jwt()}))

    assert make_supplier(path, field).supply(CONTEXT, NOW).value == make_jwt()


@pytest.mark.parametrize("content", [make_jwt(), "{", "[]", '{"token": "x"}', '{"id_token": 5}', '{"id_token": ""}'])
def test_json_without_the_field_may_be_renewed(tmp_path: Path, content: str) -> None:
    """Broken JSON, and JSON without text in the field, are retryable failures that name the field."""
    path = tmp_path / "source.json"
    path.write_text(content)

    with pytest.raises(SupplyError, match="not a JSON object with text in `id_token`", check=is_retryable) as caught:
        make_supplier(path, "id_token").supply(CONTEXT, NOW)

    assert "eyJ" not in str(caught.value)


@pytest.mark.parametrize("kind", ["absent", "fifo", "directory", "device", "loop", "below-a-file"])
def test_other_than_a_file_is_reported_at_once(tmp_path: Path, kind: str) -> None:
    """A path that is not a regular file neither blocks the caller nor costs a descriptor."""
    path = tmp_path / "token"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "below-a-file":
        path.write_text("")
        path /= "token"
    supplier = make_supplier(Path("/dev/zero") if kind == "device" else path)
    before = len(os.listdir("/proc/self/fd"))

    for _ in range(3):
        with pytest.raises(SupplyError, check=is_retryable):
            supplier.supply(CONTEXT, NOW)

    assert len(os.listdir("/proc/self/fd")) == before
