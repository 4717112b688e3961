"""`refresher status`: what the files hold, read from the files."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from refresher.cli.options import config_option, declare, json_option

if TYPE_CHECKING:
    from pathlib import Path

_COLOURS = {"fresh": "green", "due": "yellow"}


@declare("status", example="refresher status --config refresher.yaml --json")
@config_option
@json_option
def command(config: Path, *, as_json: bool) -> None:
    """Tell what each target's files hold now, judged against the configuration. Changes nothing.

    It exits with 0 whatever the files hold; what is to fail with them asks `refresher wait --timeout 0s`.

    As root it also warns of containers that have one of the files mounted by itself.
    """
    from refresher.app.targets import build_targets
    from refresher.cli.loading import load_leniently
    from refresher.observe.health import as_report, examine
    from refresher.observe.holders import holders

    loaded = load_leniently(config)
    now = datetime.now(UTC)
    targets = build_targets(loaded)
    verdicts = {name: examine(target, now) for name, target in targets.items()}
    report = as_report(
        verdicts,
        now,
        is_empty_fine=loaded.configuration.targets_directory is not None,
        problems=[str(problem) for problem in loaded.drop_in_problems],
    )
    if as_json:
        click.echo(json.dumps(report, indent=2))
    else:
        _print(report)
    for holder in holders(target.directory.path for target in targets.values()):
        click.echo(f"warning: {holder}", err=True)


def _print(report: dict[str, Any]) -> None:
    targets = report["targets"]
    width = max((len(target["name"]) for target in targets), default=0)
    for target in targets:
        state = click.style(f"{target['state']:10}", fg=_COLOURS.get(target["state"], "red"))
        life = f"until {target['expires_at']}, {target['runway_seconds']} s" if target["expires_at"] else "no token"
        click.echo(f"{target['name']:{width}}  {state}  {life}")
        for artifact in target["artifacts"]:
            end = f"until {artifact['expires_at']}" if artifact["expires_at"] else ""
            shown = click.style(f"{artifact['state']:10}", fg=_COLOURS.get(artifact["state"], "red"))
            click.echo(f"{'':{width}}  {shown}  {artifact['name']} {end}".rstrip())
        if target["problem"]:
            click.echo(f"{'':{width}}  {target['problem']}\n{'':{width}}  remedy: {target['remedy']}")
    click.echo("ready" if report["ready"] else "not ready")
