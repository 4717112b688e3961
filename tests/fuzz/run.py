"""`make fuzz`: a hundred thousand refusals by default, with a new seed by default."""

from __future__ import annotations

import secrets
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from refresher.emulator.routes import OPERATIONS
from tests.fuzz.sender import send_malformed
from tests.fuzz.target import emulator_on_disk

REFUSALS = 100_000


def main(arguments: list[str]) -> int:
    """Send malformed requests to an emulator. The arguments are the number of refusals and the seed, both optional."""
    refusals = int(arguments[0]) if arguments else REFUSALS
    seed = int(arguments[1]) if len(arguments) > 1 else secrets.randbelow(1_000_000)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as directory, emulator_on_disk(Path(directory)) as google:
        result = send_malformed(google, refusals=refusals, seed=seed)
        met = Counter(entry.operation for entry in google.journal.entries() if entry.operation in OPERATIONS)
        failed = sum(entry.refusal == "internal" for entry in google.journal.entries())
    sys.stdout.write(
        f"{result.refused} requests refused in {time.monotonic() - begin:.0f} s with seed {seed}; "
        f"the last ones met {len(met)} of {len(OPERATIONS)} operations\n"
        f"answers by status: {dict(sorted(result.statuses.items()))}\n"
    )
    for problem in result.wrong:
        sys.stdout.write(f"wrong: {problem}\n")
    return 1 if result.wrong or failed or result.refused < refusals else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
