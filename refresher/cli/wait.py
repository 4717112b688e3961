"""`refresher wait`: return when targets are ready.

With `--directory` alone it is the exec probe, which `refresher.cli.probe` answers before this file is even imported.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from refresher.cli import probe
from refresher.cli.options import Duration, config_option, declare
from refresher.errors import NotReadyError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from refresher.config.loader import LoadedConfiguration
    from refresher.engine.plan import Target
    from refresher.observe.health import TargetHealth

_POLL_SECONDS = 0.1


@declare("wait", example="refresher wait --config refresher.yaml alice --timeout 30s")
@config_option
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Look at one credentials directory, with no configuration: cheap enough for an exec probe.",
)
@click.option(
    "--min-validity",
    type=Duration(),
    help="Life a token must have left; default its minimum validity.",
)
@click.option("--timeout", type=Duration(), default="60s", show_default=True, help="How long; 0s looks once.")
@click.option(
    "--artifact", "artifacts", multiple=True, metavar="NAME", help="Wait for access_token, id_tokens/NAME or boto too."
)
@click.option("--exchange", is_flag=True, help="Then prove each target with a real exchange.")
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
    """Return when all targets, or the TARGETS named, are ready: 0 ready, 6 not in time."""
    if directory is not None:
        if targets or exchange:
            raise UsageError(
                "--directory knows no targets and no exchange", "leave TARGETS and --exchange away, or use --config"
            )
        return probe.run(probe.Request(str(directory), min_validity, timeout, tuple(artifacts)))
    from refresher.cli.loading import load_leniently

    loaded = load_leniently(config)
    names = _wait_for(loaded, targets, artifacts, min_validity, timeout)
    if exchange:
        from refresher.app.programs import prove_targets

        for name, principal in prove_targets(loaded, names).items():
            click.echo(f"{name}: exchanged, acts as {principal}", err=True)
    return 0


def _wait_for(
    loaded: LoadedConfiguration,
    names: Sequence[str],
    artifacts: Sequence[str],
    min_validity: timedelta | None,
    timeout: timedelta,
) -> list[str]:
    """Wait, and give the names that were waited for."""
    from refresher.app.targets import build_targets
    from refresher.cli.loading import chosen
    from refresher.observe.health import examine

    targets = chosen(build_targets(loaded), names)
    _require_artifacts(targets, artifacts)
    if loaded.drop_in_problems and not names:
        wrong, *others = loaded.drop_in_problems
        raise NotReadyError(
            f"{wrong.location}: {wrong.problem}" + (f" (and {len(others)} more problems)" if others else ""),
            wrong.remedy,
        )
    if not targets and loaded.configuration.targets_directory is None:
        raise NotReadyError("no targets are configured", "add one below `targets`, or set `targets_directory`")
    deadline = time.monotonic() + timeout.total_seconds()
    while True:
        now = datetime.now(UTC)
        verdicts = [examine(target, now) for target in targets.values()]
        waiting = [verdict for verdict in verdicts if not verdict.is_ready(min_validity, artifacts)]
        if not waiting:
            return list(targets)
        if time.monotonic() >= deadline:
            first = waiting[0]
            more = f" (and {len(waiting) - 1} more targets)" if len(waiting) > 1 else ""
            problem = first.problem or _shortage(first, artifacts)
            raise NotReadyError(problem + more, first.remedy or "wait for its refresh, or ask for less --min-validity")
        time.sleep(_POLL_SECONDS)


def _require_artifacts(targets: Mapping[str, Target], artifacts: Sequence[str]) -> None:
    """Refuse to wait for what will never be there.

    Raises:
        UsageError: A target is not configured to have one of the artifacts.
    """
    for name in artifacts:
        lacking = [target.name for target in targets.values() if name not in target.directory.artifacts]
        if lacking:
            raise UsageError(f"target {lacking[0]} has no artifact {name}", "add it below artifacts: of the target")


def _shortage(health: TargetHealth, artifacts: Sequence[str]) -> str:
    states = [f"{each.name} is {each.state}" for each in health.artifacts if each.name in artifacts]
    left = f"the token of target {health.name} has {health.runway} left"
    return "; ".join([left, *states])
