"""`refresher doctor`: check the whole chain link by link, and show what to do about each broken one."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from refresher.cli.command import PATH, clean, config_option, declare, json_option, print_note, select_targets
from refresher.errors import UsageError

if TYPE_CHECKING:
    from refresher.doctor.diagnosis import Finding
    from refresher.doctor.report import Report
    from refresher.doctor.summary import Problem

_MOST_SHOWN = 10
"""Targets whose chain is shown link by link; of more, only what is wrong is."""
_MOST_NAMES = 8
_COLOURS = {"ok": "green", "warning": "yellow", "failed": "red", "unknown": "yellow", "skipped": None}


@declare("doctor", example="refresher doctor --config refresher.yaml alice")
@config_option
@json_option
@click.option("--offline", is_flag=True, help="Check only what needs no network.")
@click.option("--pid", type=click.IntRange(min=1), help="Also look into the container of this process.")
@click.option("--container", metavar="NAME", help="Also look into this container of podman or docker.")
@click.option(
    "--bundle", type=PATH, metavar="FILE", help="Also write an archive without secrets for a ticket, a new .tar.gz."
)
@click.option("--log", type=PATH, metavar="FILE", help="A log to put into the bundle.")
@click.option("--explain", metavar="MESSAGE", help="Only explain a message that a client or Terraform printed.")
@click.argument("targets", nargs=-1)
def command(
    config: Path,
    targets: Sequence[str],
    pid: int | None,
    container: str | None,
    explain: str | None,
    bundle: Path | None,
    log: Path | None,
    *,
    as_json: bool,
    offline: bool,
) -> int:
    """Check the chain of all targets, or of the given TARGETS: every link, with cause and remedy.

    It supplies, exchanges and impersonates for real, and changes nothing. Exit status: 0 if no link failed; else that
    of the first stage that failed: 2 configuration, 3 supply, 4 publish, 5 exchange or impersonation, 6 not ready.
    """
    if explain is not None:
        return _explain(explain)
    from refresher.doctor.engines import find_process
    from refresher.doctor.report import Request, check_up

    if log is not None and bundle is None:
        raise UsageError("--log is only used with --bundle", "add --bundle FILE, or leave it out")
    if pid is not None and container is not None:
        raise UsageError("--pid and --container can't be combined", "leave one of them out")
    report = check_up(
        Request(
            path=config,
            names=tuple(targets),
            is_offline=offline,
            select=select_targets,
            pid=find_process(container) if container is not None else pid,
            report=_show_progress,
        )
    )
    if bundle is not None:
        from refresher.doctor.bundle import write_bundle

        write_bundle(bundle, report.to_json(), config=config, log=log)
        print_note(f"{bundle} is written; read it before you send it")
    if as_json:
        click.echo(json.dumps(report.to_json(), indent=2))
    else:
        _print(report)
    return report.status


def _explain(message: str) -> int:
    from refresher.catalogue.entries import compose_remedy, recognise_message

    entry = recognise_message(message)
    if entry is None:
        raise UsageError("the message is not in the catalogue", "run refresher doctor: it makes the call and checks it")
    _print_rows(entry.cause, compose_remedy(entry, message), entry.source, is_verified=entry.is_verified)
    return 0


def _show_progress(done: int, count: int) -> None:
    if sys.stderr is not None and sys.stderr.isatty():
        click.echo(f"\r{done} of {count} targets tried" + ("\r\033[K" if done == count else ""), nl=False, err=True)


def _print(report: "Report") -> None:
    from refresher.doctor.summary import describe_verdict, list_problems

    for problem in list_problems(report):
        _print_problem(problem)
    if len(report.targets) <= _MOST_SHOWN:
        for name, findings in (("worker", report.worker), *report.targets.items()):
            _print_chain(name, findings)
    for note in report.notes:
        click.echo(clean(f"note: {note}"))
    click.echo(describe_verdict(report))


def _print_problem(problem: "Problem") -> None:
    finding, targets = problem.finding, problem.targets
    mark = "✗" if finding.state == "failed" else "!"
    head = click.style(f"{mark} {finding.link}", fg=_COLOURS[finding.state], bold=True)
    click.echo(f"{head}: {clean(finding.evidence)}")
    _print_rows(finding.cause, finding.remedy, finding.source, is_verified=finding.is_verified is not False)
    more = f" and {len(targets) - _MOST_NAMES} more" if len(targets) > _MOST_NAMES else ""
    note = "" if problem.is_alike else f" (shown for {targets[0]}; run refresher doctor TARGET for another)"
    if targets:
        click.echo(f"  targets: {', '.join(targets[:_MOST_NAMES])}{more}{note}")
    click.echo()


def _print_rows(cause: str, remedy: str, source: str, *, is_verified: bool) -> None:
    rows = (
        ("cause", cause),
        ("remedy", remedy),
        ("source", source and source + ("" if is_verified else " (unverified)")),
    )
    for label, text in rows:
        if text:
            click.echo(f"  {label + ':':8} {clean(text)}")


def _print_chain(name: str, findings: "Sequence[Finding]") -> None:
    from refresher.doctor.summary import list_chain

    click.echo(click.style(name, bold=True))
    for state, links, text in list_chain(findings):
        shown = click.style(f"{state:8}", fg=_COLOURS[state])
        separator = ": " if ", " in links else " "
        click.echo(f"  {shown} {links:20}{separator}{clean(text)}")
    click.echo()
