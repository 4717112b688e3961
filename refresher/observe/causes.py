"""What is wrong, the worst first, each with its cause and its remedy: what a person reads first on the status page.

What befalls many targets for one cause is one finding. The reason why the daemon can't refresh a target is the cause;
what its files lack is only the effect, and is shown where there is no such reason.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import IntEnum
from typing import NamedTuple

from refresher.durations import format_span
from refresher.engine.causes import identify_cause
from refresher.engine.exchanges import ExchangeHealth, ExchangeState
from refresher.observe.board import Board, Job
from refresher.observe.survey import Verdict
from refresher.policy import State


class Weight(IntEnum):
    """How bad a finding is: containers fail now, they are going to, or they are not concerned."""

    FAILING = 0
    THREATENED = 1
    NOTABLE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that a person must do.

    Attributes:
        weight: How bad it is.
        effect: What it means for containers, in a few words.
        problem: The cause.
        remedy: What to do.
        targets: Names of the targets that it concerns.
        facts: What else is known, in a few words each.
    """

    weight: Weight
    effect: str
    problem: str
    remedy: str
    targets: list[str] = field(default_factory=list)
    facts: tuple[str, ...] = ()


_EFFECTS = {
    State.EXPIRED: "Containers fail: the token has expired",
    State.ABSENT: "Containers fail: there is no token",
    State.UNREADABLE: "Containers fail: the token can't be used",
    State.FOREIGN: "Containers fail or act as another identity",
    State.OVERDUE: "Containers fail soon: little of the token's life is left",
}

_FEW = 3


def list_findings(board: Board, verdicts: Sequence[Verdict], now: datetime) -> list[Finding]:
    """Return all findings, the worst first; none of a healthy fleet."""
    causes: dict[tuple[str, str], list[_Effect]] = {}
    for effect in (*_judge_exchanges(board, now), *_judge_targets(board, verdicts, now)):
        causes.setdefault(effect.cause, []).append(effect)
    joined = [*map(_join, causes.values())]
    shown = {each.problem for each in joined} | {_name_reason(each) for each in joined}
    daemons = (each for each in _judge_daemon(board) if not {each.problem, _name_reason(each)} & shown)
    found = [*daemons, *joined]
    return sorted(found, key=lambda each: (each.weight, -len(each.targets)))


class _Effect(NamedTuple):
    """What one cause does to one identity, or to one file of one target."""

    cause: tuple[str, str]
    finding: Finding
    identity: str = ""
    subject: str = ""
    """What fails of a target; empty for its token."""


def _join(effects: Sequence[_Effect]) -> Finding:
    """Return the one finding of a cause: what is worst leads, and what differs is a fact with its targets."""
    lead = min(effects, key=lambda each: (each.finding.weight, not each.identity))
    texts: dict[str, list[str]] = {}
    for each in effects:
        texts.setdefault(_label(each), []).extend([each.identity] if each.identity else each.finding.targets)
    names, effect = texts.pop(_label(lead)), lead.finding.effect
    if lead.identity:
        effect += f" identity {names[0]}" if len(names) == 1 else f" {len(names)} identities: {_name_few(names)}"
    facts = tuple(f"{text} ({_name_few(dict.fromkeys(concerned))})" for text, concerned in texts.items())
    targets = dict.fromkeys(name for each in effects for name in each.finding.targets)
    return replace(lead.finding, effect=effect, targets=list(targets), facts=(*lead.finding.facts, *facts))


def _label(each: _Effect) -> str:
    """Return an effect in words that are the same for all targets."""
    if each.identity or each.finding.weight is Weight.FAILING:
        return each.finding.effect
    return f"refreshing {each.subject or 'the token'} fails, and the present one still serves"


def _name_reason(finding: Finding) -> tuple[str, str]:
    """Return what the system answered and what to do: the same for the root and for each file below it."""
    return finding.problem.rpartition(": ")[2], finding.remedy


def _name_few(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:_FEW]) + (", …" if len(listed) > _FEW else "")


def _judge_daemon(board: Board) -> Iterator[Finding]:
    if not board.is_live:
        yield Finding(
            weight=Weight.FAILING,
            effect="Nothing is refreshed",
            problem=f"the daemon's last tick ended {format_span(timedelta(seconds=board.seconds_since_tick))} ago",
            remedy="read the daemon's log, then restart it: systemctl restart refresher",
        )
    for problem, remedy in board.faults:
        effect = "The daemon can't do a part of its work"
        yield Finding(weight=Weight.THREATENED, effect=effect, problem=problem, remedy=remedy)
    if (plan := board.plan) is None:
        problem = "no configuration is in force yet"
        remedy = "wait a moment; if this stays, read config.rejected in the daemon's log"
        yield Finding(weight=Weight.THREATENED, effect="Nothing is refreshed", problem=problem, remedy=remedy)
        return
    for problem, remedy in plan.refusal:
        effect = "The new configuration is refused; the former one is in force"
        yield Finding(weight=Weight.THREATENED, effect=effect, problem=problem, remedy=remedy)
    for problem, remedy in plan.complaints:
        effect = "A drop-in is refused; its target is missing or unchanged"
        yield Finding(weight=Weight.THREATENED, effect=effect, problem=problem, remedy=remedy)
    if not plan.targets and not plan.is_empty_fine:
        remedy = "add one below `targets`, or set `targets_directory`"
        yield Finding(weight=Weight.NOTABLE, effect="Nothing to do", problem="no targets are configured", remedy=remedy)


def _judge_exchanges(board: Board, now: datetime) -> Iterator[_Effect]:
    for identity, names in board.list_identities().items():
        found = board.exchanges.get(identity)
        if found is None or found.problem is None:
            continue
        is_refused, remedy = found.state is ExchangeState.REFUSED, found.remedy or ""
        facts = [found.cause] if found.cause else []
        facts.append(f"{found.failures} probe{'s' * (found.failures > 1)} in a row")
        if found.accepted_at is not None:
            facts.append(f"last accepted {format_span(now - found.accepted_at)} ago")
        if found.next_at is not None and found.next_at > now:
            facts.append(f"asked again in {format_span(found.next_at - now)}")
        finding = Finding(
            weight=Weight.FAILING if is_refused else Weight.THREATENED,
            effect=_describe_answer(found),
            problem=found.problem,
            remedy=remedy,
            targets=list(names),
            facts=tuple(facts),
        )
        yield _Effect(identify_cause(found.entry, found.problem, remedy, identity, found.target), finding, identity)


def _describe_answer(found: ExchangeHealth) -> str:
    if found.state is ExchangeState.REFUSED:
        return "Google refuses"
    return "This machine can't ask Google about" if found.is_local else "Google does not answer"


def _judge_targets(board: Board, verdicts: Sequence[Verdict], now: datetime) -> Iterator[_Effect]:
    for verdict in sorted(verdicts, key=lambda each: each.expires_at or 0.0):  # the first of a cause stands for all
        for name, job in _list_jobs(board, verdict):
            shortage = verdict.shortages.get(name)
            if shortage is None and not job.failures:
                continue
            finding = _judge(verdict, name, job, shortage, now)
            cause = identify_cause(
                job.entry, finding.problem, finding.remedy, verdict.name, name or verdict.target.leading
            )
            yield _Effect(cause, finding, subject=name)


def _list_jobs(board: Board, verdict: Verdict) -> Iterator[tuple[str, Job]]:
    """Return the names of the token ("") and of the optional artifacts of a target, each with its job."""
    yield "", board.get_job(verdict.name)
    for artifact in verdict.artifacts:
        yield artifact.name, board.get_job(verdict.name, artifact.name)


def _judge(verdict: Verdict, name: str, job: Job, shortage: tuple[str, str] | None, now: datetime) -> Finding:
    problem, remedy = (job.problem, job.remedy or "") if job.problem is not None else shortage or ("", "")
    facts = []
    if job.failures:
        facts.append(f"{job.failures} failed attempt{'s' * (job.failures > 1)} in a row")
        if job.next_at is not None and job.next_at > now.timestamp():
            facts.append(f"next attempt in {format_span(timedelta(seconds=job.next_at - now.timestamp()))}")
        if job.succeeded_at is not None:
            facts.append(f"last success {format_span(timedelta(seconds=now.timestamp() - job.succeeded_at))} ago")
    if shortage is None:
        left = format_span(timedelta(seconds=verdict.compute_runway(now.timestamp())))
        weight, effect = Weight.THREATENED, f"Refreshing fails; containers work for another {left}"
    elif name:
        weight, effect = Weight.FAILING, f"Programs that read {name} fail"
    else:
        weight = Weight.THREATENED if verdict.state is State.OVERDUE else Weight.FAILING
        effect = _EFFECTS.get(verdict.state, "Containers may fail")
        if job.problem is not None:
            facts.append(shortage[0])
    targets = [verdict.name]
    return Finding(weight=weight, effect=effect, problem=problem, remedy=remedy, targets=targets, facts=tuple(facts))
