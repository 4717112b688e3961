import os
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from refresher.observe.supervisor import Supervisor
from tests.fakes import FakeClock


class Systemd:
    """The receiving end of notifications."""

    def __init__(self, address: str) -> None:
        self.variables = {"NOTIFY_SOCKET": address.replace("\0", "@")}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.setblocking(False)  # noqa: FBT003 - the standard library's signature

    def read(self) -> list[str]:
        """Return the lines of all notifications since the last call."""
        lines: list[str] = []
        try:
            while True:
                lines += self._socket.recv(65536).decode().split("\n")
        except BlockingIOError:
            return lines

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


@pytest.fixture(params=["a path", "an abstract name"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    """Return a supervisor that listens at a path or at an abstract name."""
    made = Systemd(str(tmp_path / "notify") if request.param == "a path" else f"\0refresher-test-{os.getpid()}")
    yield made
    made.close()


def test_first_tick_under_a_plan_makes_it_ready(systemd: Systemd) -> None:
    """The first report has READY and the status; the next ones have only a status that changed."""
    supervisor = Supervisor(systemd.variables, monotonic=lambda: 1.0)

    supervisor.report("1 target: 1 absent", has_reloaded=False)
    first = systemd.read()
    supervisor.report("1 target: 1 fresh", has_reloaded=False)
    supervisor.report("1 target: 1 fresh", has_reloaded=False)

    assert first == ["READY=1", "STATUS=1 target: 1 absent"]
    assert systemd.read() == ["STATUS=1 target: 1 fresh"]


def test_reload_is_ready_again_after_a_tick_that_began_later(systemd: Systemd) -> None:
    """RELOADING has the monotonic time in microseconds; READY follows the tick that loaded, not one under way."""
    supervisor = Supervisor(systemd.variables, monotonic=lambda: 12.5)
    supervisor.report("", has_reloaded=False)
    systemd.read()

    supervisor.reload()
    supervisor.report("", has_reloaded=False)
    begun = systemd.read()
    supervisor.report("", has_reloaded=True)

    assert begun == ["RELOADING=1", "MONOTONIC_USEC=12500000"]
    assert systemd.read() == ["READY=1"]
    assert not supervisor.is_reloading


def test_watchdog_hears_of_ticks_a_few_times_in_its_interval(systemd: Systemd) -> None:
    """Many ticks in a row send few notifications, and never fewer than the interval needs."""
    clock = FakeClock()
    supervisor = Supervisor(systemd.variables | {"WATCHDOG_USEC": "4000000"}, monotonic=clock.monotonic)

    for _ in range(40):
        supervisor.report("", has_reloaded=False)
        clock.pass_(timedelta(seconds=0.1))

    assert systemd.read().count("WATCHDOG=1") == 4


@pytest.mark.parametrize("variables", [{}, {"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "x"}])
def test_watchdog_that_is_not_ours_hears_nothing(systemd: Systemd, variables: dict[str, str]) -> None:
    """Without an interval, or with one for another process, no life is reported."""
    supervisor = Supervisor(systemd.variables | variables, monotonic=lambda: 1.0)

    supervisor.report("", has_reloaded=False)

    assert systemd.read() == ["READY=1"]


def test_end_asks_for_the_time_that_draining_takes(systemd: Systemd) -> None:
    """STOPPING comes with the longest time until the end, in microseconds."""
    Supervisor(systemd.variables, monotonic=lambda: 1.0).stop(timedelta(minutes=5))

    assert systemd.read() == ["STOPPING=1", "EXTEND_TIMEOUT_USEC=300000000"]


def test_status_of_several_lines_is_one_line(systemd: Systemd) -> None:
    """A status can't add another notification."""
    Supervisor(systemd.variables, monotonic=lambda: 1.0).report("fresh\nMAINPID=1", has_reloaded=False)

    assert systemd.read() == ["READY=1", "STATUS=fresh MAINPID=1"]


def test_supervisor_that_never_reads_holds_up_nothing(systemd: Systemd) -> None:
    """Once its queue is full, notifications are lost at once."""
    supervisor = Supervisor(systemd.variables, monotonic=lambda: 1.0)

    for number in range(5000):
        supervisor.report(f"{number} targets", has_reloaded=False)

    assert systemd.read()[0] == "READY=1"


@pytest.mark.parametrize("variables", [{}, {"NOTIFY_SOCKET": "/nonexistent/socket"}], ids=["none", "gone"])
def test_program_without_a_supervisor_works(variables: dict[str, str]) -> None:
    """Where no process listens, nothing happens."""
    supervisor = Supervisor(variables, monotonic=lambda: 1.0)

    supervisor.report("fresh", has_reloaded=False)
    supervisor.stop(timedelta(0))

    assert not supervisor.is_reloading
