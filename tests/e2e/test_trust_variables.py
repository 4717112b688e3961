"""Variables about TLS in the environment of a command: OpenSSL and libraries read some of them by themselves."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.program import Worker

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    """Return a worker whose Google can't be reached."""
    endpoints = dict.fromkeys(("sts", "iam_credentials"), "https://127.0.0.1:9")
    made = Worker(place=tmp_path, google={"emulator": True, "endpoints": endpoints})
    made.make_keys()
    return made


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "SSLKEYLOGFILE"])
def test_program_hangs_on_no_variable(worker: Worker, variable: str) -> None:
    """A FIFO in a variable about TLS ends a command with the variable's name, or has no effect on it."""
    fifo = worker.place / "fifo"
    os.mkfifo(fifo)
    worker.environment = {variable: str(fifo)}
    worker.configure("alice")
    worker.once()

    done = worker.command("wait", "--exchange", "--timeout", "0s", status=None)

    is_read = variable.startswith("SSL_CERT")
    assert done.returncode == (2 if is_read else 5)
    assert (f"remedy: set {variable} to" in done.stderr) is is_read
