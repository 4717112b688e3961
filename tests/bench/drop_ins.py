"""Drop-ins as a scheduler writes them, and how long their directories take to be ready."""

import time
from collections.abc import Callable
from pathlib import Path

_PATIENCE_SECONDS = 60.0


def write_drop_in(directory: Path, name: str, identity: str) -> float:
    """Write a drop-in below `targets.d` of a directory; return when it was there (`time.perf_counter`)."""
    temporary = directory / "targets.d" / f".{name}.yaml"
    temporary.write_text(f"identity: {identity}\n", encoding="utf-8")
    temporary.chmod(0o644)
    began = time.perf_counter()
    temporary.rename(directory / "targets.d" / f"{name}.yaml")
    return began


def add_drop_in(directory: Path, name: str, identity: str) -> float:
    """Write a drop-in; return the seconds until its credentials directory below `run` is ready."""
    began = write_drop_in(directory, name, identity)
    wait_until((directory / "run" / name / "env").exists, pause=0.0005)
    return time.perf_counter() - began


def wait_until(condition: Callable[[], bool], *, pause: float) -> None:
    """Return when a condition holds, which is asked again after each pause; a `TimeoutError` after a minute."""
    deadline = time.perf_counter() + _PATIENCE_SECONDS
    while not condition():
        if time.perf_counter() > deadline:
            raise TimeoutError("the daemon did not get there")
        time.sleep(pause)
