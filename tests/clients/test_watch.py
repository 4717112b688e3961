from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.clients.watch import Watch
from tests.program import Worker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def token(tmp_path: Path) -> tuple[Path, Watch]:
    """Return the file of an hour-long token that the product wrote, and its watch."""
    worker = Worker(place=tmp_path)
    keys = worker.make_keys()
    worker.configure("alice")
    worker.once()
    file = worker.directory("alice") / "token"
    return file, Watch([file], keys)


def test_watch_accepts_what_the_product_writes(token: tuple[Path, Watch]) -> None:
    """A complete token in the first half of its lifetime is correct."""
    _, watch = token

    watch.look(time.time())

    assert (watch.looks, dict(watch.wrong)) == (1, {})


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda file: file.unlink(), "is absent"),
        (lambda file: file.write_bytes(b""), "is empty"),
        (lambda file: file.write_bytes(file.read_bytes()[:-20]), "holds no whole token"),
        (lambda file: file.write_bytes(file.read_bytes()[:40]), "holds no whole token"),
    ],
    ids=["absent", "empty", "half a signature", "half a head"],
)
def test_watch_finds_a_damaged_file(token: tuple[Path, Watch], spoil: Callable[[Path], None], found: str) -> None:
    """A file that is absent, empty or incomplete is recorded."""
    file, watch = token
    spoil(file)

    watch.look(time.time())

    assert dict(watch.wrong) == {f"alice/token {found}": 1}


def test_watch_finds_a_file_that_was_written_in_place(token: tuple[Path, Watch]) -> None:
    """New content in the same file was not renamed into place, so that a client could have read a part of it."""
    file, watch = token
    watch.look(time.time())
    file.write_bytes(file.read_bytes() + b"\n")

    watch.look(time.time())

    assert dict(watch.wrong) == {"alice/token was written in place": 1}


def test_watch_accepts_a_replaced_token(token: tuple[Path, Watch], tmp_path: Path) -> None:
    """A second refresh writes a new file."""
    file, watch = token
    watch.look(time.time())
    first = file.read_bytes()
    Worker(place=tmp_path).once("--force")

    watch.look(time.time())

    assert file.read_bytes() != first
    assert dict(watch.wrong) == {}


def test_watch_finds_a_token_that_is_replaced_late(token: tuple[Path, Watch]) -> None:
    """A token in the last third of its lifetime is recorded, though clients can still use it."""
    _, watch = token

    watch.look(time.time() + 2500)

    assert dict(watch.wrong) == {"alice/token has less than 33% of its life left": 1}


def test_watch_runs_in_the_background(token: tuple[Path, Watch]) -> None:
    """It reads the files by itself for the length of the block."""
    _, watch = token

    with watch.run_in_background():
        deadline = time.monotonic() + 60
        while watch.looks < 3 and time.monotonic() < deadline:
            time.sleep(0.01)

    assert watch.looks >= 3
