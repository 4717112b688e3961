"""An archive for a ticket: what check, status and doctor show, versions, and a log only if one is given.

None of it contains a secret by itself. What looks like one all the same (a token, a private key) is blanked, since the
archive goes to people who may not have it. Nothing is read but what the commands print, and the log.
"""

import io
import json
import os
import platform
import subprocess
import sys
import tarfile
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from refresher import __version__
from refresher.errors import UsageError
from refresher.files import UnsuitableFileError, explain_failure, read_regular
from refresher.text import blank_secrets

_LIBRARIES = ("apscheduler", "click", "cryptography", "google-auth", "pydantic", "pyyaml", "urllib3")
_COMMANDS = {"check": ("check",), "status": ("status", "--json")}
_SECONDS = 60.0
_LARGEST_LOG = 16 * 1024 * 1024


def write_bundle(path: Path, report: Mapping[str, Any], *, config: Path, log: Path | None) -> None:
    """Write the archive, a new file that its owner alone can read; a `UsageError` if that or the log is impossible."""
    files = {"doctor.json": json.dumps(report, indent=2), "versions.json": json.dumps(_list_versions(), indent=2)}
    for name, arguments in _COMMANDS.items():
        printed, warned = _run(arguments, config)
        # what a program parses has the warnings next to it
        files |= (
            {f"{name}.json": printed, f"{name}.txt": warned}
            if "--json" in arguments
            else {f"{name}.txt": printed + warned}
        )
    if log is not None:
        try:
            files["log.txt"] = read_regular(log, most=_LARGEST_LOG)[0].decode(errors="replace")
        except (OSError, UnsuitableFileError) as error:
            raise UsageError(f"the log {log} {explain_failure(error)}", "use a file of at most 16 MiB") from None
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
            for name, text in files.items():
                content = blank_secrets(text).encode()
                entry = tarfile.TarInfo(f"refresher-doctor/{name}")
                entry.size, entry.mtime, entry.mode = len(content), int(time.time()), 0o600
                archive.addfile(entry, io.BytesIO(content))
    except OSError as error:
        problem = f"the bundle {path} cannot be written: {os.strerror(error.errno or 0)}"
        raise UsageError(problem, "use the name of a new file in a directory that you may write to") from None


def _list_versions() -> dict[str, str]:
    found = {"refresher": __version__, "python": platform.python_version(), "system": platform.platform()}
    for library in _LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "absent"
    return found


def _run(arguments: tuple[str, ...], config: Path) -> tuple[str, str]:
    """Return what another of our commands prints, on standard output and on standard error."""
    try:
        done = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-m", "refresher", arguments[0], "--config", str(config), *arguments[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", f"it could not be run: {type(error).__name__}\n"
    return done.stdout, done.stderr
