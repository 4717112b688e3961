"""From a request to a response: a function of the board and of the verdicts, which opens no file and no socket.

What a probe is answered rests on a look at the files that was taken for it (`list_wanted`, asked of the verdicts by the
server). No path serves a token.
"""

import json
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from io import BytesIO
from typing import Any

from refresher import __version__
from refresher.engine.agenda import Key
from refresher.engine.exchanges import ExchangeHealth
from refresher.metadata.plan import EndpointHealth
from refresher.observe.board import Board, Job
from refresher.observe.messages import Request, Response
from refresher.observe.metrics import CONTENT_TYPE, write_metrics
from refresher.observe.page import SECURITY_HEADERS, write_page
from refresher.observe.survey import Survey, Verdict, format_time
from refresher.publishing.artifacts import TOKEN
from refresher.text import escape

_MOST_LINES = 20
"""Of targets that are not ready, in the answer to `/readyz`."""
_RESTART = "read the daemon's log, then restart it: systemctl restart refresher"
_NOT_FOUND = (
    "there is nothing here: use /, /status.json, /livez, /readyz, /readyz/TARGET or /metrics\n"
    "/readyz/TARGET takes ?artifact=NAME and ?exchange\n"
)


def list_wanted(request: Request, board: Board) -> tuple[str, ...]:
    """Return the names of targets whose files must be looked at before the answer."""
    if board.plan is None or not request.path.startswith("/readyz"):
        return ()
    return tuple(board.plan.targets) if request.path == "/readyz" else tuple(filter(None, (request.target,)))


def answer(request: Request, board: Board, survey: Survey, now: datetime) -> Response:
    """Return the response to a request at a time of the wall clock."""
    found = survey.list_all()
    if request.target is not None:
        response = _answer_target(request, board, survey)
    elif request.path == "/livez":
        response = _answer_live(board)
    elif request.path == "/readyz":
        response = _answer_ready(board, found)
    elif request.path == "/metrics":
        response = Response(200, write_metrics(board, found, survey.as_of, now), CONTENT_TYPE)
    elif request.path == "/status.json":
        shown = () if ("targets", "no") in request.query else found
        body = write_status(board, found, survey.as_of, now, shown=shown)
        response = Response(200, body, "application/json")
    elif request.path == "/":
        page = write_page(board, found, survey.as_of, now, dict(request.query))
        response = Response(200, page.encode(), "text/html; charset=utf-8", SECURITY_HEADERS)
    else:
        response = Response(404, _NOT_FOUND.encode())
    return response


def _answer_live(board: Board) -> Response:
    if board.is_live:
        return Response(200, b"live\n")
    return Response(503, f"not live\n{_describe_lateness(board)}\n  remedy: {_RESTART}\n".encode())


def is_ready(board: Board, found: Sequence[Verdict]) -> bool:
    """Return whether every target of the plan was looked at and is ready, and no drop-in is refused."""
    plan = board.plan
    if plan is None or plan.complaints or len(found) < len(plan.targets):
        return False
    return not any(each.shortages for each in found) if plan.targets else plan.is_empty_fine


def _answer_ready(board: Board, found: Sequence[Verdict]) -> Response:
    plan = board.plan
    if is_ready(board, found):
        return Response(200, b"ready\n")
    if plan is None:
        return Response(503, b"not ready: no configuration is in force yet\n")
    lines = [f"{problem}\n  remedy: {remedy}" for problem, remedy in plan.complaints]
    shortages = [_explain(board, verdict, next(iter(verdict.shortages))) for verdict in found if verdict.shortages]
    lines += dict.fromkeys(f"{problem}\n  remedy: {remedy}" for problem, remedy in shortages)
    if not plan.targets:
        lines.append("no targets are configured\n  remedy: add one below `targets`, or set `targets_directory`")
    if missing := len(plan.targets) - len(found):
        lines.append(f"the files of {missing} targets were not looked at yet\n  remedy: ask again in a moment")
    more = [f"and {len(lines) - _MOST_LINES} more: see /status.json"] if len(lines) > _MOST_LINES else []
    return Response(503, "\n".join(["not ready", *lines[:_MOST_LINES], *more, ""]).encode())


def _answer_target(request: Request, board: Board, survey: Survey) -> Response:
    name = request.target or ""
    if board.plan is None or name not in board.plan.targets:
        return Response(404, f"there is no target {escape(name, longest=64)}\n".encode())
    verdict = survey.get(name)
    if verdict is None:
        return Response(503, b"not ready: its files were not looked at yet\n")
    part = next(iter(verdict.shortages), None)
    asked = [value for key, value in request.query if key == "artifact"]
    names = [each for each in asked if each != TOKEN]
    known = {each.name for each in verdict.artifacts}
    if verdict.target.impersonation.is_own:
        known.add(verdict.target.leading)
    if asked:
        if unknown := [each for each in names if each not in known]:
            return Response(404, f"target {name} has no artifact {escape(unknown[0], longest=64)}\n".encode())
        part = next((each for each in ("", *names) if each in verdict.shortages), None)
    shortage = None if part is None else _explain(board, verdict, part)
    if shortage is None and any(key == "exchange" for key, _ in request.query):
        shortage = _find_refusal(verdict.identity, board.exchanges.get(verdict.identity))
    if shortage is None:
        return Response(200, b"ready\n")
    return Response(503, f"not ready\n{shortage[0]}\n  remedy: {shortage[1]}\n".encode())


def _explain(board: Board, verdict: Verdict, part: str) -> tuple[str, str]:
    """Return what a part of a target lacks: with why the daemon did not put it right, which no file shows."""
    problem, remedy = verdict.shortages[part]
    job = board.get_job(verdict.name, part)
    return (problem, remedy) if job.problem is None else (f"{problem}: {job.problem}", job.remedy or remedy)


def _find_refusal(identity: str, result: ExchangeHealth | None) -> tuple[str, str] | None:
    if result is None:
        problem = f"identity {identity} was not tried at Google yet"
        return problem, f"wait for the daemon to try it, or run `refresher wait --exchange {identity}`"
    return None if result.problem is None else (result.problem, result.remedy or "")


def write_status(
    board: Board,
    found: Sequence[Verdict],
    as_of: datetime | None,
    now: datetime,
    *,
    shown: Sequence[Verdict] | None = None,
) -> bytes:
    """Return the document of `/status.json`: that of `status --json`, and what only the daemon knows.

    Its targets are those `shown`; None for all.
    """
    plan, moment = board.plan, now.timestamp()
    complaints, refusal = ((), ()) if plan is None else (plan.complaints, plan.refusal)
    refused = {"since": _format(board.planned_at), "problems": [f"{each[0]} — {each[1]}" for each in refusal]}
    head: dict[str, Any] = {
        "ready": is_ready(board, found),
        "problems": [f"{problem} — {remedy}" for problem, remedy in complaints],
        "refused": refused if refusal else None,
        "retiring": list(board.retiring),
        "daemon": _describe_daemon(board, found, as_of),
    }
    exchanges = (json.dumps(_describe_exchange(each)) for each in board.exchanges.values())
    endpoints = (json.dumps(_describe_endpoint(each)) for each in board.describe_endpoints().endpoints)
    failing = (json.dumps(_describe_failure(key, job)) for key, job in board.list_failing())
    targets = (
        f'{{{each.members}, "remaining_seconds": '
        f"{'null' if each.expires_at is None else int(each.expires_at - moment)}, "
        f'"runway_seconds": {int(each.compute_runway(moment))}, "daemon": {_write_job(board, each)}}}'
        for each in (found if shown is None else shown)
    )
    written = BytesIO()  # a buffer that grows: of a large fleet, a list of texts would be twice their size
    written.write(json.dumps(head)[:-1].encode())
    members = (("exchanges", exchanges), ("endpoints", endpoints), ("failing", failing), ("targets", targets))
    for key, items in members:
        written.write(f', "{key}": ['.encode())
        for index, item in enumerate(items):
            written.write(f"{', ' if index else ''}{item}".encode())
        written.write(b"]")
    written.write(b"}\n")
    return written.getvalue()


def _describe_daemon(board: Board, found: Sequence[Verdict], as_of: datetime | None) -> Mapping[str, Any]:
    """Return what `status` shows of the daemon, and what only the daemon knows of itself."""
    is_live = board.is_live
    problem, remedy = board.faults[0] if board.faults else (None, None)
    return {
        "running": True,
        "pid": os.getpid(),
        "stopped": False,
        "last_refresh_at": _format(max((each.written_at for each in found if each.written_at), default=None)),
        "problem": problem if is_live else _describe_lateness(board),
        "remedy": remedy if is_live else _RESTART,
        "version": __version__,
        "live": is_live,
        "last_tick_seconds": round(board.seconds_since_tick, 3),
        "started_at": _format(board.started_at),
        "verdicts_as_of": _format(as_of),
        "targets_not_looked_at": 0 if board.plan is None else len(board.plan.targets) - len(found),
    }


def _describe_lateness(board: Board) -> str:
    return f"the daemon's last tick ended {board.seconds_since_tick:.0f} s ago"


def _write_job(board: Board, verdict: Verdict) -> str:
    """Return what the daemon knows of a target's token as JSON; written by hand, since it is asked 10,000 times."""
    job = board.get_job(verdict.name)
    is_failing = job.problem is not None
    return (
        f'{{"last_success_at": {_quote(job.succeeded_at)}, "next_attempt_at": {_quote(job.next_at)}, '
        f'"consecutive_failures": {job.failures}, "problem": {json.dumps(job.problem) if is_failing else "null"}, '
        f'"remedy": {json.dumps(job.remedy) if is_failing else "null"}}}'
    )


def _describe_failure(key: Key, job: Job) -> Mapping[str, str | int | None]:
    return {
        "target": key[0],
        "artifact": key[1] or None,
        "failures": job.failures,
        "next_attempt_at": None if job.next_at is None else format_time(job.next_at),
        "problem": job.problem,
        "remedy": job.remedy,
    }


def _describe_exchange(found: ExchangeHealth) -> Mapping[str, str | int | None]:
    return {
        "identity": found.identity,
        "state": found.state.value,
        "target": found.target,
        "checked_at": _format(found.checked_at),
        "accepted_at": _format(found.accepted_at),
        "next_at": _format(found.next_at),
        "failures": found.failures,
        "problem": found.problem,
        "cause": found.cause,
        "remedy": found.remedy,
    }


def _describe_endpoint(found: EndpointHealth) -> Mapping[str, Any]:
    return {
        "target": found.target,
        "state": found.listener.state.value,
        "connections": found.connections,
        "requests": found.requests,
        "problem": found.listener.problem,
        "remedy": found.listener.remedy,
    }


def _format(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%FT%TZ}"


def _quote(moment: float | None) -> str:
    return "null" if moment is None else f'"{format_time(moment)}"'
