"""`refresher wait`: return when targets are ready.

With `--directory` alone it is the exec probe, which `refresher.cli.probe` answers before this file is even imported.
"""

import gc
import time
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from refresher.app.examination import Examination, advise_about_daemon, open_examination
from refresher.cli import probe
from refresher.cli.command import (
    PATH,
    Duration,
    config_option,
    declare,
    print_errors,
    print_note,
    print_warnings,
    select_targets,
)
from refresher.errors import ExitStatus, NotReadyError, UsageError
from refresher.publishing.artifacts import NAMES, OPTIONAL, TOKEN

_POLL_SECONDS = 0.1
_OPTIONAL = ", ".join(OPTIONAL)
_MOST_NAMES = 10


@declare("wait", example="refresher wait --config refresher.yaml alice --timeout 30s")
@config_option
@click.option(
    "--directory",
    type=PATH,
    metavar="DIR",
    help="Check one credentials directory, without a configuration: a probe for containers.",
)
@click.option(
    "--min-validity",
    type=Duration(),
    help="How long each token must still be valid. Default: a third of its lifetime, at most 6m.",
)
@click.option("--timeout", type=Duration(), default="60s", show_default=True, help="How long to wait; 0s checks once.")
@click.option(
    "--artifact",
    "artifacts",
    multiple=True,
    metavar="NAME",
    help=f"Wait for the token and this optional artifact only: {_OPTIONAL}; `token` for the token alone. "
    "Default: every optional artifact that is configured.",
)
@click.option(
    "--exchange", is_flag=True, help="Also prove each target with a real exchange; try again until Google accepts it."
)
@click.argument("targets", nargs=-1)
def command(
    config: Path,
    directory: Path | None,
    min_validity: timedelta | None,
    timeout: timedelta,
    artifacts: Sequence[str],
    targets: Sequence[str],
    *,
    exchange: bool,
) -> int:
    """Return when all targets, or the given TARGETS, are ready: token and optional artifacts are usable.

    Exit status: 0 ready; 6 not ready in time, or the drop-in of a given target is refused; 5 Google refuses the
    exchange. With --timeout 0s, everything is checked once.
    """
    if directory is not None:
        if targets or exchange:
            raise UsageError(
                "--directory can't be combined with TARGETS or --exchange", "leave them out, or use --config instead"
            )
        for artifact in artifacts:
            if artifact.partition("/")[0] not in NAMES:
                raise UsageError(f"there is no artifact {artifact}", f"use one of {_OPTIONAL}")
        return probe.run(probe.Request(str(directory), min_validity, timeout, tuple(artifacts) or None))
    deadline = time.monotonic() + timeout.total_seconds()
    found = open_examination(config, datetime.now(UTC))
    for complaint in found.complaints:
        print_note(complaint)
    names = _select(found, targets, artifacts)
    wanted = tuple(artifacts) or None
    # the proof of a target without a pool needs no file, and shows why the file is absent
    needed = [name for name in names if name not in found.targets or not found.targets[name].impersonation.is_own]
    _wait_for_files(found, needed if exchange else names, () if exchange else wanted, min_validity, deadline)
    if exchange:
        from refresher.app.programs import prove_targets

        if found.loaded is None:
            raise UsageError("--exchange needs a configuration that is not refused", "fix what is listed above")
        seconds = deadline - time.monotonic()
        principals, errors = prove_targets(found.loaded, names, seconds=seconds, report=print_note)
        for name, principal in principals.items():
            print_note(f"{name}: exchanged, acts as {principal}")
        print_errors(errors)
        for error in errors.values():
            return error.exit_status
        _wait_for_files(found, names, wanted, min_validity, deadline)
    return ExitStatus.DONE


def _select(found: Examination, names: Sequence[str], artifacts: Sequence[str]) -> list[str]:
    """Return the names to wait for, once it is checked that waiting for them is not useless."""
    for name in names:
        if (refused := found.find_refused(name)) is not None:
            raise NotReadyError(*refused)
    selected = list(select_targets(dict.fromkeys(found.names), names))
    if found.loaded is not None and not names and found.problems:
        raise NotReadyError(f"drop-ins can't be used: {len(found.problems)} found wrong", "fix them: see above")
    if not selected and not found.is_empty_fine:
        if found.loaded is None:
            raise NotReadyError("no target is published, and the configuration is refused", "fix it: see above")
        raise NotReadyError("no targets are configured", "add one below `targets`, or set `targets_directory`")
    for artifact in artifacts:
        for name in selected:
            if name in found.targets and artifact not in (TOKEN, *found.targets[name].directory.artifacts):
                raise UsageError(f"target {name} has no artifact {artifact}", "add it below artifacts: of the target")
    return selected


def _wait_for_files(
    found: Examination,
    names: Collection[str],
    artifacts: Collection[str] | None,
    min_validity: timedelta | None,
    deadline: float,
) -> None:
    while True:
        now = datetime.now(UTC)
        verdicts = {name: found.examine(name, now) for name in names}
        failing = [each for each in verdicts.values() if each.find_shortage(min_validity, artifacts) is not None]
        if not failing:
            return
        if time.monotonic() >= deadline:
            break
        gc.enable()  # this may run for long
        time.sleep(_POLL_SECONDS)
    daemon = found.examine_daemon(list(verdicts.values()), now)
    print_note(daemon.description)
    if daemon.problem is not None:
        print_warnings([f"{daemon.problem} — {daemon.remedy}"])
    first, *others = (advise_about_daemon(each, daemon) for each in failing)
    problem, remedy = first.find_shortage(min_validity, artifacts) or ("", "")
    more = ", ".join(each.name for each in others[:_MOST_NAMES]) + (", …" if len(others) > _MOST_NAMES else "")
    raise NotReadyError(f"{problem} ({len(others)} more: {more})" if others else problem, remedy)
