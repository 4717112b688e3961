"""The emulator as a program: it prints one line of JSON when it is ready, and ends at SIGTERM or SIGINT."""

import errno
import fcntl
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from refresher.emulator.control import NOTICE
from refresher.emulator.oidc_issuer import discover
from refresher.emulator.persistence import open_cloud
from refresher.emulator.seed import apply_seed, read_seed
from refresher.emulator.server import EmulatorServer
from refresher.errors import EmulatorError

READY = "ready.json"


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
    """Serve until SIGTERM or SIGINT. Call it on the main thread.

    The ready line is also in the directory, in the file `READY`, while the emulator runs.

    Raises:
        EmulatorError: The directory, the seed, the journal or a port cannot be used, or another emulator uses the
            directory.
    """
    with hold_directory(directory), open_cloud(directory) as cloud:
        cloud.discover = discover
        cloud.lenient = lenient
        if seed is not None:
            apply_seed(cloud.state, read_seed(seed), directory=seed.parent, now=cloud.now())
            cloud.save()
        stopping = threading.Event()
        with (
            _open_journal(journal) as cloud.journal.file,
            EmulatorServer(
                cloud, directory, host=host, http_port=http_port, https_port=https_port, exposed=exposed
            ) as server,
        ):
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: stopping.set())
            ready = directory / READY
            ready.write_text(server.ready_line() + "\n", encoding="utf-8")
            sys.stderr.write(NOTICE)
            output.write(server.ready_line() + "\n")
            output.flush()
            stopping.wait()
            ready.unlink(missing_ok=True)


@contextmanager
def _open_journal(path: Path | None) -> Iterator[TextIO | None]:
    if path is None:
        yield None
        return
    try:
        file = path.open("a", encoding="utf-8")
    except OSError as error:
        raise EmulatorError(f"the journal {path} cannot be written: {error.strerror}", "choose another file") from error
    with file:
        yield file


@contextmanager
def hold_directory(directory: Path) -> Iterator[None]:
    """Lock a directory for the length of a `with` block, so that no second emulator overwrites its state.

    The directory is created if it does not exist. The lock ends with the process at the latest. On a file system
    without locks there is no lock.

    Raises:
        EmulatorError: Another process holds the lock, or the directory cannot be used.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise EmulatorError(
            f"the emulator's directory {directory} cannot be used: {error.strerror}", "choose one that you can write to"
        ) from error
    try:
        _lock_directory(descriptor, directory)
        yield
    finally:
        os.close(descriptor)


def _lock_directory(descriptor: int, directory: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno == errno.EWOULDBLOCK:
            raise EmulatorError(
                f"another emulator already runs on {directory}", "stop it, or start this one with another --directory"
            ) from error
