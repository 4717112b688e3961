from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

import pytest

from refresher.app.suppliers import CurrentTrust, open_workshop
from refresher.errors import ConfigurationError
from refresher.google.call import Response
from refresher.google.transport import PooledTransport
from tests.fakes import FakeTransport

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

URL = "https://cluster.example/api"


class Maker:
    """Creates transports that answer with the content of the file at their creation, and records them."""

    def __init__(self, ca_file: Path) -> None:
        self.ca_file = ca_file
        self.made: list[bytes] = []

    def __call__(self) -> FakeTransport:
        held = self.ca_file.read_bytes()
        self.made.append(held)
        return FakeTransport(lambda _: Response(status=200, headers={}, body=held))


def test_trust_is_made_once(tmp_path: Path) -> None:
    """While the file stays the same, one transport makes all calls, and so keeps its connections."""
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(b"first")
    make = Maker(ca_file)
    transport = CurrentTrust(ca_file, make)

    answers = [transport.request("GET", URL).body for _ in range(3)]

    assert answers == [b"first"] * 3
    assert make.made == [b"first"]


def test_trust_follows_the_file(tmp_path: Path) -> None:
    """The next call trusts the content of a replaced file, even if a link above it was replaced (by the kubelet)."""
    for folder in ("old", "new"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "ca.pem").write_text(folder)
    (tmp_path / "data").symlink_to("old")
    ca_file = tmp_path / "data" / "ca.pem"
    transport = CurrentTrust(ca_file, Maker(ca_file))
    before = transport.request("GET", URL).body
    (tmp_path / "link").symlink_to("new")
    (tmp_path / "link").rename(tmp_path / "data")

    after = transport.request("GET", URL).body

    assert (before, after) == (b"old", b"new")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")])
@pytest.mark.parametrize("is_own", [False, True], ids=["google.ca_file", "of-a-supplier"])
def test_trust_that_would_be_waited_for_is_refused_at_once(
    tmp_path: Path, make: Callable[[Path], None], *, is_own: bool
) -> None:
    """A FIFO, a directory or a device in the place of certificates is reported with its key, and no lane hangs."""
    file = tmp_path / "ca.pem"
    make(file)
    own = open_workshop(None).trust(file, "the supplier's ca_file")
    connect = partial(own.request, "GET", URL) if is_own else partial(PooledTransport, ca_file=file)

    with pytest.raises(ConfigurationError, match="cannot be used as trust: it is not a regular file") as caught:
        connect()

    assert str(file) in caught.value.problem
    assert caught.value.remedy.startswith(f"set {'the supplier' if is_own else 'google.ca_file'}")


def test_trust_that_cannot_be_used_names_its_key(tmp_path: Path) -> None:
    """A file that is absent is reported with its key, when it is needed."""
    transport = open_workshop(None).trust(tmp_path / "absent.pem", "the supplier's ca_file")

    with pytest.raises(ConfigurationError) as caught:
        transport.request("GET", URL)

    assert "absent.pem cannot be used as trust" in caught.value.problem
    assert "set the supplier's ca_file to" in caught.value.remedy
