from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refresher.files import UnsuitableFileError, read_regular, read_state
from tests.program import until

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("content", [b"", b"a", b"x" * 10, b"y" * (3 << 20)], ids=["empty", "short", "limit", "pieces"])
def test_regular_file_is_read_whole_when_it_is_within_the_limit(tmp_path: Path, content: bytes) -> None:
    """A file of any size up to the limit, which counts, is returned whole."""
    path = tmp_path / "file"
    path.write_bytes(content)

    found, state = read_regular(path, most=max(len(content), 1))

    assert found == content
    assert state == read_state(path)
    assert state.size == len(content)


def test_file_is_refused_when_it_is_larger_than_the_limit(tmp_path: Path) -> None:
    """A file that is one byte too large is refused."""
    path = tmp_path / "file"
    path.write_bytes(b"12345")

    with pytest.raises(UnsuitableFileError, match="larger than 4 bytes"):
        read_regular(path, most=4)


def test_sparse_file_is_refused_without_being_read(tmp_path: Path) -> None:
    """A terabyte of holes is refused by its size, before memory is allocated."""
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(1 << 40)

    with pytest.raises(UnsuitableFileError, match="larger than 4 bytes"):
        read_regular(path, most=4)


def test_file_that_hides_its_size_is_read_to_the_limit_only() -> None:
    """A file of /proc, which shows no size, is refused once it has given more than the limit."""
    with pytest.raises(UnsuitableFileError, match="larger than 4 bytes"):
        read_regular("/proc/self/maps", most=4)


@pytest.mark.parametrize(
    "create",
    [
        pytest.param(lambda path: path.mkdir(), id="directory"),
        pytest.param(os.mkfifo, id="fifo"),
        pytest.param(lambda path: path.symlink_to("/dev/zero"), id="device"),
    ],
)
def test_anything_but_a_regular_file_is_refused_at_once(tmp_path: Path, create: Callable[[Path], None]) -> None:
    """A directory, a FIFO without a writer and an endless device are refused at once."""
    path = tmp_path / "file"
    create(path)

    with pytest.raises(UnsuitableFileError, match="not a regular file"):
        read_regular(path, most=4)


def test_symbolic_link_is_refused_when_links_are_not_followed(tmp_path: Path) -> None:
    """With `follow=False` a link is an OSError, whatever its target; the link's own state can be read."""
    (tmp_path / "file").write_bytes(b"1")
    link = tmp_path / "link"
    link.symlink_to("file")

    assert read_regular(link, most=4)[0] == b"1"
    assert read_state(link) == read_state(tmp_path / "file")
    assert read_state(link, follow=False) != read_state(link)
    with pytest.raises(OSError, match="symbolic links") as caught:
        read_regular(link, most=4, follow=False)
    assert caught.value.errno == errno.ELOOP


def test_file_is_found_in_an_open_directory(tmp_path: Path) -> None:
    """A name is looked up in the open directory, even if that was moved."""
    place = tmp_path / "before"
    place.mkdir()
    (place / "file").write_bytes(b"1")
    directory = os.open(place, os.O_RDONLY)
    place.rename(tmp_path / "after")

    found, state = read_regular("file", most=4, directory=directory)

    assert found == b"1"
    assert state == read_state("file", directory=directory)
    os.close(directory)


def test_check_sees_the_file_before_it_is_read(tmp_path: Path) -> None:
    """An exception of the caller's check is raised, even for a file that would be refused for its size."""
    path = tmp_path / "file"
    path.write_bytes(b"12345")

    def refuse(status: os.stat_result) -> None:
        raise PermissionError(status.st_size)

    with pytest.raises(PermissionError, match="5"):
        read_regular(path, most=4, check=refuse)


def test_descriptors_are_closed_when_a_file_is_refused(tmp_path: Path) -> None:
    """Reading and refusing leave no descriptor open."""
    path = tmp_path / "file"
    path.write_bytes(b"12345")

    read_regular(path, most=5)
    with pytest.raises(UnsuitableFileError):
        read_regular(path, most=4)

    opened = [os.path.realpath(entry) for entry in Path("/proc/self/fd").iterdir()]
    assert str(path) not in opened


@pytest.mark.parametrize("name", ["absent", "nul\0byte", "file/below"])
def test_there_is_no_state_of_what_cannot_be_looked_at(tmp_path: Path, name: str) -> None:
    """An absent file, an impossible name and a path through a file have no state."""
    (tmp_path / "file").write_bytes(b"1")

    assert read_state(f"{tmp_path}/{name}") is None


def write(path: Path) -> None:
    """Write another content of the same size."""
    path.write_bytes(b"2")


def write_back_dated(path: Path) -> None:
    """Write another content of the same size, and set the modification time back to what it was."""
    path.write_bytes(b"2")
    os.utime(path, ns=(0, 0))


def replace(path: Path) -> None:
    """Replace the file by another one of the same content."""
    path.with_name("new").write_bytes(b"1")
    path.with_name("new").replace(path)


def change_mode(path: Path) -> None:
    """Change only the mode."""
    path.chmod(0o600)


@pytest.mark.parametrize("change", [write, write_back_dated, replace, change_mode])
def test_state_differs_when_the_file_changed(tmp_path: Path, change: Callable[[Path], None]) -> None:
    """Content of the same size, an earlier modification time, a replacement and another mode all change the state."""
    path = tmp_path / "file"
    path.write_bytes(b"1")
    path.chmod(0o644)
    os.utime(path, ns=(0, 0))
    before = read_state(path)

    def is_seen() -> bool:
        change(path)
        return read_state(path) != before

    # the change time moves with the kernel's tick, every few milliseconds
    until(is_seen, what="another state of the file")
