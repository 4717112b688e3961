"""The status page: for a person at three in the morning, who reads what is wrong first, and what to do about it.

One document without outside assets, readable without a script. A small script replaces the parts that change; without
it the page loads itself again. Its style and its script are named by their hashes in the content security policy, so
that nothing else on the page can run. Everything that comes from outside is escaped.
"""

import base64
import hashlib
import platform
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from html import escape
from pathlib import Path
from urllib.parse import urlencode

from refresher import __version__, text
from refresher.durations import format_span
from refresher.engine.exchanges import ExchangeHealth, ExchangeState
from refresher.observe.board import Board
from refresher.observe.causes import Finding, Weight, list_findings
from refresher.observe.survey import Verdict, format_time
from refresher.policy import State

ROWS = 50
_MOST_FINDINGS = 30
_MOST_NAMES = 8
_LONGEST_TEXT = 4000
"""Characters of a problem or a remedy; one with commands for every pool and provider has more than a thousand."""
_RELOAD_SECONDS = 10
_STYLE = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
_SCRIPT = Path(__file__).with_name("page.js").read_text(encoding="utf-8")


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


_POLICY = (
    "default-src 'none'",
    f"style-src {_hash(_STYLE)}",
    f"script-src {_hash(_SCRIPT)}",
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
)
SECURITY_HEADERS = (
    (
        "Content-Security-Policy",
        "; ".join(_POLICY),
    ),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
_SIGNS = {
    "good": '<path d="M12 21l6 6 12-13" fill="none" stroke="currentColor" stroke-width="4" stroke-linecap="round" '
    'stroke-linejoin="round"/>',
    "bad": '<path d="M20 10v13" stroke="currentColor" stroke-width="4" stroke-linecap="round"/>'
    '<circle cx="20" cy="30" r="2.6" fill="currentColor"/>',
}
_SIGNS["warn"] = _SIGNS["bad"]
_COLOURS = {State.FRESH: "good", State.DUE: "good", State.OVERDUE: "warn"}
_ANSWERS = {
    ExchangeState.ACCEPTED: ("good", "accepts"),
    ExchangeState.REFUSED: ("bad", "refuses"),
    ExchangeState.UNANSWERED: ("warn", "no answer"),
}
_FINDING_COLOURS = {Weight.FAILING: "bad", Weight.THREATENED: "warn", Weight.NOTABLE: "note"}
_ORDER = (State.EXPIRED, State.ABSENT, State.UNREADABLE, State.FOREIGN, State.OVERDUE, State.DUE, State.FRESH)
"""The worst first."""


def write_page(
    board: Board, verdicts: Sequence[Verdict], as_of: datetime | None, now: datetime, query: Mapping[str, str]
) -> str:
    """Return the page as HTML.

    Args:
        board: What the daemon knows.
        verdicts: On the targets of the plan.
        as_of: No verdict is older, UTC; None if not all targets were looked at yet.
        now: The wall clock's time.
        query: `q` searches names and identities, `state` selects one, `page` counts from 1.
    """
    findings = list_findings(board, verdicts, now)
    colour, headline = _judge(board, verdicts, findings)
    host = _clean(platform.node() or "this machine")
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{headline} - refresher on {host}</title>\n"
        f'<noscript><meta http-equiv="refresh" content="{_RELOAD_SECONDS}"></noscript>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<div class=sheet>\n"
        f'<div id="lost" role="alert" hidden>The daemon no longer answers: what you see is of {now:%T} UTC.</div>\n'
        f'<main>\n<div id="state">\n<section class="verdict {colour}">'
        f'<svg width="40" height="40" viewBox="0 0 40 40" aria-hidden="true"><circle cx="20" cy="20" r="18" '
        f'fill="none" stroke="currentColor" stroke-width="3"/>{_SIGNS[colour]}</svg>'
        f"<div><h1>{headline}</h1><p>{host}, {now:%F %T} UTC</p></div></section>\n"
        f'<p class="about">{"".join(f"<span>{each}</span>" for each in _describe_daemon(board, as_of, now))}</p>\n'
        f"{''.join(_write_findings(findings))}</div>\n"
        f"{_write_targets(board, verdicts, now, query)}"
        f"</main>\n</div>\n<script>{_SCRIPT}</script>\n</body>\n</html>\n"
    )


def _judge(board: Board, verdicts: Sequence[Verdict], findings: Sequence[Finding]) -> tuple[str, str]:
    """Return the colour and the headline of the whole."""
    total = 0 if board.plan is None else len(board.plan.targets)
    lacking = sum(bool(each.shortages) for each in verdicts)
    noun = f"target{'' if total == 1 else 's'}"
    if len(verdicts) < total:
        return "warn", f"{total - len(verdicts)} of {total} {noun} not looked at yet"
    if lacking:
        return "bad", f"{lacking} of {total} {noun} not ready"
    if findings and findings[0].weight is Weight.FAILING:
        return "bad", "Something fails"
    if findings:
        return "warn", f"All {total} {noun} ready, and something needs attention"
    return "good", f"All {total} {noun} ready" if total else "Ready: no targets yet"


def _describe_daemon(board: Board, as_of: datetime | None, now: datetime) -> Iterator[str]:
    yield f"refresher {__version__}"
    yield f"up {format_span(now - board.started_at)}"
    yield f"last tick {board.seconds_since_tick:.0f} s ago"
    yield "files not looked at yet" if as_of is None else f"files looked at within {format_span(now - as_of)}"


def _write_findings(findings: Sequence[Finding]) -> Iterator[str]:
    if findings:
        yield f"<h2>What is wrong, and what to do ({len(findings)})</h2>\n"
    for finding in findings[:_MOST_FINDINGS]:
        names = [f'<a href="?{_encode(q=name)}">{_clean(name)}</a>' for name in finding.targets[:_MOST_NAMES]]
        if len(finding.targets) > _MOST_NAMES:
            names.append(f"{len(finding.targets) - _MOST_NAMES} more")
        facts = [f"concerns {', '.join(names)}"] if names else []
        facts += map(_clean, finding.facts)
        soft = f'<p class="soft">{"; ".join(facts)}</p>' if facts else ""
        yield (
            f'<article class="finding {_FINDING_COLOURS[finding.weight]}"><h3>{_clean(finding.effect)}</h3>'
            f'<p>{_mark_code(finding.problem)}</p><p class="do"><b>Remedy</b>{_mark_code(finding.remedy)}</p>{soft}'
            "</article>\n"
        )
    if len(findings) > _MOST_FINDINGS:
        rest = len(findings) - _MOST_FINDINGS
        yield f'<p class="soft">and {rest} more: see <a href="/status.json">status.json</a></p>'


def _write_targets(board: Board, verdicts: Sequence[Verdict], now: datetime, query: Mapping[str, str]) -> str:
    word, state = query.get("q", "").strip()[:100], query.get("state", "")
    states = Counter(each.state for each in verdicts)
    chosen = [
        each
        for each in verdicts
        if (not word or word.lower() in each.name or word.lower() in each.identity) and state in ("", each.state)
    ]
    chosen.sort(key=lambda each: (not each.shortages, _ORDER.index(each.state), each.expires_at or 0.0, each.name))
    pages = max(1, -(-len(chosen) // ROWS))
    asked = query.get("page", "")
    page = min(pages, max(1, int(asked))) if asked.isdecimal() and len(asked) < len(str(ROWS * 10**6)) else 1
    rows = "".join(_write_row(board, each, now) for each in chosen[(page - 1) * ROWS : page * ROWS])
    counts = [
        ("", f"<b>{len(verdicts)}</b> all"),
        *((each, f"<b>{states[each]}</b> {each}") for each in _ORDER if states[each]),
    ]
    links = "".join(
        f'<li><a href="?{_encode(q=word, state=each)}"{" aria-current=true" if each == state else ""}>{shown}</a></li>'
        for each, shown in counts
    )
    hidden = f'<input type="hidden" name="state" value="{_clean(state)}">' if state else ""
    table = (
        f'<table><thead><tr><th scope="col">Target</th><th scope="col">State</th>'
        '<th scope="col">Token expires, runway</th>'
        f'<th scope="col">Google</th><th scope="col">Refreshed</th></tr></thead><tbody>{rows}</tbody></table>\n'
        if rows
        else '<p class="empty">No target is like this.</p>\n'
    )
    steps = [
        f'<a href="?{_encode(q=word, state=state, page=number)}">{shown}</a>'
        for number, shown in ((page - 1, "previous"), (page + 1, "next"))
        if 1 <= number <= pages
    ]
    foot = f"<nav><span>page {page} of {pages}</span>{''.join(steps)}</nav>\n" if pages > 1 else ""
    return (
        f'<h2>Targets</h2>\n<form method="get" action="/"><input type="search" name="q" value="{_clean(word)}" '
        f'placeholder="name or identity" aria-label="Search targets">{hidden}<button>Search</button></form>\n'
        f'<div id="targets"><ul class="counts">{links}</ul>\n{table}{foot}</div>\n'
    )


def _write_row(board: Board, verdict: Verdict, now: datetime) -> str:
    job, moment = board.get_job(verdict.name), now.timestamp()
    colour = "bad" if verdict.shortages and verdict.state in _COLOURS else _COLOURS.get(verdict.state, "bad")
    identity = "" if verdict.identity == verdict.name else f'<div class="soft">{_clean(verdict.identity)}</div>'
    artifacts = "".join(f'<div class="soft">{_clean(each.name)}: {each.state}</div>' for each in verdict.artifacts)
    refreshed = "" if job.succeeded_at is None else f"{format_span(timedelta(seconds=moment - job.succeeded_at))} ago"
    if job.next_at is not None and job.next_at > moment:
        refreshed += f'<div class="soft">next in {format_span(timedelta(seconds=job.next_at - moment))}</div>'
    return (
        f'<tr><td><b>{_clean(verdict.name)}</b>{identity}</td><td><span class="badge {colour}">{verdict.state}</span>'
        f'{artifacts}</td><td data-label="expires">{_write_life(verdict, moment)}</td>'
        f'<td data-label="Google">{_describe_exchange(board.exchanges.get(verdict.identity), now)}</td>'
        f'<td data-label="refreshed">{refreshed}</td></tr>\n'
    )


def _write_life(verdict: Verdict, now: float) -> str:
    if verdict.expires_at is None or verdict.issued_at is None:
        return '<span class="soft">no token</span>'
    left = timedelta(seconds=abs(verdict.expires_at - now))
    shown = f"{format_span(left)} ago" if verdict.expires_at <= now else f"in {format_span(left)}"
    life = max(1.0, verdict.expires_at - verdict.issued_at)
    share = 100 * min(1.0, max(0.0, (verdict.expires_at - now) / life))
    if not verdict.serves and verdict.expires_at > now:
        shown += ", runway 0"
    return (
        f'<span title="{format_time(verdict.expires_at)}">{shown}</span><svg class="life" viewBox="0 0 100 6" '
        f'preserveAspectRatio="none" aria-hidden="true"><rect class="{_COLOURS.get(verdict.state, "bad")}" '
        f'width="{share:.1f}" height="6"/></svg>'
    )


def _describe_exchange(found: ExchangeHealth | None, now: datetime) -> str:
    if found is None:
        return '<span class="soft">not tried</span>'
    colour, shown = _ANSWERS[found.state]
    when = f'<div class="soft">{format_span(now - found.checked_at)} ago</div>'
    return f'<span class="badge {colour}">{shown}</span>{when}'


def _clean(words: str) -> str:
    """Return text for HTML: no markup, no control characters, of bounded length."""
    return escape(text.escape(words, longest=_LONGEST_TEXT))


def _mark_code(words: str) -> str:
    """Return text for HTML, with what is between backticks as code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", _clean(words))


def _encode(**fields: str | int) -> str:
    return escape(urlencode({name: value for name, value in fields.items() if value != ""}))
