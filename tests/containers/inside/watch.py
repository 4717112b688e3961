"""Print the fingerprint of each token that a file comes to hold, until a number of them was seen.

Arguments: the file, and that number.
"""

from __future__ import annotations

import hashlib
import sys
import time
from pathlib import Path


def main() -> None:
    """Look every few milliseconds: no token of a daemon lives so short."""
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
