"""Plant bugs in a copy of the tree, one at a time, and show that the simulation finds each, and after how long.

`python -m tests.simulation.mutants [NAME…]`. A bug that stays unfound is a missing invariant.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

TREE = Path(__file__).resolve().parents[2]


class Mutant(NamedTuple):
    """One planted bug: a text of a file, and what stands there instead."""

    name: str
    file: str
    text: str
    instead: str


MUTANTS = (
    Mutant(
        "rename before fsync",
        "publishing/atomic.py",
        "        os.fsync(descriptor)  # 5\n",
        "        pass\n",
    ),
    Mutant(
        "directory not synchronised",
        "publishing/atomic.py",
        "    os.fsync(directory)  # 7\n",
        "",
    ),
    Mutant(
        "env before token",
        "publishing/artifacts.py",
        '    Artifact(CREDENTIALS, "static", needs_pool=True),\n',
        '    Artifact(ENVIRONMENT, "static"),\n    Artifact(CREDENTIALS, "static", needs_pool=True),\n',
    ),
    Mutant(
        "record written late",
        "engine/refresh.py",
        "False, True\n                return\n        self._write_record()",
        "False, True\n                return\n        self.is_claimed = True",
    ),
    Mutant(
        "backoff beyond overdue",
        "policy.py",
        "    if life is None:\n        return now + delay\n",
        "    return now + max(delay * 4, timedelta(minutes=2))\n",
    ),
    Mutant("spread dropped", "policy.py", "/ 2**32) / 10", "/ 2**32) / 1000"),
    Mutant(
        "worse token accepted",
        "engine/assessment.py",
        "        and present.token is not None\n        and present.state is not State.EXPIRED\n",
        "        and present.state is State.EXPIRED\n",
    ),
    Mutant(
        "retirement before the grace",
        "publishing/retirement.py",
        "GRACE = timedelta(minutes=10)",
        "GRACE = timedelta(seconds=10)",
    ),
    Mutant(
        "withdrawn in the wrong order",
        "publishing/artifacts.py",
        "    return sort_for_writing(names)[::-1]",
        "    return sort_for_writing(names)",
    ),
    Mutant(
        "temporary file not removed",
        "publishing/withdrawal.py",
        "    atomic.sweep(directory)\n",
        "",
    ),
    Mutant(
        "retirement of a live target",
        "engine/daemon.py",
        "else (plan.reserved, now,",
        "else (plan.reserved and frozenset(sorted(plan.reserved)[1:]), now,",
    ),
    Mutant(
        "lock lost by any error",
        "publishing/daemon_lock.py",
        "    except (FileNotFoundError, NotADirectoryError):",
        "    except OSError:",
    ),
    Mutant(
        "directory lost by any error",
        "publishing/directory.py",
        "former is not None and unseen not in (present, former) and",
        "former is not None and",
    ),
    Mutant("lock dropped", "publishing/lock.py", "    while not take_byte(lock, byte):", "    while False:"),
    Mutant(
        "due by the wall clock only",
        "engine/daemon.py",
        "            self._agenda.reconsider(self.clock.now())\n",
        "            pass\n",
    ),
    Mutant(
        "another identity's token kept",
        "engine/refresh.py",
        "            self.directory.withdraw_all()\n            if record.identity",
        "            if record.identity",
    ),
    Mutant(
        "directory kept for another identity",
        "engine/refresh.py",
        "                self.directory.replace()\n                self.is_recreated = True",
        "                pass",
    ),
    Mutant(
        "job not given back after a failure",
        "engine/daemon.py",
        "                self._agenda.give_back(entry)\n                is_wanted = is_wanted",
        "                if outcome is None or outcome.error is None:\n"
        "                    self._agenda.give_back(entry)\n                is_wanted = is_wanted",
    ),
    Mutant(
        "broken drop-in retired",
        "config/loader.py",
        "names | self.targets.keys()",
        "frozenset(self.targets)",
    ),
    Mutant(
        "revoked key trusted",
        "keys/registry.py",
        "frozenset(record.kid for record in records if record.state is not KeyState.GONE)",
        "frozenset(record.kid for record in records)",
    ),
)


class Verdict(NamedTuple):
    """Whether a bug was found, and after how long."""

    mutant: Mutant
    seconds: float
    found: str


def plant(mutant: Mutant, tree: Path) -> None:
    """Change a copy of the tree.

    Raises:
        ValueError: The text is not there, or more than once.
    """
    file = tree / "refresher" / mutant.file
    source = file.read_text()
    if source.count(mutant.text) != 1:
        raise ValueError(f"{mutant.name}: {mutant.file} has its text {source.count(mutant.text)} times")
    file.write_text(source.replace(mutant.text, mutant.instead))


def hunt(mutant: Mutant, limit: float) -> Verdict:
    """Run the simulation on a copy of the tree with one bug, until it is found or the time is up."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as place:
        tree = Path(place)
        for package in ("refresher", "tests/simulation"):
            shutil.copytree(TREE / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
        plant(mutant, tree)
        began = time.monotonic()
        command = [sys.executable, "-m", "tests.simulation", "--from", "1", "--first-failure"]
        environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONHASHSEED": "0"}
        try:
            done = subprocess.run(
                command, cwd=tree, env=environment, capture_output=True, text=True, timeout=limit, check=False
            )
            lines, error = done.stdout.splitlines(), done.stderr[-300:]
            last = json.loads(lines[-1]) if done.returncode == 1 and lines else {}
            found = f"seed {last['seed']}: {last['failure']}" if last else f"ended with {done.returncode}: {error}"
        except subprocess.TimeoutExpired:
            found = ""
        return Verdict(mutant, time.monotonic() - began, found)


def main() -> int:
    """Hunt each bug, on all cores."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="only these")
    parser.add_argument("--limit", type=float, default=600.0, help="seconds for each")
    options = parser.parse_args()
    chosen = [each for each in MUTANTS if not options.names or each.name in options.names]
    missed = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for verdict in pool.map(lambda mutant: hunt(mutant, options.limit), chosen):
            missed += not verdict.found
            print(f"{verdict.mutant.name}: {verdict.seconds:.0f} s: {verdict.found or 'NOT FOUND'}", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} planted bugs found")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
