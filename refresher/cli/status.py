"""`refresher status`: the current state of each target's files."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from refresher.app.examination import advise_about_daemon, open_examination
from refresher.cli.command import clean, config_option, declare, json_option, print_note, print_warnings
from refresher.observe.daemon_health import DaemonHealth
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
    file, a directory that was removed, or the directory at another place than its documents name.
    """
    now = datetime.now(UTC)
    found = open_examination(config, now)
    for line in found.complaints:
        print_note(line)
    problems = [str(problem) for problem in found.problems]
    verdicts = [found.examine(name, now) for name in found.names]
    daemon = found.examine_daemon(verdicts, now)
    report = as_report(
        [advise_about_daemon(verdict, daemon) for verdict in verdicts],
        now,
        daemon=daemon,
        is_empty_fine=found.is_empty_fine,
        problems=() if found.since else problems,
    )
    exchanges, unasked = found.fetch_exchanges(daemon)
    for target in report["targets"]:
        target["exchange"] = exchanges.get(target["name"])
    if as_json:
        refused = found.since and {"since": f"{found.since:%FT%TZ}", "problems": problems}
        click.echo(json.dumps({**report, "retiring": list(found.retiring), "refused": refused}, indent=2))
    else:
        _print(report, daemon)
    if unasked is not None:
        print_note(unasked)
    print_warnings(find_holders({found.root / name: found.find_container_directory(name) for name in found.names}))


def _print(report: dict[str, Any], daemon: DaemonHealth) -> None:
    targets = report["targets"]
    width = max((len(target["name"]) for target in targets), default=0)
    for target in targets:
        life = f"until {target['expires_at']}, {target['runway_seconds']} s" if target["expires_at"] else "no token"
        click.echo(f"{clean(target['name']):{width}}  {_style(target)}  {life}")
        for artifact in target["artifacts"]:
            end = f"until {artifact['expires_at']}" if artifact["expires_at"] else ""
            click.echo(f"{'':{width}}  {_style(artifact)}  {clean(artifact['name'])} {end}".rstrip())
        # without a good token no artifact can be good: its own problem is the cause
        failing = [target] if target["problem"] else [each for each in target["artifacts"] if each["problem"]]
        if _is_refused(target):
            failing.append(target["exchange"])
        causes = [f"cause: {each['cause']}" for each in failing if each.get("cause")]
        if _is_refused(target):
            causes.append(f"last asked at {target['exchange'].get('checked_at')}, {_describe_next(target['exchange'])}")
        remedies = [f"remedy: {remedy}" for remedy in dict.fromkeys(each["remedy"] for each in failing)]
        for note in filter(None, [target["note"], *(each["problem"] for each in failing), *causes, *remedies]):
            click.echo(f"{'':{width}}  {clean(note)}")
    click.echo(clean(daemon.description))
    if daemon.problem is not None:
        click.echo(f"{click.style('warning:', fg='red')} {clean(daemon.problem)}\n  remedy: {daemon.remedy}")
    click.echo("ready" if report["ready"] else "not ready")


def _is_refused(target: dict[str, Any]) -> bool:
    """Return whether the files are good, and Google did not accept what they hold when the daemon asked last."""
    exchange = target["exchange"]
    return exchange is not None and exchange["state"] != "accepted" and target["state"] in _COLOURS


def _describe_next(exchange: dict[str, Any]) -> str:
    return f"next at {exchange['next_at']}" if exchange.get("next_at") else "next within seconds"


def _style(row: dict[str, Any]) -> str:
    state = row["exchange"]["state"] if row.get("exchange") and _is_refused(row) else row["state"]
    return click.style(f"{state:10}", fg=_COLOURS.get(state, "red"))
