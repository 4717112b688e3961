from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.program import Worker, secret_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    """Return a worker with a key and one target, alice; its output in the test must not contain a secret."""
    made = Worker(place=tmp_path)
    made.make_keys()
    made.configure("alice")
    yield made
    made.prefix = []
    assert secret_in(made.everything_printed()) is None
