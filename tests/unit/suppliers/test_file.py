from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from refresher.errors import SupplyError
from refresher.suppliers.file import FileSupplier
from refresher.suppliers.interface import SupplierContext
from refresher.tokens import MAXIMUM_SIZE
from tests.contract.cases import ContractCase
from tests.failures import is_retryable
from tests.tokens import AUDIENCE, NOW, make_jwt

CONTEXT = SupplierContext(identity="alice", subject="user-1", audience=AUDIENCE)


def prepare(directory: Path) -> None:
    """Create the file, with a token that is issued now."""
    (directory / "source-token").write_text(make_jwt(issued_at=datetime.now(UTC)))


CONTRACT = {"file": ContractCase(supplier="{kind: file, path: source-token}", prepare=prepare)}


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

    assert FileSupplier(path=path).supply(CONTEXT, NOW).value == make_jwt()


def test_links_are_followed_to_what_is_projected_now(tmp_path: Path) -> None:
    """A link is followed at each supply, since Kubernetes changes its target."""
    (tmp_path / "1").write_text(make_jwt())
    (tmp_path / "2").write_text(make_jwt(issued_at=NOW + timedelta(minutes=1)))
    link = tmp_path / "token"
    supplier = FileSupplier(path=link)
    link.symlink_to("1")
    first = supplier.supply(CONTEXT, NOW)

    link.unlink()
    link.symlink_to("2")
    second = supplier.supply(CONTEXT, NOW)

    assert second.issued_at - first.issued_at == timedelta(minutes=1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "not a JWT", id="empty"),
        pytest.param(b"ya29.opaque", "not a JWT", id="opaque"),
        pytest.param(b'{"token": "x"}', "not a JWT", id="json"),
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
        FileSupplier(path=path).supply(CONTEXT, NOW)

    assert str(path) in caught.value.problem
    assert caught.value.remedy
    assert "eyJ" not in str(caught.value)
    assert "ya29" not in str(caught.value)


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
    supplier = FileSupplier(path=Path("/dev/zero") if kind == "device" else path)
    before = len(os.listdir("/proc/self/fd"))

    for _ in range(3):
        with pytest.raises(SupplyError, check=is_retryable):
            supplier.supply(CONTEXT, NOW)

    assert len(os.listdir("/proc/self/fd")) == before
