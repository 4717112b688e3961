"""The daemon with a thousand targets, asked over HTTP and with the canary: its memory, and its time for a drop-in.

The limit for the slowest of a hundred drop-ins is the one in memory (tmpfs), where `/run` is; on a disk the time is
that of its journal. The processor time of a drop-in is measured too, which other processes change less.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench.fixtures import COMMAND, write_configuration
from tests.status_socket import ask

COUNT = 1000
DROP_INS = 300
_PATIENCE_SECONDS = 60.0
_MEMORY = "/dev/shm"  # noqa: S108 - a directory of its own below it
_PAUSE = 0.05
"""Seconds between two drop-ins: other moments of the daemon's second each time."""
_IDLE_SECONDS = 10.0
_GROWTH_MEBIBYTES = 3
"""What 300 more targets may add to the memory."""
_READY_SECONDS = 0.02
_PROCESSOR_SECONDS = 0.009
"""Of the daemon for one drop-in, the minting and its own reports included."""
_TICKS = os.sysconf("SC_CLK_TCK")

_GOOGLE = """
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Google(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        answer = {"access_token": "a", "token_type": "Bearer", "expires_in": 3600}
        answer |= {"issued_token_type": "urn:ietf:params:oauth:token-type:access_token"}
        answer |= {"accessToken": "b", "expireTime": "2100-01-01T00:00:00Z"}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Google)
print(server.server_port, flush=True)
server.serve_forever()
"""
"""A program that accepts whatever it is asked; the emulator would need a thousand accounts."""


def measure() -> Iterator[dict[str, Any]]:
    """Return the resident memory, and how long drop-ins take among targets of the main file and among drop-ins."""
    with _google() as origin:
        yield from _measure_place(_MEMORY, "tmpfs", origin, mebibytes=67)
        yield from _measure_place(_MEMORY, "tmpfs_drop_ins", origin, mebibytes=69, more=COUNT)
        yield from _measure_place(".venv", "disk", origin)


@contextmanager
def _google() -> Iterator[str]:
    with subprocess.Popen([sys.executable, "-c", _GOOGLE], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


def _measure_place(
    place: str, kind: str, origin: str, *, mebibytes: int = 0, more: int = 0
) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory(dir=place, prefix="bench-") as temporary:
        directory = Path(temporary).absolute()
        drop_ins = directory / "targets.d"
        drop_ins.mkdir(mode=0o755)
        targets = COUNT - more
        configuration = write_configuration(
            directory,
            COUNT,
            targets=targets,
            more=f"targets_directory: {drop_ins}\n"
            f"google: {{emulator: true, endpoints: {{sts: {origin}, iam_credentials: {origin}, metadata: {origin}}}}}",
            listen=f"unix:{directory}/status/http.sock",
            canary="5m",
        )
        for number in range(more):
            _write(directory, f"m{number}", number)
        daemon = subprocess.Popen(
            [*COMMAND, "run", "--config", str(configuration), "-q", "-q"], stderr=subprocess.DEVNULL
        )
        try:
            _until(lambda: len(list((directory / "run").glob("*/env"))) == COUNT, pause=0.1)
            time.sleep(15)  # until the daemon has settled, and every target is watched
            for path in ("/", "/status.json", "/metrics", "/readyz"):
                _until(partial(_answers, directory / "status" / "http.sock", path), pause=0.1)
            resident = _resident_mebibytes(daemon.pid)
            idle = _idle_share(daemon.pid)
            began, spent = time.perf_counter(), _processor_seconds(daemon.pid)
            times = sorted(_drop_in(directory, number) for number in range(DROP_INS))
            spent = _processor_seconds(daemon.pid) - spent - idle * (time.perf_counter() - began)
            later = _resident_mebibytes(daemon.pid)
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait()
    if mebibytes:
        yield {"name": f"resident_1000_{kind}", "mebibytes": resident, "limit": mebibytes}
        yield {"name": f"resident_1300_{kind}", "mebibytes": later, "limit": mebibytes + _GROWTH_MEBIBYTES}
        yield {"name": f"idle_1000_{kind}", "ratio": round(idle, 4), "limit": None}
        yield {"name": f"drop_in_processor_{kind}", "seconds": round(spent / DROP_INS, 4), "limit": _PROCESSOR_SECONDS}
    late = times[-1 - DROP_INS // 100]
    figures = {"seconds": round(late, 4), "median": round(times[len(times) // 2], 4), "slowest": round(times[-1], 4)}
    yield {"name": f"drop_in_to_ready_{kind}", **figures, "limit": _READY_SECONDS if mebibytes else None}


def _answers(address: Path, path: str) -> bool:
    return ask(address, path).status == 200


def _write(directory: Path, name: str, number: int) -> float:
    """Write a drop-in like a scheduler; return when it was there."""
    temporary = directory / "targets.d" / f".{name}.yaml"
    temporary.write_text(f"identity: t{number}\n", encoding="utf-8")
    temporary.chmod(0o644)
    began = time.perf_counter()
    temporary.rename(directory / "targets.d" / f"{name}.yaml")
    return began


def _drop_in(directory: Path, number: int) -> float:
    """Add a drop-in; return the seconds until its directory is ready."""
    time.sleep(_PAUSE)
    began = _write(directory, f"d{number}", number)
    _until((directory / "run" / f"d{number}" / "env").exists, pause=0.0005)
    return time.perf_counter() - began


def _until(condition: Callable[[], bool], *, pause: float) -> None:
    deadline = time.perf_counter() + _PATIENCE_SECONDS
    while not condition():
        if time.perf_counter() > deadline:
            raise TimeoutError("the daemon did not get there")
        time.sleep(pause)


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _idle_share(pid: int) -> float:
    """Return what share of one processor the daemon takes while nothing changes."""
    began = _processor_seconds(pid)
    time.sleep(_IDLE_SECONDS)
    return (_processor_seconds(pid) - began) / _IDLE_SECONDS


def _resident_mebibytes(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)
