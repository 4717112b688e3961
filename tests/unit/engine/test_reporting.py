from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from refresher.engine.refresh import Outcome, Result, TokenFacts
from refresher.engine.reporting import Reporter, stage_of
from refresher.engine.status import Board
from refresher.errors import PublishError, RefresherError, SupplyError, TokenRejectedError
from tests.tokens import ISSUER, NOW

if TYPE_CHECKING:
    from collections.abc import Callable

    from refresher.engine.events import Event
    from refresher.engine.target import Target

    MakeTarget = Callable[..., Target]

SHORT = TokenFacts(
    issued_at=NOW, expires_at=NOW + timedelta(minutes=10), issuer=ISSUER, subject="user-1", fingerprint="1a2b3c4d"
)
TOKEN = TokenFacts(
    issued_at=NOW, expires_at=NOW + timedelta(hours=1), issuer=ISSUER, subject="user-1", fingerprint="1a2b3c4d"
)


def outcome_of(error: RefresherError | None = None, token: TokenFacts = TOKEN) -> Outcome:
    """Give a success, or a failure of this kind."""
    result = Result.PUBLISHED if error is None else Result.FAILED
    return Outcome(result=result, token=token, repaired=(), error=error, duration=0.0125, signature=None)


def reporter_of(target: Target) -> tuple[Reporter, Board, list[Event]]:
    """Give a reporter, its board that knows the target, and the events it tells."""
    board = Board()
    events: list[Event] = []
    board.adopt([target.name], ())
    return Reporter(board=board, listener=events.append), board, events


def test_publication_is_told_with_its_facts(target_of: MakeTarget) -> None:
    """A published token is one event with target, supplier, claims, expiry, fingerprint and duration."""
    target = target_of()
    reporter, board, events = reporter_of(target)

    reporter.refreshed(target, outcome_of(), NOW, None)

    (event,) = events
    assert event.name == "token.published"
    assert event.fields == {
        "target": "alice",
        "supplier": "worker",
        "subject": "user-1",
        "issuer": ISSUER,
        "expires_at": "2026-01-01T01:00:00Z",
        "fingerprint": "1a2b3c4d",
        "duration_ms": 12,
    }
    assert board.get("alice").last_success_at == NOW


def test_lasting_failure_is_told_at_doublings(target_of: MakeTarget) -> None:
    """A failure that goes on is told the first time and then at every doubling, and its end once."""
    target = target_of()
    reporter, board, events = reporter_of(target)

    for _ in range(9):
        reporter.refreshed(target, outcome_of(SupplyError("no", "mend it")), NOW, None)
    told = [event.fields["failures"] for event in events]
    status = board.get("alice")
    reporter.refreshed(target, outcome_of(), NOW, None)

    assert told == [1, 2, 4, 8]
    assert (status.consecutive_failures, status.problem, status.remedy) == (9, "no", "mend it")
    assert [event.name for event in events[-2:]] == ["token.published", "token.recovered"]


@pytest.mark.parametrize(
    ("error", "event", "stage"),
    [
        pytest.param(SupplyError("p", "r"), "token.supply_failed", "supply", id="supply"),
        pytest.param(PublishError("p", "r"), "token.publish_failed", "publish", id="publish"),
        pytest.param(TokenRejectedError("p", "r"), "token.rejected", "check", id="check"),
    ],
)
def test_stages_have_their_events(target_of: MakeTarget, error: RefresherError, event: str, stage: str) -> None:
    """Each stage's failure has its own event and its own place in the counts."""
    target = target_of()
    reporter, board, events = reporter_of(target)

    reporter.refreshed(target, outcome_of(error), NOW, None)

    assert [told.name for told in events] == [event]
    assert stage_of(error) == stage
    assert board.snapshot().refreshes == {("failed", stage): 1}


def test_life_that_runs_out_is_told_once_each(target_of: MakeTarget) -> None:
    """Overdue and expired are told once, however often one looks."""
    target = target_of()
    reporter, _, events = reporter_of(target)

    for minutes in (50, 55, 56, 60, 70):
        reporter.watch(target, TOKEN, NOW + timedelta(minutes=minutes))

    assert [event.name for event in events] == ["token.overdue", "token.expired"]


@pytest.mark.parametrize(
    ("account", "longest", "token", "count"),
    [
        (None, None, SHORT, 1),
        (None, None, TOKEN, 0),
        (None, timedelta(hours=1), SHORT, 0),
        ("a@p.iam.gserviceaccount.com", None, SHORT, 0),
    ],
    ids=["direct", "long", "configured", "impersonated"],
)
def test_direct_access_by_short_tokens_is_told_once(
    target_of: MakeTarget, account: str | None, longest: timedelta | None, token: TokenFacts, count: int
) -> None:
    """Tokens that are short by their supplier's doing are told of once, however many and of how many targets."""
    one, two = (
        replace(
            target,
            impersonation=replace(target.impersonation, service_account=account),
            expected=replace(target.expected, maximum_lifetime=longest),
        )
        for target in (target_of(), target_of("bob"))
    )
    reporter, board, events = reporter_of(one)
    board.adopt(["alice", "bob"], ())

    for target in (one, two, one):
        reporter.refreshed(target, outcome_of(token=token), NOW, None)

    told = [event for event in events if event.name == "token.short_lived"]
    assert len(told) == count
    assert all("Node" in str(event.fields["error"]) and event.fields["remedy"] for event in told)
