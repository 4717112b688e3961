"""Kills a publishing process many times at random moments, and checks what is left each time.

Run it as a program: `killed_publisher.py CONFIGURATION TOKEN KILLS`. Each child is a fork of this process, so that a
kill takes milliseconds instead of a start, and does the same as the command `once --force`, again and again. It prints
one line of JSON: how many kills left a temporary file (which shows that the moments were good), and how many tokens
there were.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from refresher.app.programs import refresh_once
from refresher.config.loader import load
from refresher.tokens import peek

if TYPE_CHECKING:
    from refresher.config.loader import LoadedConfiguration

_LONGEST_SECONDS = 0.01


def publish_for_ever(loaded: LoadedConfiguration, started: int, go: int) -> None:
    """Start like a process, report that, and publish again and again on request."""
    refresh_once(loaded, list(loaded.targets), force=True)
    os.write(started, b"s")
    os.read(go, 1)
    while True:
        refresh_once(loaded, list(loaded.targets), force=True)


def kill_one(loaded: LoadedConfiguration, directory: Path) -> tuple[bool, str]:
    """Kill one child at a random moment; return whether it left a temporary file, and the present token."""
    (started, says_started), (go, says_go) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        publish_for_ever(loaded, says_started, go)
    os.read(started, 1)
    if leftovers(directory):
        raise SystemExit(f"a start left temporary files: {leftovers(directory)}")
    os.write(says_go, b"g")
    time.sleep(random.random() * _LONGEST_SECONDS)  # noqa: S311 - a moment, not a secret
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    for descriptor in (started, says_started, go, says_go):
        os.close(descriptor)
    token = (directory / "token").read_text()
    if len(peek(token).value.rpartition(".")[2]) != 86:
        raise SystemExit("a token is torn")
    return bool(leftovers(directory)), token


def leftovers(directory: Path) -> list[str]:
    """Return the temporary files of a directory."""
    return [path.name for path in directory.iterdir() if path.name.endswith(".tmp")]


def main() -> None:
    """Kill, check, repeat."""
    configuration, token, kills = sys.argv[1:]
    loaded = load(Path(configuration))
    found = [kill_one(loaded, Path(token).parent) for _ in range(int(kills))]
    left, tokens = sum(left for left, _ in found), len({token for _, token in found})
    sys.stdout.write(json.dumps({"left": left, "tokens": tokens}) + "\n")


if __name__ == "__main__":
    main()
