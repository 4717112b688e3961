"""`make performance`: write docs/performance.md from one run: peers side by side, and growth from 10 to 10,000 targets.

It takes a quarter of an hour, and needs a machine with nothing else to do.
"""

import os
import platform
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TypeVar

from tests.bench import growth, peers

T = TypeVar("T")
PAGE = Path("docs/performance.md")

_HEAD = """\
# Performance

For the platform engineer who plans a fleet: what a refresh costs, how it grows with the number of targets, and what
other ways cost on the same machine. `make performance` writes this page from one run; the figures are of that run.
Ratios carry over to other machines, milliseconds do not.

"""
_PEERS = """\
## Side by side with other ways

Each row writes fresh access tokens of service accounts into files. The server answers at once, or after 100 ms as
Google does. The figures are of whole processes with their start, divided by the number of tokens. refresher also writes
`env`, the description and the record of each target, and synchronises every file.

"""
_PASSES = """\
## A first run: `refresher once`

All targets from nothing, with a key of our own (`self_issued`). The plain loop signs as many tokens, and writes,
synchronises and renames three files for each, one after the other. Medians of {rounds} rounds in turn; the spread is
the fastest and the slowest round.

"""
_IDLE = """\
## The daemon while nothing is due

With `listen: none` and `canary: off`, and with both on. The share is of one processor, over {seconds:.0f} seconds.

"""


def main() -> int:
    """Measure, and write the page."""
    costs = [_show(each) for each in peers.measure()]
    passes = [_show(each) for each in growth.measure_passes()]
    idle = [_show(each) for each in growth.measure_idle()]
    machine = f"{os.cpu_count()} processors ({platform.machine()}), Python {platform.python_version()}"
    when = f"Measured on {datetime.now(UTC):%Y-%m-%d}, on a machine with {machine}.\n\n"
    parts = (_HEAD, when, *_write_peers(costs), *_write_passes(passes), *_write_idle(idle))
    PAGE.write_text("".join(parts), encoding="utf-8")
    return 0


def _show(each: T) -> T:
    sys.stdout.write(f"{each}\n")
    sys.stdout.flush()
    return each


def _write_peers(costs: Sequence[peers.Cost]) -> Iterable[str]:
    yield _PEERS
    names = ["way", "tokens", *(f"ms at {delay} ms" for delay in peers.DELAYS), "processor, ms", "most memory, MiB"]
    rows = []
    for name in dict.fromkeys(cost.name for cost in costs):
        own = [cost for cost in costs if cost.name == name]
        walls = [f"{cost.wall:.1f}" for cost in own]
        rows.append([name, f"{own[0].tokens:,}", *walls, f"{own[0].processor:.1f}", f"{own[0].mebibytes:.0f}"])
    yield _write_table(names, rows)


def _write_passes(passes: Sequence[growth.Pass]) -> Iterable[str]:
    yield _PASSES.format(rounds=growth.ROUNDS)
    rows = []
    for each in passes:
        walls = sorted(run.wall for run in each.ours)
        spread = f"{walls[0]:.2f} to {walls[-1]:.2f}"
        plain = median(run.wall for run in each.plain)
        processor = median(run.processor for run in each.ours) / each.targets * 1e3
        memory = max(run.mebibytes for run in each.ours)
        figures = [
            f"{median(walls):.2f}",
            spread,
            f"{plain:.2f}",
            f"{each.ratio:.2f}",
            f"{processor:.2f}",
            f"{memory:.0f}",
        ]
        rows.append([each.place, f"{each.targets:,}", *figures])
    names = ["place", "targets", "seconds", "spread", "plain loop", "ratio", "processor a target, ms", "memory, MiB"]
    yield _write_table(names, rows)
    on_disk = [each for each in passes if each.place == "disk"]
    per_target = [median(run.wall for run in each.ours) / each.targets * 1e3 for each in on_disk]
    of_the_loop = [median(run.wall for run in each.plain) / each.targets * 1e3 for each in on_disk]
    yield _plot("Milliseconds a target on a disk: once (first line), plain loop", on_disk, per_target, of_the_loop)


def _write_idle(idle: Sequence[growth.Idle]) -> Iterable[str]:
    yield _IDLE.format(seconds=growth.IDLE_SECONDS)
    rows = [
        [f"{each.targets:,}", "on" if each.is_observed else "off", f"{each.mebibytes:.1f}", f"{each.share:.2%}"]
        for each in idle
    ]
    yield _write_table(["targets", "HTTP and canary", "memory, MiB", "share of a processor"], rows)
    off, on = ([each for each in idle if each.is_observed is which] for which in (False, True))
    yield _plot(
        "Memory in MiB: HTTP and canary off (first line), on",
        off,
        [each.mebibytes for each in off],
        [each.mebibytes for each in on],
    )


def _write_table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [names, ["---" if not index else "---:" for index in range(len(names))], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"


def _plot(title: str, along: Sequence[growth.Pass | growth.Idle], *lines: Sequence[float]) -> str:
    """Return a chart as Mermaid, which code hosts draw."""
    counts = ", ".join(f'"{each.targets:,}"' for each in along)
    drawn = "".join(f"  line [{', '.join(f'{value:.2f}' for value in line)}]\n" for line in lines)
    return f'```mermaid\nxychart-beta\n  title "{title}"\n  x-axis "targets" [{counts}]\n{drawn}```\n\n'


if __name__ == "__main__":
    sys.exit(main())
