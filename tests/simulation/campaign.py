"""Run fresh seeds on all cores for a while, and count what was done.

One process a core, each with seeds of its own, which reports a run a line. A seed that fails is printed with the
command that replays it, and the others go on.
"""

import json
import os
import secrets
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from threading import Lock, Thread

COMMAND = (sys.executable, "-m", "tests.simulation")


@dataclass
class Tally:
    """What a campaign has done so far; rates are per second of a core."""

    runs: int = 0
    renewals: int = 0
    injected: int = 0
    refused: int = 0
    calls: int = 0
    seconds: float = 0.0
    simulated: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    failed: dict[int, str] = field(default_factory=dict)

    def add(self, line: str) -> None:
        """Add one run, as a process reports it."""
        run = json.loads(line)
        self.runs += 1
        for name in ("renewals", "injected", "refused", "calls", "seconds", "simulated"):
            setattr(self, name, getattr(self, name) + run[name])
        self.kinds.update(run["kinds"])
        if run["failure"]:
            self.failed[run["seed"]] = run["failure"]
            print(f"seed {run['seed']} at {run['simulated']:.1f} s: {run['failure']}", flush=True)
            print(f"  replay: python -m tests.simulation --seed {run['seed']} --trace", flush=True)

    def describe(self) -> str:
        """Return the figures in words."""
        core = self.seconds or 1.0
        kinds = ", ".join(f"{name} {count}" for name, count in sorted(self.kinds.items()))
        return (
            f"{self.runs} seeds, {self.simulated / 3600:.1f} simulated hours, {self.seconds:.0f} s of a core\n"
            f"{self.renewals} renewals: {self.renewals / core:.0f} a second and core\n"
            f"{self.injected + self.refused} faults: {(self.injected + self.refused) / core:.0f} a second and core "
            f"({self.injected} drawn, {self.refused} system calls and requests that they made fail)\n"
            f"{self.calls} system calls: {self.calls / core:.0f} a second and core\n"
            f"{kinds}\n"
            f"{len(self.failed)} seeds failed: {', '.join(map(str, self.failed)) or 'none'}"
        )


def render(result: object) -> str:
    """Return a run as the line of a process."""
    return json.dumps({name: fact for name, fact in vars(result).items() if name not in ("schedule", "where")})


def run(minutes: float, cores: int | None = None) -> int:
    """Run for so long, print the figures, and return how many seeds failed."""
    tally, lock, until = Tally(), Lock(), time.monotonic() + minutes * 60
    first = secrets.randbelow(1 << 40)
    threads = [
        Thread(target=_follow, args=(first + (number << 20), until, tally, lock))
        for number in range(cores or os.cpu_count() or 1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(tally.describe())
    return len(tally.failed)


def _follow(first: int, until: float, tally: Tally, lock: Lock) -> None:
    """Read the lines of one process until the time is up."""
    seconds = max(until - time.monotonic(), 1.0)
    command = [*COMMAND, "--from", str(first), "--seconds", f"{seconds:.1f}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            with lock:
                tally.add(line)
    if process.returncode:
        with lock:
            tally.failed[first] = f"the process ended with {process.returncode}"
