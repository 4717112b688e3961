"""The emulator as a program: one JSON line when it is ready, an end at SIGTERM or SIGINT."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from refresher.emulator.control import NOTICE
from refresher.emulator.directory_lock import hold_directory
from refresher.emulator.oidc_issuer import discover
from refresher.emulator.persistence import open_cloud
from refresher.emulator.seed import plant, read_seed
from refresher.emulator.server import EmulatorServer
from refresher.errors import EmulatorError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def serve(  # noqa: PLR0913 - one argument per option of the command
    directory: Path,
    *,
    host: str,
    http_port: int,
    https_port: int,
    seed: Path | None,
    output: TextIO,
    exposed: bool = False,
    lenient: bool = False,
    journal: Path | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; to be called on the main thread.

    Raises:
        EmulatorError: The directory, the seed, the journal or a port cannot be used; another emulator has the
            directory.
    """
    with hold_directory(directory):
        cloud = open_cloud(directory)
        cloud.discover = discover
        cloud.lenient = lenient
        if seed is not None:
            plant(cloud.state, read_seed(seed), beside=seed.parent, now=cloud.now())
            cloud.save()
        stopping = threading.Event()
        with (
            _file(journal) as cloud.journal.file,
            EmulatorServer(
                cloud, directory, host=host, http_port=http_port, https_port=https_port, exposed=exposed
            ) as server,
        ):
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: stopping.set())
            sys.stderr.write(NOTICE)
            output.write(server.ready_line() + "\n")
            output.flush()
            stopping.wait()


@contextmanager
def _file(path: Path | None) -> Iterator[TextIO | None]:
    if path is None:
        yield None
        return
    try:
        file = path.open("a", encoding="utf-8")
    except OSError as error:
        raise EmulatorError(f"the journal {path} cannot be written: {error.strerror}", "name another file") from error
    with file:
        yield file
