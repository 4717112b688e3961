"""Finds the process of a container by its name, as podman and docker know it."""

import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from refresher.errors import UsageError

_ENGINES = ("podman", "docker")
_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_.-]{0,254}")
_SECONDS = 10.0
_LARGEST = 4096


def find_process(name: str, engines: Iterable[str] | None = None) -> int:
    """Return the id of a running container's first process.

    Args:
        name: Its name or id.
        engines: The programs to ask; None for podman and docker, as far as they are installed.

    Raises:
        UsageError: No engine runs a container of this name, or two do.
    """
    if _NAME.fullmatch(name) is None:
        raise UsageError(
            "--container is not the name or id of a container", "use one that podman ps or docker ps shows"
        )
    programs = list(filter(None, map(shutil.which, _ENGINES)) if engines is None else engines)
    found = [pid for program in programs if (pid := _ask(program, name)) > 0]
    remedy = "use --pid with the id of its process"
    if not found:
        asked = " and ".join(Path(program).name for program in programs) or "neither podman nor docker is installed"
        raise UsageError(f"no running container is called {name} (asked: {asked})", remedy)
    if len(set(found)) > 1:
        raise UsageError(f"podman and docker both run a container called {name}", remedy)
    return found[0]


def _ask(program: str, name: str) -> int:
    """Return the process id that an engine knows, 0 for none."""
    try:
        asked = subprocess.run(  # noqa: S603 - an argument list of a checked name
            [program, "container", "inspect", "--format", "{{.State.Pid}}", name],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    text = asked.stdout[:_LARGEST].strip()
    return int(text) if asked.returncode == 0 and re.fullmatch(rb"[0-9]{1,10}", text) else 0
