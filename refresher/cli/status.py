"""`refresher status`: the current state of each target's files."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from refresher.app.examination import open_examination
from refresher.cli.command import clean, config_option, declare, json_option, print_note, print_warnings
from refresher.observe.health import TRIES_AGAIN
from refresher.observe.holders import find_holders
from refresher.observe.report import as_report

_COLOURS = {"fresh": "green", "due": "yellow"}


@declare("status", example="refresher status --config refresher.yaml --json")
@config_option
@json_option
def command(config: Path, *, as_json: bool) -> None:
    """Show the current state of each target's files. Read-only.

    Always exits 0; in scripts, use `refresher wait --timeout 0s`. While the configuration is refused, it shows every
    directory that the daemon has published. If root runs it, it also warns about containers that have mounted a single
    file, or a directory that was removed.
    """
    found, now = open_examination(config), datetime.now(UTC)
    for line in found.complaints:
        print_note(line)
    problems = [str(problem) for problem in found.problems]
    report = as_report(
        [found.examine(name, now) for name in found.names],
        now,
        is_empty_fine=found.is_empty_fine,
        problems=() if found.since else problems,
    )
    if as_json:
        refused = found.since and {"since": f"{found.since:%FT%TZ}", "problems": problems}
        click.echo(json.dumps({**report, "refused": refused}, indent=2))
    else:
        _print(report)
    print_warnings(find_holders(found.root / name for name in found.names))


def _print(report: dict[str, Any]) -> None:
    targets = report["targets"]
    width = max((len(target["name"]) for target in targets), default=0)
    failing = []
    for target in targets:
        life = f"until {target['expires_at']}, {target['runway_seconds']} s" if target["expires_at"] else "no token"
        click.echo(f"{clean(target['name']):{width}}  {_style(target)}  {life}")
        for artifact in target["artifacts"]:
            end = f"until {artifact['expires_at']}" if artifact["expires_at"] else ""
            click.echo(f"{'':{width}}  {_style(artifact)}  {clean(artifact['name'])} {end}".rstrip())
            if artifact["state"] not in _COLOURS:
                failing.append(f"{target['name']}/{artifact['name']}")
        notes = [target["note"], target["problem"], target["problem"] and f"remedy: {target['remedy']}"]
        for note in filter(None, notes):
            click.echo(f"{'':{width}}  {clean(note)}")
    exceptions = f", except for {clean(', '.join(failing))}" if failing else ""
    click.echo(f"ready{exceptions}" if report["ready"] else "not ready")
    if failing:
        click.echo(f"remedy: run `refresher wait --exchange`: it shows what Google answers; {TRIES_AGAIN}")


def _style(row: dict[str, Any]) -> str:
    return click.style(f"{row['state']:10}", fg=_COLOURS.get(row["state"], "red"))
