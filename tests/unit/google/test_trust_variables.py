from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from refresher.errors import ConfigurationError
from refresher.google.transport import PooledTransport

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _make_garbage(path: Path) -> None:
    path.write_bytes(b"\x00garbage\xff" * 100)


def _make_nothing(_path: Path) -> None:
    """Leave the name free."""


UNUSABLE = {
    "fifo": os.mkfifo,
    "directory": os.mkdir,
    "garbage": _make_garbage,
    "empty": lambda path: path.touch(),
    "absent": _make_nothing,
}


@pytest.mark.parametrize("make", UNUSABLE.values(), ids=UNUSABLE)
def test_file_of_trust_that_cannot_be_used_is_named_with_its_variable(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    """SSL_CERT_FILE is read by OpenSSL, which waits for a FIFO and ignores all else that it can't use."""
    path = tmp_path / "trust"
    make(path)

    with pytest.raises(ConfigurationError) as caught:
        PooledTransport(ca_file=None, variables={"SSL_CERT_FILE": str(path)})

    assert f"{path} cannot be used as trust: " in caught.value.problem
    assert "SSL_CERT_FILE" in caught.value.remedy
    assert "_ssl.c" not in caught.value.problem


@pytest.mark.parametrize("make", UNUSABLE.values(), ids=UNUSABLE)
def test_ca_file_that_cannot_be_used_is_named_with_its_key(tmp_path: Path, make: Callable[[Path], object]) -> None:
    """The same of `google.ca_file`, and of a supplier's."""
    path = tmp_path / "trust"
    make(path)

    with pytest.raises(ConfigurationError, match="cannot be used as trust") as caught:
        PooledTransport(ca_file=path, ca_key="suppliers.k8s.ca_file")

    assert "suppliers.k8s.ca_file" in caught.value.remedy
    assert "_ssl.c" not in caught.value.problem


@pytest.mark.parametrize("make", [os.mkfifo, _make_garbage, _make_nothing], ids=["fifo", "file", "absent"])
def test_directory_of_trust_that_is_none_is_named_with_its_variable(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    """Each directory of SSL_CERT_DIR must be one."""
    path = tmp_path / "trust"
    make(path)

    with pytest.raises(ConfigurationError, match="cannot be used as trust") as caught:
        PooledTransport(ca_file=None, variables={"SSL_CERT_DIR": f"{tmp_path}{os.pathsep}{path}"})

    assert "SSL_CERT_DIR" in caught.value.remedy


def test_fifo_in_a_directory_of_trust_is_found(tmp_path: Path) -> None:
    """OpenSSL would open it in a handshake, and wait for a writer: our deadline does not end that."""
    os.mkfifo(tmp_path / "5ad8a5d6.0")

    with pytest.raises(ConfigurationError, match=r"5ad8a5d6\.0 cannot be used as trust: it is not a regular file"):
        PooledTransport(ca_file=None, variables={"SSL_CERT_DIR": str(tmp_path)})


def test_usual_trust_is_accepted(tmp_path: Path) -> None:
    """Variables that are empty, a directory without hashed names, and other variables are fine."""
    (tmp_path / "README").touch()
    os.mkfifo(tmp_path / "bundle")
    variables = {"SSL_CERT_FILE": "", "SSL_CERT_DIR": str(tmp_path), "REQUESTS_CA_BUNDLE": str(tmp_path / "bundle")}

    PooledTransport(ca_file=None, variables=variables)
