"""Finds the process of a container by its name, as podman and docker know it."""

import re
import shutil
import subprocess

from refresher.errors import UsageError

_ENGINES = ("podman", "docker")
_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_.-]{0,254}")
_SECONDS = 10.0
_LARGEST = 4096


def find_process(name: str) -> int:
    """Return the id of a running container's first process.

    Raises:
        UsageError: No engine runs a container of this name, or two do.
    """
    if _NAME.fullmatch(name) is None:
        raise UsageError(
            "--container is not the name or id of a container", "use a name as podman ps or docker ps shows it"
        )
    found = {engine: pid for engine in _ENGINES if (pid := _ask(engine, name)) > 0}
    if not found:
        engines = (
            " and ".join(engine for engine in _ENGINES if shutil.which(engine)) or "neither podman nor docker is found"
        )
        raise UsageError(f"no running container is called {name} ({engines})", "use --pid with the id of its process")
    if len(set(found.values())) > 1:
        raise UsageError(
            f"podman and docker both run a container called {name}", "use --pid with the id of its process"
        )
    return next(iter(found.values()))


def _ask(engine: str, name: str) -> int:
    """Return the process id that an engine knows, 0 for none."""
    program = shutil.which(engine)
    if program is None:
        return 0
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
