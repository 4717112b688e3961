from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from refresher import policy
from refresher.engine.agenda import Agenda, Entry
from refresher.engine.outcome import Life, Outcome, Result
from refresher.engine.plan import MintedArtifact
from refresher.errors import ImpersonationError, PublishError, RefresherError, SupplyError
from refresher.files import FileState
from refresher.publishing.directory import UNSEEN, KnownState, is_another_directory
from tests.tokens import ISSUER, NOW

if TYPE_CHECKING:
    from collections.abc import Callable

    from refresher.engine.plan import Target

    MakeTarget = Callable[..., Target]

HOUR = timedelta(hours=1)
ACCESS = MintedArtifact(name="access_token")
ID = MintedArtifact(name="id_tokens/api", options={"audience": "https://api", "include_email": True})


def build_outcome(
    result: Result = Result.PUBLISHED, error: RefresherError | None = None, issued_at: datetime | None = NOW
) -> Outcome:
    """Return the outcome of a job."""
    life = None if issued_at is None else Life(issued_at, issued_at + HOUR, ISSUER, "user-1", "00000000")
    return Outcome(result=result, life=life, error=error, duration=0.1)


def build_agenda(*targets: Target) -> Agenda:
    """Return an agenda with these targets."""
    agenda = Agenda()
    agenda.adopt({target.name: target for target in targets})
    return agenda


def take(agenda: Agenda, now: datetime) -> list[str]:
    """Take the due jobs; return their names."""
    return ["/".join(filter(None, entry.key)) for entry in agenda.take_due(now)]


def get(agenda: Agenda, name: str, artifact: str = "") -> Entry:
    """Return an existing entry."""
    entry = agenda.get(name, artifact)
    assert entry is not None
    return entry


def settle(agenda: Agenda, entry: Entry, outcome: Outcome, now: datetime = NOW, draw: float = 0.5) -> None:
    """Return a job to the agenda with its outcome, as a worker does."""
    agenda.give_back(entry)
    agenda.settle(entry, outcome, now, draw)


def test_new_targets_are_due_at_once_and_handed_out_once(target_of: MakeTarget) -> None:
    """A new target is due at once, but not a second time while a worker has it."""
    agenda = build_agenda(target_of("one"), target_of("two"))

    assert take(agenda, NOW) == ["one", "two"]
    assert take(agenda, NOW) == []


def test_published_target_is_due_at_its_refresh_point(target_of: MakeTarget) -> None:
    """After a refresh a target is not due before the policy's refresh point."""
    agenda = build_agenda(target_of())
    settle(agenda, agenda.take_due(NOW)[0], build_outcome())
    point = policy.due_at("alice", NOW, NOW + HOUR)

    assert take(agenda, point - timedelta(seconds=1)) == []
    assert take(agenda, point) == ["alice"]


def test_failures_back_off_and_success_forgets_them(target_of: MakeTarget) -> None:
    """Each failure in a row increases the delay; a success resets the count."""
    agenda = build_agenda(target_of())
    entry, waits = get(agenda, "alice"), []
    for _ in range(3):
        failure = build_outcome(Result.FAILED, SupplyError("p", "r", retryable=True), None)
        settle(agenda, entry, failure, draw=0.999)
        assert entry.next_at is not None
        waits.append(round((entry.next_at - NOW).total_seconds()))
    settle(agenda, entry, build_outcome())

    assert waits == [1, 2, 4]
    assert entry.failures == 0


def test_permanent_failure_is_tried_again_at_the_overdue_point(target_of: MakeTarget) -> None:
    """Even a slow retry comes at the latest when the present token becomes overdue."""
    agenda = build_agenda(target_of())
    now = NOW + timedelta(minutes=53, seconds=55)

    settle(agenda, get(agenda, "alice"), build_outcome(Result.FAILED, SupplyError("p", "r")), now)

    assert get(agenda, "alice").next_at == NOW + timedelta(minutes=54)


def test_attempt_that_could_not_look_is_bounded_by_what_was_there_before(target_of: MakeTarget) -> None:
    """While nothing can be opened, the file still expires: the next attempt is no later than without that failure."""
    agenda = build_agenda(target_of("one"))
    settle(agenda, get(agenda, "one"), build_outcome())
    unread = PublishError("can't be opened", "raise the limit", retryable=False)
    late = NOW + timedelta(minutes=56)

    for _ in range(8):
        settle(agenda, get(agenda, "one"), build_outcome(Result.FAILED, unread, issued_at=None), late)

    entry = get(agenda, "one")
    assert entry.life is not None
    assert entry.next_at is not None
    assert entry.next_at <= late + timedelta(minutes=4) / 3


def test_one_identity_at_a_time(target_of: MakeTarget) -> None:
    """Targets of one identity wait for each other, so that they can share a supply; other targets do not wait."""
    first = target_of("one")
    sibling = replace(target_of("two"), context=first.context)
    agenda = build_agenda(first, sibling, target_of("three", subject="user-3"))

    taken = agenda.take_due(NOW)
    settle(agenda, taken[0], build_outcome())
    following = agenda.take_sibling(taken[0], NOW)

    assert [entry.key[0] for entry in taken] == ["one", "three"]
    assert following is get(agenda, "two")


def test_former_target_of_a_directory_is_waited_for(target_of: MakeTarget) -> None:
    """A changed target waits until the worker of its earlier version has left the directory."""
    agenda = build_agenda(target_of())
    (former,) = agenda.take_due(NOW)

    agenda.adopt({"alice": target_of(identity="bob", subject="user-2")})
    while_busy = take(agenda, NOW)
    agenda.give_back(former)

    assert while_busy == []
    assert not agenda.is_wanted(former)
    assert take(agenda, NOW) == ["alice"]


def test_unchanged_targets_keep_their_moment_over_a_new_plan(target_of: MakeTarget) -> None:
    """After a new plan only new and changed targets are due."""
    same, changed = target_of("same", subject="a"), target_of("changed", subject="b")
    agenda = build_agenda(same, changed)
    for entry in agenda.take_due(NOW):
        settle(agenda, entry, build_outcome())

    other = replace(changed, static={**changed.static, "env": b"X=y\n"})
    agenda.adopt({"same": target_of("same", subject="a"), "changed": other, "new": target_of("new", subject="c")})

    assert {entry.target.name for entry in agenda if entry.next_at is None} == {"changed", "new"}


def test_failures_outlive_an_edit_so_that_a_success_is_a_recovery(target_of: MakeTarget) -> None:
    """A changed target that failed before still counts its failures, its problem is news, and it is still a first."""
    alice = target_of("alice")
    agenda = build_agenda(alice)
    (failed,) = agenda.take_due(NOW)
    settle(agenda, failed, build_outcome(Result.FAILED, SupplyError("no key", "restore it")))

    agenda.adopt({"alice": replace(alice, static={**alice.static, "env": b"X=y\n"})})

    entry = get(agenda, "alice")
    assert (entry.failures, entry.problem, entry.is_known, entry.next_at) == (1, None, False, None)


def test_jump_back_makes_tokens_from_the_future_due(target_of: MakeTarget) -> None:
    """After the clock moves back an hour, everything that was issued since then is due at once."""
    agenda = build_agenda(target_of())
    settle(agenda, agenda.take_due(NOW)[0], build_outcome())
    now = NOW - HOUR

    before = take(agenda, now)
    agenda.reconsider(now)

    assert before == []
    assert take(agenda, now) == ["alice"]


def test_jump_forward_keeps_what_is_still_fresh(target_of: MakeTarget) -> None:
    """After a small step forward a target becomes due when its own token requires it, not at once."""
    agenda = build_agenda(target_of())
    settle(agenda, agenda.take_due(NOW)[0], build_outcome())

    agenda.reconsider(NOW + timedelta(minutes=10))

    assert take(agenda, NOW + timedelta(minutes=10)) == []
    assert take(agenda, NOW + timedelta(minutes=30)) == ["alice"]


def test_what_failed_is_due_at_once_when_suppliers_change(target_of: MakeTarget) -> None:
    """A plan with other suppliers makes the failed targets due, and only those."""
    failed, fresh = target_of("failed", subject="a"), target_of("fresh", subject="b")
    agenda = build_agenda(failed, fresh)
    for entry in agenda.take_due(NOW):
        agenda.give_back(entry)
    agenda.settle(get(agenda, "failed"), build_outcome(Result.FAILED, SupplyError("p", "r")), NOW, 0.5)
    agenda.settle(get(agenda, "fresh"), build_outcome(), NOW, 0.5)

    agenda.adopt({"failed": failed, "fresh": fresh})
    assert take(agenda, NOW) == []
    agenda.adopt({"failed": failed, "fresh": fresh}, has_new_suppliers=True)

    assert take(agenda, NOW) == ["failed"]


def test_files_that_expire_first_are_served_first(target_of: MakeTarget) -> None:
    """After a stop the targets are served in the order in which their files expire, not in the configured order."""
    agenda = build_agenda(*(target_of(name, subject=name) for name in ("late", "early", "middle")))
    issued = {"late": NOW, "early": NOW - timedelta(minutes=40), "middle": NOW - timedelta(minutes=20)}
    for entry in agenda.take_due(NOW):
        settle(agenda, entry, build_outcome(issued_at=issued[entry.target.name]))

    assert take(agenda, NOW + HOUR) == ["early", "middle", "late"]


def test_artifacts_wait_for_their_token(target_of: MakeTarget) -> None:
    """Without a token artifacts cannot be minted; once it is published, they are due at once."""
    agenda = build_agenda(target_of(minted=(ACCESS, ID)))

    (token,) = agenda.take_due(NOW)
    before = take(agenda, NOW)
    settle(agenda, token, build_outcome())

    assert before == []
    assert take(agenda, NOW) == ["alice/access_token", "alice/id_tokens/api"]


def test_each_artifact_has_its_own_moment(target_of: MakeTarget) -> None:
    """The failure of one artifact only moves its own next time; the other one is due at half its lifetime."""
    agenda = build_agenda(target_of(minted=(ACCESS, ID)))
    settle(agenda, agenda.take_due(NOW)[0], build_outcome())
    access, identity = agenda.take_due(NOW)
    settle(agenda, access, build_outcome())
    settle(agenda, identity, build_outcome(Result.FAILED, ImpersonationError("refused", "grant the role"), None))

    assert access.next_at is not None
    assert identity.next_at is not None
    assert timedelta(minutes=24) <= access.next_at - NOW <= timedelta(minutes=30)
    assert identity.next_at - NOW <= timedelta(minutes=5)
    agenda.look_again(access.target)
    assert agenda.take_due(NOW) == [access]


def test_artifact_that_changes_while_it_is_worked_on_is_due_once_more(target_of: MakeTarget) -> None:
    """What changed after a worker had looked at it is looked at again, and then left alone."""
    agenda = build_agenda(target_of(minted=(ACCESS,)))
    settle(agenda, agenda.take_due(NOW)[0], build_outcome())
    (access,) = agenda.take_due(NOW)

    agenda.look_again(access.target)
    settle(agenda, access, build_outcome())
    again = agenda.take_due(NOW)
    settle(agenda, access, build_outcome(Result.KEPT))

    assert again == [access]
    assert agenda.take_due(NOW) == []


def test_directory_found_in_another_state_makes_its_artifacts_due(target_of: MakeTarget) -> None:
    """A token's job that finds its directory changed has artifacts looked at after it, and only then."""
    agenda = build_agenda(target_of(minted=(ACCESS,)))
    token, state = agenda.take_due(NOW)[0], (FileState(1, 2, 3, 4, 0o400, 0, 0),)
    settle(agenda, token, replace(build_outcome(), state=state))
    settle(agenda, agenda.take_due(NOW)[0], build_outcome())

    settle(agenda, token, replace(build_outcome(Result.KEPT), state=state))
    same = agenda.take_due(NOW)
    settle(agenda, token, replace(build_outcome(Result.KEPT), state=(state[0]._replace(mode=0),)))

    assert same == []
    assert [entry.artifact for entry in agenda.take_due(NOW)] == [ACCESS]


def test_few_artifacts_of_one_identity_at_a_time(target_of: MakeTarget) -> None:
    """If Google does not answer an identity, it occupies few threads; the next artifact follows when one is done."""
    many = tuple(replace(ID, name=f"id_tokens/n{number}") for number in range(9))
    agenda = build_agenda(target_of(minted=many))
    settle(agenda, agenda.take_due(NOW)[0], build_outcome())

    taken = agenda.take_due(NOW)
    settle(agenda, taken[0], build_outcome())

    assert len(taken) == 4
    assert agenda.take_sibling(taken[0], NOW) is not None
    assert agenda.take_sibling(taken[0], NOW) is None


def test_nothing_is_kept_of_targets_that_are_gone(target_of: MakeTarget) -> None:
    """Nothing is left in the agenda of targets that left the plan, even if a worker still had them."""
    agenda = build_agenda(target_of(minted=(ACCESS,)))
    (token,) = agenda.take_due(NOW)

    agenda.adopt({})
    agenda.give_back(token)

    assert list(agenda) == []
    assert agenda.is_idle


def test_artifacts_that_were_withdrawn_with_a_lost_record_were_taken_by_no_one(target_of: MakeTarget) -> None:
    """What the daemon withdrew itself is absent for it, so that no other process is accused of having changed it."""
    agenda = build_agenda(target_of("alice", minted=(ACCESS,)))
    token, access = get(agenda, "alice"), get(agenda, "alice", "access_token")
    for entry in (token, access):
        agenda.take_due(NOW)
        settle(agenda, entry, build_outcome())

    token.next_at = None
    agenda.take_due(NOW)
    settle(agenda, token, replace(build_outcome(), lacked_record=True))

    assert (access.life, access.next_at) == (None, None)


def test_a_directory_that_never_was_is_not_a_former_one(target_of: MakeTarget) -> None:
    """The first directory of a target whose first attempt could not even look there replaces none."""
    agenda = build_agenda(target_of())
    entry = agenda.take_due(NOW)[0]
    refused = replace(build_outcome(Result.FAILED, PublishError("closed", "open it"), None), left=UNSEEN)
    settle(agenda, entry, refused)

    agenda.note_drift(entry, KnownState.from_state(()))
    state = (FileState(1, 2, 3, 0, 0o711, 0, 0),)
    settle(agenda, entry, replace(build_outcome(), state=state))

    assert not is_another_directory(KnownState.from_state(state), entry.former_state)
