"""Run the daemon on a simulated machine: `python -m tests.simulation [--minutes N | --seed N | --failed]`."""

import argparse
import os
import sys
import time
from pathlib import Path

SEEDS = Path(__file__).with_name("seeds.txt")


def main() -> int:
    """Parse the command line and run; the exit status is 1 if an invariant was broken."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        # the order of sets is part of what a seed decides
        arguments = [sys.executable, "-m", "tests.simulation", *sys.argv[1:]]
        os.execve(sys.executable, arguments, {**os.environ, "PYTHONHASHSEED": "0"})  # noqa: S606 - the same program
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--minutes", type=float, help="run fresh seeds on all cores for so long")
    parser.add_argument("--cores", type=int, help="how many processes; default: one for each core")
    parser.add_argument("--seed", type=int, help="run this seed alone")
    parser.add_argument("--faults", help="the numbers of its faults that happen, with commas between; default: all")
    parser.add_argument("--trace", action="store_true", help="show every event of the seed")
    parser.add_argument("--shrink", action="store_true", help="find the fewest faults with which the seed fails")
    parser.add_argument("--failed", action="store_true", help="run all seeds that ever failed")
    parser.add_argument("--from", dest="first", type=int, help="run seeds from this one on, a line of JSON for each")
    parser.add_argument("--seconds", type=float, default=1e9, help="with --from: for so long")
    parser.add_argument("--first-failure", action="store_true", help="with --from: end at the first that fails")
    options = parser.parse_args()
    if options.minutes:
        from tests.simulation import campaign

        return bool(campaign.run(options.minutes, options.cores))
    if options.first is not None:
        return _run_on(options.first, options.seconds, ends_early=options.first_failure)
    if options.failed:
        return _run_failed()
    return _run_seed(options)


def _run_seed(options: argparse.Namespace) -> int:
    from tests.simulation.campaign import Tally, render
    from tests.simulation.runs import run_seed

    only = None if options.faults is None else {int(each) for each in options.faults.split(",") if each}
    result = run_seed(options.seed or 0, only=only, trace=print if options.trace else None)
    print(result.where, end="")
    tally = Tally()
    tally.add(render(result))
    print(tally.describe())
    for fault in result.schedule:
        print(f"  {fault.at:8.1f} s  fault {fault.number}: {fault.kind}")
    if options.shrink and result.failure:
        from tests.simulation.shrink import shrink

        def fails(numbers: object) -> bool:
            return bool(run_seed(result.seed, only=set(numbers)).failure)  # type: ignore[call-overload]

        kept = shrink([fault.number for fault in result.schedule], fails)
        print(f"the fewest: python -m tests.simulation --seed {result.seed} --faults '{','.join(map(str, kept))}'")
    return bool(result.failure)


def _run_on(seed: int, seconds: float, *, ends_early: bool) -> int:
    from tests.simulation.campaign import render
    from tests.simulation.runs import run_seed

    until = time.monotonic() + seconds
    while time.monotonic() < until:
        result = run_seed(seed)
        print(render(result), flush=True)
        if result.failure and ends_early:
            return 1
        seed += 1
    return 0


def _run_failed() -> int:
    from tests.simulation.campaign import Tally, render
    from tests.simulation.runs import run_seed

    tally = Tally()
    for line in SEEDS.read_text().splitlines():
        if seed := line.partition("#")[0].strip():
            tally.add(render(run_seed(int(seed))))
    print(tally.describe())
    return bool(tally.failed)


if __name__ == "__main__":
    sys.exit(main())
