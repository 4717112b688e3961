"""`refresher doctor`: check the whole chain link by link, and show what to do about each broken one."""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from refresher.cli.command import clean, config_option, declare, json_option, select_targets

if TYPE_CHECKING:
    from refresher.doctor.finding import Finding
    from refresher.doctor.report import Report

_MOST_SHOWN = 10
"""Targets whose chain is shown link by link; of more, only what is wrong is."""
_MOST_NAMES = 8
_COLOURS = {"ok": "green", "warning": "yellow", "failed": "red", "unknown": "yellow", "skipped": None}


@declare("doctor", example="refresher doctor --config refresher.yaml alice")
@config_option
@json_option
@click.option("--offline", is_flag=True, help="Check only what needs no network.")
@click.argument("targets", nargs=-1)
def command(config: Path, targets: Sequence[str], *, as_json: bool, offline: bool) -> int:
    """Check the chain of all targets, or of the given TARGETS: every link, with cause and remedy.

    It supplies, exchanges and impersonates for real, and changes nothing. Exit status: 0 if no link failed; else that
    of the first stage that failed: 2 configuration, 3 supply, 4 publish, 5 exchange or impersonation, 6 not ready.
    """
    from refresher.doctor.report import Request, check_up

    report = check_up(
        Request(
            path=config,
            names=tuple(targets),
            is_offline=offline,
            select=select_targets,
            look=lambda *_: "give --pid or --container to look into a container",
            report=_show_progress,
        )
    )
    if as_json:
        click.echo(json.dumps(report.to_json(), indent=2))
    else:
        _print(report)
    return report.status


def _show_progress(done: int, count: int) -> None:
    if sys.stderr is not None and sys.stderr.isatty():
        click.echo(f"\r{done} of {count} targets tried" + ("\r\033[K" if done == count else ""), nl=False, err=True)


def _print(report: "Report") -> None:
    groups = _group(report)
    for finding, names in groups:
        _print_problem(finding, names)
    everything = [*report.worker, *(each for findings in report.targets.values() for each in findings)]
    if len(report.targets) <= _MOST_SHOWN:
        _print_chain("worker", report.worker)
        for name, findings in report.targets.items():
            _print_chain(name, findings)
    for note in report.notes:
        click.echo(clean(f"note: {note}"))
    counts = {state: sum(each.state == state for each in everything) for state in ("failed", "warning", "unknown")}
    broken = sum(any(each.state == "failed" for each in findings) for findings in report.targets.values())
    verdict = f"{broken} of {len(report.targets)} targets are broken" if counts["failed"] else "no link is broken"
    more = [f"{counts['warning']} warnings"] if counts["warning"] else []
    more += [f"{counts['unknown']} links unknown"] if counts["unknown"] else []
    click.echo(f"{verdict}{', ' if more else ''}{', '.join(more)}; {len(report.targets)} targets checked")


def _group(report: "Report") -> "list[tuple[Finding, list[str]]]":
    """Return what is wrong, failures first, each with the targets that it concerns."""
    groups: dict[tuple[str, ...], tuple[Finding, list[str]]] = {}
    named: list[tuple[str, Iterable[Finding]]] = [("", report.worker), *report.targets.items()]
    for name, findings in named:
        for finding in (each for each in findings if each.is_wrong):
            # what differs from target to target in the evidence is not another problem
            key = (finding.state, finding.link, finding.cause or finding.evidence, finding.entry and finding.remedy)
            groups.setdefault(key, (finding, []))[1].append(name)
    return sorted(groups.values(), key=lambda group: (group[0].state != "failed", group[0].stage, -len(group[1])))


def _print_problem(finding: "Finding", names: Sequence[str]) -> None:
    mark = "✗" if finding.state == "failed" else "!"
    head = click.style(f"{mark} {finding.link}", fg=_COLOURS[finding.state], bold=True)
    click.echo(f"{head}: {clean(finding.evidence)}")
    rows = [("cause", finding.cause), ("remedy", finding.remedy)]
    if finding.source:
        rows.append(("source", finding.source + ("" if finding.is_verified else " (unverified: not these very words)")))
    concerned = [name for name in names if name]
    if concerned:
        more = f" and {len(concerned) - _MOST_NAMES} more" if len(concerned) > _MOST_NAMES else ""
        rows.append(("targets", ", ".join(concerned[:_MOST_NAMES]) + more))
    for label, text in rows:
        if text:
            click.echo(f"  {label + ':':8} {clean(text)}")
    click.echo()


def _print_chain(name: str, findings: "Sequence[Finding]") -> None:
    click.echo(click.style(name, bold=True))
    for finding in findings:
        state = click.style(f"{finding.state:8}", fg=_COLOURS[finding.state])
        text = "see above" if finding.is_wrong else finding.evidence
        click.echo(f"  {state} {finding.link:20} {clean(text)}")
    click.echo()
