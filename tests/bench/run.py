"""`make bench`: every measurement in one run, as a table and as bench-results.json.

Ratios compare things that are measured in turn on the same machine; the absolute figures are for orientation only. A
figure that exceeds its limit makes the run fail.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench import configuration, daemon, emulator, image, metadata, neighbours, once, probes, status

RESULTS = Path("bench-results.json")


def main() -> int:
    """Measure everything; return 1 if a figure exceeds its limit."""
    results: list[dict[str, Any]] = []
    for source in (
        configuration.measure,
        probes.measure,
        once.measure,
        daemon.measure,
        neighbours.measure,
        status.measure,
        emulator.measure,
        metadata.measure,
        image.measure,
    ):
        for result in source():
            results.append(result)
            sys.stdout.write(f"{_line(result)}\n")
            sys.stdout.flush()
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 1 if any(_is_beyond(result) for result in results) else 0


def _figure(result: dict[str, Any]) -> float:
    return float(next(result[name] for name in ("ratio", "mebibytes", "seconds") if name in result))


def _is_beyond(result: dict[str, Any]) -> bool:
    return result["limit"] is not None and _figure(result) > result["limit"]


def _line(result: dict[str, Any]) -> str:
    more = ", ".join(f"{value} {name}" for name, value in result.items() if name not in ("name", "limit"))
    limit = f"limit {result['limit']}" if result["limit"] is not None else "no limit"
    return f"{result['name']:26} {more:40} {limit}{'  BEYOND' if _is_beyond(result) else ''}"


if __name__ == "__main__":
    sys.exit(main())
