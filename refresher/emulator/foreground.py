"""The emulator as a program: one JSON line when it is ready, an end at SIGTERM or SIGINT."""

from __future__ import annotations

import signal
import sys
import threading
from typing import TYPE_CHECKING, TextIO

from refresher.emulator.control import NOTICE
from refresher.emulator.oidc_issuer import discover
from refresher.emulator.persistence import open_cloud
from refresher.emulator.seed import plant, read_seed
from refresher.emulator.server import EmulatorServer

if TYPE_CHECKING:
    from pathlib import Path


def serve(directory: Path, *, host: str, http_port: int, https_port: int, seed: Path | None, output: TextIO) -> None:
    """Serve until SIGTERM or SIGINT; to be called on the main thread.

    Raises:
        EmulatorError: The directory, the seed or a port cannot be used.
    """
    cloud = open_cloud(directory)
    cloud.discover = discover
    if seed is not None:
        plant(cloud.state, read_seed(seed), beside=seed.parent)
        cloud.save()
    stopping = threading.Event()
    with EmulatorServer(cloud, directory, host=host, http_port=http_port, https_port=https_port) as server:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        sys.stderr.write(NOTICE)
        output.write(server.ready_line() + "\n")
        output.flush()
        stopping.wait()
