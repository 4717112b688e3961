"""Try everything that changes a credentials directory, and print the result of each attempt as one JSON object."""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def main() -> None:
    """Make the attempts; those that change an existing file for its owner come last."""
    directory = Path(sys.argv[1])
    token, mine = directory / "token", directory / "mine"
    attempts: dict[str, Callable[[], object]] = {
        "create": lambda: os.open(mine, os.O_WRONLY | os.O_CREAT, 0o600),
        "make a directory": mine.mkdir,
        "link": lambda: mine.hardlink_to(token),
        "link symbolically": lambda: mine.symlink_to("/etc/passwd"),
        "rename over": lambda: (directory / "env").rename(token),
        "rename away": lambda: token.rename(mine),
        "remove": token.unlink,
        "write": lambda: os.open(token, os.O_WRONLY),
        "append": lambda: os.open(token, os.O_WRONLY | os.O_APPEND),
        "truncate": lambda: os.truncate(token, 0),
        "open the directory to all": lambda: directory.chmod(0o777),
        "give away": lambda: os.chown(token, 0, 0),
        "change the mode": lambda: token.chmod(0o640),
        "write after that": lambda: token.write_text("forged"),
    }
    sys.stdout.write(json.dumps({name: _outcome(attempt) for name, attempt in attempts.items()}) + "\n")


def _outcome(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"


if __name__ == "__main__":
    main()
