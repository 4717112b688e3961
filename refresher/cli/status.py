"""`refresher status`: the current state of each target's files."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from refresher.app.examination import advise_about_daemon, open_examination
from refresher.app.refresh_faults import Failure, ask_daemon, list_failures, list_refresh_faults
from refresher.cli.command import clean, config_option, declare, json_option, print_note, print_warnings
from refresher.observe.daemon_health import DaemonHealth
from refresher.observe.holders import find_holders
from refresher.observe.remedies import REMEDIES
from refresher.observe.report import as_report
from refresher.publishing.artifacts import is_minted

_COLOURS = {"fresh": "green", "due": "yellow"}
_UNMINTED = ("absent", "overdue", "expired")
"""States of an artifact that is not minted, for which a refusal of its identity is the reason."""


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
    view, unasked = ask_daemon(found.loaded, daemon)
    failing = {each["target"]: each for each in reversed(view.failing)}  # of a target, the token's job stands first
    explained = {name for name, each in failing.items() if each.get("artifact") is None}
    if daemon.late and explained >= set(daemon.late):
        daemon = replace(daemon, problem=None, remedy=None)  # it shows why it can't refresh them
    report = as_report(
        [advise_about_daemon(verdict, daemon) for verdict in verdicts],
        now,
        daemon=daemon,
        is_empty_fine=found.is_empty_fine,
        problems=() if found.since else problems,
    )
    for target in report["targets"]:
        identity = found.find_identity(target["name"])
        target["exchange"] = None if identity is None else view.exchanges.get(identity)
        target["refresh"] = failing.get(target["name"])
        if target["name"] in explained and target["remedy"] == REMEDIES[True]:
            target["remedy"] = target["refresh"]["remedy"]  # as in its log
        target["endpoint"] = view.endpoints.get(target["name"])
    faults = [] if found.loaded is None else list_refresh_faults(found.loaded)
    if as_json:
        refused = found.since and {"since": f"{found.since:%FT%TZ}", "problems": problems}
        shown = [{"problem": each.problem, "remedy": each.remedy} for each in faults]
        more = {"retiring": list(found.retiring), "refused": refused, "faults": shown}
        click.echo(json.dumps({**report, **more}, indent=2))
    else:
        known = {each["name"]: each["exchange"]["remedy"] for each in report["targets"] if _is_refused(each)}
        _print(report, daemon, list_failures(view.failing, faults, known))
    if unasked is not None:
        print_note(unasked)
    if found.loaded is not None:
        if found.loaded.configuration.google.emulator:
            print_note("google.emulator is true: what is accepted may be by another server than Google's")
        if found.loaded.configuration.listen is not None:
            from refresher.app.explanation import list_listen_faults
            from refresher.observe.sockets import ListenError

            print_warnings(each for each in list_listen_faults(found.loaded) if isinstance(each, ListenError))
    print_warnings(find_holders({found.root / name: found.find_container_directory(name) for name in found.names}))


def _print(report: dict[str, Any], daemon: DaemonHealth, failures: list[Failure]) -> None:
    targets, stated = report["targets"], {failure.remedy for failure in failures}
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
            failing = [each for each in failing if each["state"] not in _UNMINTED or not is_minted(each["name"])]
        if target["endpoint"] and target["endpoint"]["problem"]:
            failing.append(target["endpoint"])
        if _is_refused(target):
            failing.append(target["exchange"])
        causes = [f"cause: {each['cause']}" for each in failing if each.get("cause")]
        if _is_refused(target):
            causes.append(f"last asked at {target['exchange'].get('checked_at')}, {_describe_next(target['exchange'])}")
        remedies = [
            f"remedy: {remedy}" for remedy in dict.fromkeys(each["remedy"] for each in failing) if remedy not in stated
        ]
        for note in filter(None, [target["note"], *(each["problem"] for each in failing), *causes, *remedies]):
            click.echo(f"{'':{width}}  {clean(note)}")
    click.echo(clean(daemon.description))
    if daemon.problem is not None:
        click.echo(f"{click.style('warning:', fg='red')} {clean(daemon.problem)}\n  remedy: {daemon.remedy}")
    for failure in failures:
        click.echo(f"{click.style('warning:', fg='red')} {clean(str(failure))}")
    refused = sum(map(_is_refused, targets))
    doubts = ["but not refreshed: see the warnings"] if report["ready"] and (failures or daemon.problem) else []
    but = "but" if report["ready"] and not doubts else "and"
    doubts += [f"{but} Google does not accept {refused} of {len(targets)} targets"] if refused else []
    click.echo(", ".join(["ready" if report["ready"] else "not ready", *doubts]))


def _is_refused(target: dict[str, Any]) -> bool:
    """Return whether the files are good, and Google did not accept what they hold when the daemon asked last."""
    exchange = target["exchange"]
    return exchange is not None and exchange["state"] != "accepted" and target["state"] in _COLOURS


def _describe_next(exchange: dict[str, Any]) -> str:
    return f"next at {exchange['next_at']}" if exchange.get("next_at") else "next within seconds"


def _style(row: dict[str, Any]) -> str:
    state = row["exchange"]["state"] if row.get("exchange") and _is_refused(row) else row["state"]
    return click.style(f"{state:10}", fg=_COLOURS.get(state, "red"))
