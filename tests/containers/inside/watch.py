"""Print the fingerprint of each token in a file, until this many different tokens have appeared.

Arguments: the file, and the number of tokens.
"""

from __future__ import annotations

import hashlib
import sys
import time
from pathlib import Path


def main() -> None:
    """Read the file every few milliseconds; every token stays longer than that."""
    file, count = Path(sys.argv[1]), int(sys.argv[2])
    last = ""
    while count:
        found = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
        if found != last:
            sys.stdout.write(f"{found}\n")
            sys.stdout.flush()
            last, count = found, count - 1
        time.sleep(0.02)


if __name__ == "__main__":
    main()
