"""End the program before each of its system calls that may change files, and make each call fail with each error.

    python -m tests.faults.crash_points   # as `make crash`, in some minutes; --scenario NAME for one

The calls are found by watching what the program does (tests/seccomp.py), so that a step that is added is tried too.
After each run what is left must be whole (`Scenario.check`); then a daemon starts, as after a crash, and everything
must be as if nothing had happened (`Scenario.final`). A kill tests the program and not the disk: what a power cut
leaves follows from the order of synchronisations.
"""

from __future__ import annotations

import argparse
import errno
import os
import shutil
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from refresher.errors import RefresherError
from tests.faults.crash_scenarios import SCENARIOS, Scenario, check_directory
from tests.program import Worker
from tests.seccomp import END, Call, run_watched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ERRORS = ("ENOSPC", "EDQUOT", "EROFS", "EIO", "EMFILE", "ENOMEM", "EACCES", "EINTR")
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
"""A file system in memory, where kills and errors are the same and synchronising costs nothing."""

_UNTYPED, _NO_FILTER, _KILLED = 3, 4, -9


@dataclass
class Result:
    """What was tried of a scenario: how many crash points and errors, and each promise that was broken."""

    crashes: int = 0
    errors: int = 0
    failures: list[str] = field(default_factory=list)


class Site:
    """A worker in a directory of its own, which is put back into the state in which a scenario begins.

    Args:
        place: An empty directory.
        scenario: What is tried.
    """

    def __init__(self, place: Path, scenario: Scenario) -> None:
        self.scenario = scenario
        self.worker = Worker(place=place / "worker")
        self._saved = place / "saved"
        self._traceback = os.open(place / "traceback", os.O_RDWR | os.O_CREAT)
        self.worker.place.mkdir()
        self.worker.make_keys()
        scenario.prepare(self.worker)
        shutil.copytree(self.worker.place, self._saved, symlinks=True)
        scenario.work(self.worker)  # here, for all that is imported at the first use

    def _restore(self) -> None:
        shutil.rmtree(self.worker.place, ignore_errors=True)
        shutil.copytree(self._saved, self.worker.place, symlinks=True)

    def try_(self, number: int = 0, decision: int = 0) -> tuple[int, list[Call], list[str]]:
        """Do the work from the beginning, with a decision for one call, and start again.

        Returns:
            How the process ended, its calls, and what is wrong with the files before and after the next start.
        """
        self._restore()
        os.truncate(self._traceback, 0)
        former = None
        if self.scenario.former is not None:
            former = os.open(self.worker.directory(self.scenario.former), os.O_RDONLY | os.O_DIRECTORY)
        status, calls = run_watched(self._work, lambda index, _: decision if index == number else 0)
        is_error = decision not in (0, END)
        check = (is_error and self.scenario.check_error) or self.scenario.check
        problems = self._collect(check)
        if former is not None:
            problems += check_directory(Path(f"/proc/self/fd/{former}"), "alice", is_complete=not is_error)
            os.close(former)
        problems += self._start()
        problems += self._collect(self.scenario.final)
        if status == _UNTYPED:
            problems.insert(0, "not a typed failure: " + os.pread(self._traceback, 1 << 20, 0).decode()[-1500:])
        return status, calls, problems

    def _work(self) -> None:
        try:
            self.scenario.work(self.worker)
        except RefresherError:
            return
        except BaseException:
            os.truncate(self._traceback, 0)
            os.pwrite(self._traceback, traceback.format_exc().encode(), 0)
            raise

    def _start(self) -> Iterator[str]:
        status, _ = run_watched(lambda: self.scenario.start(self.worker), lambda _index, _call: 0)
        if status:
            yield f"the next start ended with {status}"

    def _collect(self, check: Callable[[Worker], Iterator[str]]) -> list[str]:
        try:
            return list(check(self.worker))
        except Exception as error:  # noqa: BLE001 - whatever can't be looked at is not whole
            return [f"{type(error).__name__}: {error}"]


def search(place: Path, scenario: Scenario, errors: Callable[[int], Sequence[str]]) -> Result:
    """Try every crash point of a scenario, and errors at its calls.

    Args:
        place: An empty directory.
        scenario: What is tried.
        errors: Returns the names of the errors to try for a call, by its number, counted from 1.
    """
    result, site = Result(), Site(place, scenario)
    status, calls, problems = site.try_()
    if status == _NO_FILTER:
        raise SystemExit("seccomp's notifications are not available here")
    result.failures += [f"undisturbed, {problem}" for problem in problems]
    for number, call in enumerate(calls, 1):
        where = f"{call}, call {number} of {len(calls)}"
        if call.may_change_files:
            status, _, problems = site.try_(number, END)
            if status != _KILLED:
                problems.append(f"it ended with {status} before")
            result.crashes += 1
            result.failures += [f"killed before {where}: {problem}" for problem in problems]
        for error in errors(number):
            _, _, problems = site.try_(number, getattr(errno, error))
            result.errors += 1
            result.failures += [f"{error} at {where}: {problem}" for problem in problems]
    return result


def write(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Try everything and print what was tried and what survived."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scenario", action="append", help="Only this one; may be repeated.")
    options = parser.parse_args()
    results, started = [], time.monotonic()
    for scenario in SCENARIOS:
        if options.scenario and scenario.name not in options.scenario:
            continue
        with tempfile.TemporaryDirectory(dir=MEMORY) as place:
            result = search(Path(place), scenario, lambda _: ERRORS)
        results.append(result)
        failed = len(result.failures)
        write(f"{scenario.name:28} {result.crashes:4} crash points, {result.errors:5} errors: {failed} failed")
        for failure in result.failures:
            write(f"  {failure}")
    crashes, errors = sum(each.crashes for each in results), sum(each.errors for each in results)
    failed = sum(len(each.failures) for each in results)
    write(f"tried {crashes} crash points and {errors} errors in {time.monotonic() - started:.0f} s, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
