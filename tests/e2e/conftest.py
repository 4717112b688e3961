from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.program import ISSUER, Worker, account_of, secret_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from refresher.emulator.testing import Scenario


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    """Return a worker with a key and no configuration; its output in the test must not contain a secret."""
    made = Worker(place=tmp_path)
    made.make_keys()
    yield made
    assert secret_in(made.everything_printed()) is None


@pytest.fixture
def cloud(google_emulator: Scenario, tmp_path: Path) -> Iterator[tuple[Worker, Scenario]]:
    """Return a worker and the emulator that trusts its keys; alice and bob have separate accounts."""
    origins = dict.fromkeys(("sts", "iam_credentials", "cloud_kms", "metadata"), google_emulator.http)
    made = Worker(place=tmp_path, google={"emulator": True, "endpoints": origins})
    google_emulator.add_provider(issuer=ISSUER, jwks=made.make_keys())
    for name in ("alice", "bob"):
        google_emulator.allow(account_of(name), subject=f"user-{name}")
    yield made, google_emulator
    assert secret_in(made.everything_printed()) is None
