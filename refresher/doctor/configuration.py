"""The first link: can the configuration be used, and does it hold nothing unwise?"""

import os
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, Queue
from threading import Thread

from refresher.app.explanation import list_faults
from refresher.app.refresh_faults import keeps_from_renewing
from refresher.app.targets import build_endpoints
from refresher.config.loader import LoadedConfiguration, load
from refresher.doctor.chain import CONFIGURATION
from refresher.doctor.diagnosis import Finding, State, ok
from refresher.errors import ExitStatus, RefresherError, UsageError
from refresher.publishing.walk import LOCK
from refresher.settings.places import Problem

_SECONDS = 10.0
"""For loading, which is a second for ten thousand targets."""


def load_in_time(path: Path) -> LoadedConfiguration:
    """Load a configuration as `load` does; a `UsageError` if the file system of the root does not answer.

    What asks such a file system can't be stopped, and is left behind.
    """
    ended: Queue[LoadedConfiguration | Exception] = Queue()

    def work() -> None:
        try:
            loaded = load(path)
            os.path.lexists(f"{loaded.configuration.directory_root}/{LOCK}")
            ended.put(loaded)
        except Exception as error:  # noqa: BLE001 - carried to the caller's thread
            ended.put(error)

    Thread(target=work, daemon=True).start()
    try:
        found = ended.get(timeout=_SECONDS)
    except Empty:
        raise UsageError(
            f"loading {path} does not end: a file system that it names, such as directory_root, does not answer",
            "find the mount in /proc/mounts; bring its server or FUSE process back, or detach it (umount --lazy)",
        ) from None
    if isinstance(found, Exception):
        raise found
    return found


def report_problem(problem: Problem, state: State) -> Finding:
    """Return the finding that a mistake in the configuration is."""
    evidence = f"{problem.location}: {problem.problem}"
    return Finding(
        link=CONFIGURATION, state=state, evidence=evidence, remedy=problem.remedy, stage=ExitStatus.CONFIGURATION
    )


def check_configuration(loaded: LoadedConfiguration, unusable: RefresherError | None) -> Iterator[Finding]:
    """Return what is wrong or unwise in a configuration that loads; `unusable` is why no call can be sent.

    What its files mean for a supplier is left to the supplier's own link.
    """
    found = [report_problem(each, State.FAILED) for each in loaded.drop_in_problems]
    found += [] if unusable is None else [Finding.of_error(CONFIGURATION, unusable)]
    found += [report_problem(each, State.WARNING) for each in loaded.warnings]
    for fault in list_faults(loaded):
        if not keeps_from_renewing(fault) and not fault.problem.startswith("google.emulator"):
            found.append(Finding.of_error(CONFIGURATION, fault, State.WARNING))
    count = len(loaded.targets)
    return iter(found or [ok(CONFIGURATION, f"{loaded.path}: {count} target{'' if count == 1 else 's'}")])


def list_notes(loaded: LoadedConfiguration) -> Iterator[str]:
    """Return what the reader has to know of the whole: that Google may be another server."""
    if loaded.configuration.google.emulator:
        endpoints = build_endpoints(loaded)
        asked = " and ".join(dict.fromkeys((endpoints.sts, endpoints.iam_credentials)))
        yield (
            f"google.emulator is true: what was asked, {asked}, need not be Google; delete it on a machine that uses "
            "the real Google"
        )
