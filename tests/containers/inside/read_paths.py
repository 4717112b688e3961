"""Read each path given as an argument, and print the results as one JSON object: `read`, or the name of the error."""

from __future__ import annotations

import errno
import json
import sys
from pathlib import Path


def main() -> None:
    """List directories and read files."""
    sys.stdout.write(json.dumps({path: _outcome(Path(path)) for path in sys.argv[1:]}) + "\n")


def _outcome(path: Path) -> str:
    try:
        if path.is_dir():
            list(path.iterdir())
        else:
            path.read_bytes()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "read"


if __name__ == "__main__":
    main()
