from datetime import timedelta
from threading import Event

import pytest

from refresher.observe.survey import Survey
from refresher.policy import State
from tests.tokens import make_jwt
from tests.unit.observe.conftest import Fleet

PATIENCE = 30.0


def test_verdict_holds_while_nothing_changes(fleet: Fleet) -> None:
    """Files that did not change are not examined again before their age changes the verdict."""
    fleet.adopt("alice")
    first = fleet.survey.get("alice")

    fleet.clock.pass_(timedelta(minutes=20))
    fleet.look()

    assert first is not None
    assert fleet.survey.get("alice") is first


@pytest.mark.parametrize(
    ("age", "state", "is_ready"),
    [(31, State.DUE, True), (54, State.OVERDUE, False), (60, State.EXPIRED, False)],
    ids=["due", "overdue", "expired"],
)
def test_age_alone_changes_the_verdict(fleet: Fleet, age: int, state: State, *, is_ready: bool) -> None:
    """A token that nothing renews becomes due, overdue and expired at the next look."""
    fleet.adopt("alice")

    fleet.clock.pass_(timedelta(minutes=age))
    fleet.look()

    found = fleet.survey.get("alice")
    assert found is not None
    assert (found.state, not found.shortages) == (state, is_ready)
    assert found.compute_runway(fleet.clock.now().timestamp()) == 60 * (60 - age)


def test_clock_that_was_set_back_is_noticed(fleet: Fleet) -> None:
    """A token that lies in the future after a step of the clock does not serve."""
    fleet.adopt("alice")

    fleet.clock.pass_(-timedelta(minutes=10))
    fleet.look()

    found = fleet.survey.get("alice")
    assert found is not None
    assert "issued in the future" in found.shortages[""][0]


def test_every_change_of_the_files_is_seen(fleet: Fleet) -> None:
    """A token that is replaced with the same size, emptied, closed or linked away changes the verdict, and back."""
    fleet.adopt("alice")
    place = fleet.targets["alice"].directory.path
    token = (place / "token").read_bytes()
    other = make_jwt(subject="user-2").encode()
    assert len(other) == len(token)

    seen = []
    for content in (other, b"", token):
        (place / "token").chmod(0o600)
        (place / "token").write_bytes(content)
        (place / "token").chmod(0o400)
        fleet.look()
        seen.append(fleet.survey.list_all()[0].state)
    (place / "token").rename(place / "elsewhere")
    (place / "token").symlink_to(place / "elsewhere")
    fleet.look()
    seen.append(fleet.survey.list_all()[0].state)

    assert seen == [State.FOREIGN, State.UNREADABLE, State.FRESH, State.UNREADABLE]


def test_directory_that_cannot_be_read_is_a_verdict(fleet: Fleet) -> None:
    """A directory that others can write to is unreadable, with the remedy, and recovers."""
    fleet.adopt("alice")
    place = fleet.targets["alice"].directory.path

    place.chmod(0o777)
    fleet.look()
    harmed = fleet.survey.list_all()[0]
    place.chmod(0o711)
    fleet.look()

    problem, remedy = harmed.shortages[""]
    assert problem == f"others can write to {place} (mode 0777)"
    assert remedy.startswith(f"chmod go-w {place}; if another user has created something in it: find out who")
    assert not fleet.survey.list_all()[0].shortages


def test_round_looks_at_all_of_a_large_fleet(fleet: Fleet) -> None:
    """More targets than a batch are looked at in one round, with a rest between two batches once all are known."""
    fleet.adopt(*(f"t{number}" for number in range(250)), publish=False)

    rests = [fleet.survey.advance() for _ in range(3)]

    assert len(fleet.survey.list_all()) == 250
    assert max(rests) >= 1.0
    assert all(rest > 0.0 for rest in rests)


def test_watched_files_are_looked_at_when_they_changed_and_seldom_else(fleet: Fleet) -> None:
    """Where each change is shown, a round looks at what changed alone; another round finds what was not shown."""
    survey = Survey(fleet.board, fleet.clock, fleet.bugs.append, is_watched=lambda _: True)
    fleet.adopt("alice", "bob")
    for _ in range(3):
        survey.advance()
    for name in ("alice", "bob"):
        (fleet.targets[name].directory.path / "token").unlink()

    survey.note(["bob"])
    survey.advance()
    shown = {each.name: each.state for each in survey.list_all()}
    for _ in range(12):
        survey.advance()

    assert shown == {"alice": State.FRESH, "bob": State.ABSENT}
    assert {each.state for each in survey.list_all()} == {State.ABSENT}


def test_age_of_watched_files_changes_the_verdict(fleet: Fleet) -> None:
    """A token that becomes due is shown as due, though no file changes."""
    survey = Survey(fleet.board, fleet.clock, fleet.bugs.append, is_watched=lambda _: True)
    fleet.adopt("alice")
    for _ in range(3):
        survey.advance()

    fleet.clock.pass_(timedelta(minutes=31))
    survey.advance()

    assert [each.state for each in survey.list_all()] == [State.DUE]


def test_target_that_is_asked_for_is_looked_at_out_of_turn(fleet: Fleet) -> None:
    """The thread looks at what a probe asks for at once, and the asker learns when it is done."""
    fleet.adopt("alice")
    done = Event()

    with fleet.survey as survey:
        (fleet.targets["alice"].directory.path / "token").unlink()
        assert survey.ask(("alice", "nobody"), 1.0, done.set)
        assert done.wait(PATIENCE)

    assert fleet.survey.list_all()[0].state is State.ABSENT
    assert fleet.bugs == []


def test_more_questions_than_fit_are_refused(fleet: Fleet) -> None:
    """A thread that hangs at a file makes later questions fail at once, not wait."""
    fleet.adopt("alice")

    taken = [fleet.survey.ask(("alice",), 1.0, bool) for _ in range(300)]

    assert 0 < sum(taken) < 300
    assert taken[-1] is False


def test_bug_is_reported_and_ends_nothing(fleet: Fleet) -> None:
    """A bug in the thread is reported by name, and later questions are answered."""
    fleet.adopt("alice")
    done = Event()

    def fail() -> None:
        raise RuntimeError("eyJ.secret")

    with fleet.survey as survey:
        survey.ask((), 0.0, fail)
        survey.ask((), 0.0, done.set)
        assert done.wait(PATIENCE)

    assert [error.problem.partition(" at ")[0] for error in fleet.bugs] == [
        "the survey of files: unexpected RuntimeError"
    ]


def test_nothing_is_looked_at_while_no_one_can_ask(fleet: Fleet) -> None:
    """Without an address to answer on, the files are left alone."""
    fleet.adopt("alice")
    idle = Survey(fleet.board, fleet.clock, fleet.bugs.append, lambda: False)

    assert idle.advance() > 0
    assert (idle.list_all(), idle.as_of) == ([], None)
