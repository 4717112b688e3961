"""What a person reads first of a report: each problem once, with the targets that it concerns, and the verdict."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from refresher.doctor.chain import NAMES
from refresher.doctor.diagnosis import Finding, State
from refresher.doctor.report import Report


class Problem(NamedTuple):
    """A problem of one or more targets.

    Attributes:
        finding: What was found of the first of them.
        targets: Their names; empty for a problem of the whole worker.
        is_alike: Whether evidence and remedy are the same for all of them.
    """

    finding: Finding
    targets: tuple[str, ...]
    is_alike: bool


def list_problems(report: Report) -> list[Problem]:
    """Return everything that is wrong, failures first, in the order of the chain: a cause stands before its effects."""
    groups: dict[object, list[tuple[str, Finding]]] = {}
    named: list[tuple[str, Iterable[Finding]]] = [("", report.worker), *report.targets.items()]
    for name, findings in named:
        for finding in (each for each in findings if each.is_wrong):
            # what an entry knows is one problem, whatever names are in evidence and remedy
            key = (finding.state, finding.link, finding.entry or (finding.evidence, finding.remedy))
            groups.setdefault(key, []).append((name, finding))
    problems = [
        Problem(
            finding=group[0][1],
            targets=tuple(name for name, _ in group if name),
            is_alike=len({(finding.evidence, finding.remedy) for _, finding in group}) == 1,
        )
        for group in groups.values()
    ]
    return sorted(problems, key=lambda each: (each.finding.state != State.FAILED, NAMES.index(each.finding.link)))


def list_chain(findings: Sequence[Finding]) -> Iterator[tuple[str, str, str]]:
    """Return state, links and text of each line of a chain; links that were skipped for one reason share a line."""
    for (state, text), group in groupby(findings, key=_describe):
        links = [finding.link for finding in group]
        if state == State.SKIPPED:
            yield state, ", ".join(links), text
        else:
            yield from ((state, link, text) for link in links)


def _describe(finding: Finding) -> tuple[str, str]:
    if finding.is_wrong:
        return finding.state, "see above"
    return finding.state, f"{finding.evidence} — {finding.remedy}" if finding.remedy else finding.evidence


def describe_verdict(report: Report) -> str:
    """Return the last line: how much is wrong, in one sentence."""
    everything = [*report.worker, *(each for findings in report.targets.values() for each in findings)]
    counts = {state: sum(each.state == state for each in everything) for state in State}
    broken = sum(any(each.state == State.FAILED for each in findings) for findings in report.targets.values())
    parts = [f"{_count(len(report.targets), 'target')} checked"]
    if broken:
        parts.append(f"{broken} broken")
    elif counts[State.FAILED]:
        parts.append("the worker is broken")
    else:
        parts.append("no link is broken")
    parts += [_count(counts[State.WARNING], "warning")] if counts[State.WARNING] else []
    parts += [f"{_count(counts[State.UNKNOWN], 'link')} unknown"] if counts[State.UNKNOWN] else []
    return ", ".join(parts)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
