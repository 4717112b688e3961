"""The bytes that were committed, and variations of them, are read as the readers of `readers` promise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.guided import CORPUS
from tests.fuzz.readers import READERS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fuzz.readers import Reader

SAMPLES = [pytest.param(path, id=f"{path.parent.name}/{path.name}") for path in sorted(CORPUS.glob("*/*"))]
PIECES = st.sampled_from([b"\x00", b"NaN", b"1e999", b"{", b"[" * 300, b"\xff", b"\xed\xa0\x80", b"\r\n", b": ", b"-1"])


@pytest.fixture(scope="module", params=list(READERS))
def reader(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Reader]:
    """Return each reader, in a directory of its own."""
    name = str(request.param)
    return name, READERS[name](tmp_path_factory.mktemp("site"))


@pytest.mark.parametrize("path", SAMPLES)
def test_committed_bytes_are_read(path: Path, tmp_path: Path) -> None:
    """No reader fails over the bytes in its corpus, among them all that a search found."""
    READERS[path.parent.name](tmp_path)(path.read_bytes())


def test_every_reader_has_a_corpus() -> None:
    """What the search begins with is there for each reader, and for nothing else."""
    assert {path.name for path in CORPUS.iterdir()} == set(READERS)


def test_committed_bytes_reach_what_a_reader_does(reader: tuple[str, Reader]) -> None:
    """Each reader accepts some of the bytes in its corpus: a search that begins with refusals finds little."""
    name, read = reader

    assert any(read(path.read_bytes()) for path in (CORPUS / name).iterdir())


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_varied_bytes_are_read(reader: tuple[str, Reader], data: st.DataObject) -> None:
    """No reader fails over committed bytes of which a part is removed, repeated or replaced."""
    name, read = reader
    content = data.draw(st.sampled_from([path.read_bytes() for path in sorted((CORPUS / name).iterdir())]))
    for _ in range(data.draw(st.integers(1, 3))):
        begin, end = sorted(data.draw(st.tuples(*[st.integers(0, len(content))] * 2)))
        content = (
            content[:begin]
            + data.draw(PIECES | st.binary(max_size=4) | st.just(content[begin:end] * 2))
            + content[end:]
        )
    read(content)
