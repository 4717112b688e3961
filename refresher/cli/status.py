"""`refresher status`: the current state of each target's files."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from refresher.app.examination import advise_about_daemon, open_examination
from refresher.cli.command import clean, config_option, declare, json_option, print_note, print_warnings
from refresher.observe.daemon import DaemonHealth
from refresher.observe.health import TargetHealth
from refresher.observe.holders import find_holders
from refresher.text import escape

_LONGEST_CLAIM = 1024
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
    if as_json:
        refused = found.since and {"since": f"{found.since:%FT%TZ}", "problems": problems}
        click.echo(json.dumps({**report, "retiring": list(found.retiring), "refused": refused}, indent=2))
    else:
        _print(report, daemon)
    print_warnings(find_holders({found.root / name: found.find_container_directory(name) for name in found.names}))


def as_document(health: TargetHealth, now: datetime) -> dict[str, Any]:
    """Return the entry of `status --json` for one target."""
    token = health.token
    claims = token and token.unverified_claims
    # the owner of the files may have chosen the claims; every reader of JSON accepts them so
    issuer, subject, audience = (
        value and escape(value, longest=_LONGEST_CLAIM)
        for value in ((claims.issuer, claims.subject, " ".join(claims.audience)) if claims else (None,) * 3)
    )
    return {
        "name": health.name,
        "state": health.state.value,
        "issued_at": token and f"{token.issued_at:%FT%TZ}",
        "expires_at": token and f"{token.expires_at:%FT%TZ}",
        "remaining_seconds": token and int((token.expires_at - now).total_seconds()),
        "runway_seconds": int(health.runway.total_seconds()),
        "issuer": issuer,
        "subject": subject,
        "audience": audience,
        "fingerprint": token and token.fingerprint,
        "path": health.path,
        "artifacts": [
            {
                "name": each.name,
                "state": each.state.value,
                "expires_at": each.expires_at and f"{each.expires_at:%FT%TZ}",
                "problem": each.problem,
                "remedy": each.remedy,
            }
            for each in health.artifacts
        ],
        "problem": health.problem,
        "remedy": health.remedy,
        "note": health.note,
    }


def as_report(
    verdicts: Sequence[TargetHealth],
    now: datetime,
    *,
    daemon: DaemonHealth | None = None,
    is_empty_fine: bool,
    problems: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the whole document of `status --json`, from one verdict per target, reached at a time of the wall clock.

    A node without targets counts as ready only if that is fine (it watches a directory of drop-ins), and never with
    problems of drop-ins: a target is missing then.
    """
    ready = all(health.find_shortage() is None for health in verdicts) if verdicts else is_empty_fine
    return {
        "ready": ready and not problems,
        "problems": list(problems),
        "daemon": daemon and _as_daemon_document(daemon),
        "targets": [as_document(health, now) for health in verdicts],
    }


def _as_daemon_document(daemon: DaemonHealth) -> dict[str, Any]:
    return {
        "running": daemon.is_running,
        "pid": daemon.pid,
        "stopped": daemon.is_stopped,
        "last_refresh_at": daemon.refreshed_at and f"{daemon.refreshed_at:%FT%TZ}",
        "problem": daemon.problem,
        "remedy": daemon.remedy,
    }


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
        remedies = [f"remedy: {remedy}" for remedy in dict.fromkeys(each["remedy"] for each in failing)]
        for note in filter(None, [target["note"], *(each["problem"] for each in failing), *remedies]):
            click.echo(f"{'':{width}}  {clean(note)}")
    click.echo(clean(daemon.description))
    if daemon.problem is not None:
        click.echo(f"{click.style('warning:', fg='red')} {clean(daemon.problem)}\n  remedy: {daemon.remedy}")
    click.echo("ready" if report["ready"] else "not ready")


def _style(row: dict[str, Any]) -> str:
    return click.style(f"{row['state']:10}", fg=_COLOURS.get(row["state"], "red"))
