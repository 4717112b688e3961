from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from refresher import policy
from refresher.engine.agenda import Agenda
from refresher.engine.refresh import Outcome, Result, TokenFacts
from refresher.errors import RefresherError, SupplyError
from tests.tokens import ISSUER, NOW

if TYPE_CHECKING:
    from collections.abc import Callable

    from refresher.engine.target import Target

    MakeTarget = Callable[..., Target]

HOUR = timedelta(hours=1)


def outcome_of(
    result: Result = Result.PUBLISHED, error: RefresherError | None = None, issued_at: datetime | None = NOW
) -> Outcome:
    """Give what a refresh did."""
    token = None
    if issued_at is not None:
        token = TokenFacts(
            issued_at=issued_at, expires_at=issued_at + HOUR, issuer=ISSUER, subject="user-1", fingerprint="00000000"
        )
    return Outcome(result=result, token=token, repaired=(), error=error, duration=0.1, signature=(1,))


def agenda_of(*targets: Target) -> Agenda:
    """Give an agenda that has adopted targets."""
    agenda = Agenda()
    agenda.adopt({target.name: target for target in targets})
    return agenda


def due(agenda: Agenda, now: datetime) -> list[str]:
    """Take what is due, by name."""
    return [entry.target.name for entry in agenda.take_due(now)]


def test_new_targets_are_due_at_once_and_handed_out_once(target_of: MakeTarget) -> None:
    """A new target is due immediately, and nobody gets it a second time while it is in somebody's hands."""
    agenda = agenda_of(target_of("one"), target_of("two"))

    assert due(agenda, NOW) == ["one", "two"]
    assert due(agenda, NOW) == []


def test_published_target_is_due_at_its_refresh_point(target_of: MakeTarget) -> None:
    """After a refresh a target rests until the policy's refresh point."""
    target = target_of()
    agenda = agenda_of(target)
    agenda.take_due(NOW)
    agenda.settle(target, outcome_of(), NOW, 0.5)
    point = policy.due_at("alice", NOW, NOW + HOUR)

    assert due(agenda, point - timedelta(seconds=1)) == []
    assert due(agenda, point) == ["alice"]


def test_failures_back_off_and_success_forgets_them(target_of: MakeTarget) -> None:
    """Each failure in a row waits longer; a success resets the count."""
    target = target_of()
    agenda = agenda_of(target)
    waits = []
    for _ in range(3):
        agenda.take_due(NOW)
        entry = agenda.settle(
            target, outcome_of(Result.FAILED, SupplyError("p", "r", retryable=True), None), NOW, 0.999
        )
        assert entry is not None
        assert entry.next_at is not None
        waits.append(round((entry.next_at - NOW).total_seconds()))
        entry.next_at = None
    agenda.take_due(NOW)
    entry = agenda.settle(target, outcome_of(), NOW, 0.5)

    assert waits == [1, 2, 4]
    assert entry is not None
    assert entry.failures == 0


def test_permanent_failure_is_tried_again_at_the_overdue_point(target_of: MakeTarget) -> None:
    """Even a slow retry comes no later than the moment at which the present token is overdue."""
    target = target_of()
    agenda = agenda_of(target)
    agenda.take_due(NOW)
    now = NOW + timedelta(minutes=53, seconds=55)

    entry = agenda.settle(target, outcome_of(Result.FAILED, SupplyError("p", "r")), now, 0.5)

    assert entry is not None
    assert entry.next_at == NOW + timedelta(minutes=54)


def test_one_identity_at_a_time(target_of: MakeTarget) -> None:
    """Targets of one identity wait for each other, so that they can share a supply; others do not."""
    first = target_of("one")
    sibling = replace(target_of("two"), context=first.context)
    stranger = target_of("three", subject="user-3")
    agenda = agenda_of(first, sibling, stranger)

    taken = due(agenda, NOW)
    agenda.settle(first, outcome_of(), NOW, 0.5)
    following = agenda.take_sibling(first, NOW)

    assert taken == ["one", "three"]
    assert following is not None
    assert following.target.name == "two"


def test_directory_of_a_former_target_is_waited_for(target_of: MakeTarget) -> None:
    """A target that takes over a directory waits until the worker of the former one is done with it."""
    alice = target_of("alice", path="shared")
    bob = target_of("bob", path="shared", subject="user-2")
    agenda = agenda_of(alice)
    agenda.take_due(NOW)

    agenda.adopt({"bob": bob})
    while_busy = due(agenda, NOW)
    settled = agenda.settle(alice, outcome_of(), NOW, 0.5)

    assert while_busy == []
    assert settled is None
    assert due(agenda, NOW) == ["bob"]


def test_unchanged_targets_keep_their_moment_over_a_new_plan(target_of: MakeTarget) -> None:
    """A new plan makes only new and changed targets due."""
    same, changed = target_of("same"), target_of("changed")
    agenda = agenda_of(same, changed)
    agenda.take_due(NOW)
    for target in (same, changed):
        agenda.settle(target, outcome_of(), NOW, 0.5)
    agenda.settle(same, outcome_of(), NOW, 0.5)

    agenda.adopt(
        {"same": target_of("same"), "changed": replace(changed, environment=b"X=y\n"), "new": target_of("new")}
    )

    assert len(agenda) == 3
    assert {entry.target.name for entry in agenda if entry.next_at is None} >= {"changed", "new"}


def test_jump_back_makes_tokens_from_the_future_due(target_of: MakeTarget) -> None:
    """After the clock went back an hour, what was issued since is due at once."""
    target = target_of()
    agenda = agenda_of(target)
    agenda.take_due(NOW)
    agenda.settle(target, outcome_of(), NOW, 0.5)
    now = NOW - HOUR

    before = due(agenda, now)
    agenda.reconsider(now)

    assert before == []
    assert due(agenda, now) == ["alice"]


def test_jump_forward_keeps_what_is_still_fresh(target_of: MakeTarget) -> None:
    """After a small step forward a target stays due when its own token says, not at once."""
    target = target_of()
    agenda = agenda_of(target)
    agenda.take_due(NOW)
    agenda.settle(target, outcome_of(), NOW, 0.5)

    agenda.reconsider(NOW + timedelta(minutes=10))

    assert due(agenda, NOW + timedelta(minutes=10)) == []
    assert due(agenda, NOW + timedelta(minutes=30)) == ["alice"]


def test_what_failed_is_due_at_once_when_it_may_be_mended(target_of: MakeTarget) -> None:
    """A plan with other suppliers brings forward the targets that failed, and only those."""
    failed, fresh = target_of("failed"), target_of("fresh", path="fresh")
    agenda = agenda_of(failed, fresh)
    for entry in agenda.take_due(NOW):
        agenda.give_back(entry.target)
    agenda.settle(failed, outcome_of(Result.FAILED, SupplyError("p", "r")), NOW, 0.5)
    agenda.settle(fresh, outcome_of(), NOW, 0.5)

    agenda.adopt({"failed": failed, "fresh": fresh})
    assert due(agenda, NOW) == []
    agenda.adopt({"failed": failed, "fresh": fresh}, new_suppliers=True)

    assert due(agenda, NOW) == ["failed"]
