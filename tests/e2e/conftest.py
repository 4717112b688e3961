from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from refresher.app.programs import refresh_once
from refresher.config.loader import load
from refresher.keys.directory import create, read_jwks
from tests.e2e.doctor_site import Site
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


@pytest.fixture
def site(google_emulator: Scenario, tmp_path: Path) -> Site:
    """Return a worker whose chain of alice is healthy and published."""
    google = google_emulator
    origins = dict.fromkeys(("sts", "iam_credentials", "cloud_kms", "metadata"), google.http)
    worker = Worker(place=tmp_path, google={"emulator": True, "endpoints": origins})
    create(tmp_path / "keys", algorithm="ES256", now=datetime.now(UTC))
    google.add_provider(issuer=ISSUER, jwks=read_jwks(tmp_path / "keys"))
    google.allow(account_of("alice"), subject="user-alice")
    document = worker.document("alice")
    worker.write(document)
    outcomes = refresh_once(load(worker.configuration), ["alice"], force=False)
    assert [outcome.error for outcome in outcomes.values()] == [None]
    return Site(worker=worker, google=google, document=document)
