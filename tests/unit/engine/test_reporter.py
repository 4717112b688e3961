from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from refresher.engine.agenda import Entry
from refresher.engine.outcome import Life, Outcome, Result
from refresher.engine.plan import MintedArtifact
from refresher.engine.reporter import Reporter
from refresher.errors import (
    ConfigurationError,
    ExchangeError,
    ImpersonationError,
    PublishError,
    RefresherError,
    SupplyError,
    TokenRejectedError,
)
from refresher.files import FileState
from refresher.publishing.atomic import Ownership
from refresher.publishing.directory import KnownState
from refresher.publishing.walk import UnusableRootError
from tests.fakes import build_refusal
from tests.tokens import ISSUER, NOW

if TYPE_CHECKING:
    from collections.abc import Callable

    from refresher.engine.events import Event
    from refresher.engine.plan import Target

    MakeTarget = Callable[..., Target]

LONG = Life(NOW, NOW + timedelta(hours=1), ISSUER, "user-1", "1a2b3c4d")
SHORT = LONG._replace(expires_at=NOW + timedelta(minutes=10))
ACCESS = MintedArtifact(name="access_token")


def build_outcome(error: RefresherError | None = None, life: Life = LONG) -> Outcome:
    """Return a success, or a failure of this kind."""
    result = Result.PUBLISHED if error is None else Result.FAILED
    return Outcome(result=result, life=life, error=error, duration=0.0125)


class Desk:
    """A reporter, one job, and the events that were sent."""

    def __init__(self, target: Target, artifact: MintedArtifact | None = None) -> None:
        self.events: list[Event] = []
        self.reporter = Reporter(self.events.append)
        self.entry = Entry(target=target, artifact=artifact)

    def report(self, outcome: Outcome, entry: Entry | None = None, now: datetime = NOW) -> None:
        """Settle and report an outcome, as the daemon does."""
        entry = entry or self.entry
        former = replace(entry)
        entry.life, entry.former_state = outcome.life, entry.state
        entry.state = None if outcome.state is None else KnownState.from_state(outcome.state)
        entry.failures = entry.failures + 1 if outcome.error else 0
        entry.problem = outcome.error.problem if outcome.error else None
        self.reporter.report(entry, outcome, former, now)
        self.reporter.flush()

    @property
    def names(self) -> list[str]:
        """The names of the events."""
        return [event.name for event in self.events]


def test_publication_is_reported_with_its_facts(target_of: MakeTarget) -> None:
    """A published token is one event with target, supplier, claims, expiry, fingerprint and duration."""
    desk = Desk(target_of())

    desk.report(build_outcome())

    (event,) = desk.events
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


def test_lasting_failure_is_reported_at_doublings(target_of: MakeTarget) -> None:
    """A lasting failure is reported the first time and then at every doubling; its end is reported once."""
    desk = Desk(target_of())

    for _ in range(9):
        desk.report(build_outcome(SupplyError("no", "fix it")))
    counts = [event.fields["failures"] for event in desk.events]
    desk.report(build_outcome())

    assert counts == [1, 2, 4, 8]
    assert desk.names[-2:] == ["token.published", "token.recovered"]


@pytest.mark.parametrize(
    ("artifact", "error", "event"),
    [
        pytest.param(None, SupplyError("p", "r"), "token.supply_failed", id="supply"),
        pytest.param(None, PublishError("p", "r"), "token.publish_failed", id="publish"),
        pytest.param(None, TokenRejectedError("p", "r"), "token.rejected", id="check"),
        pytest.param(ACCESS, build_refusal(ImpersonationError, "p", "r"), "exchange.refused", id="mint"),
        pytest.param(ACCESS, ExchangeError("DNS", "r", retryable=True), "exchange.unanswered", id="no answer"),
        pytest.param(ACCESS, ConfigurationError("proxy", "r"), "exchange.unanswered", id="nothing sent"),
        pytest.param(ACCESS, PublishError("p", "r"), "token.publish_failed", id="publish-artifact"),
    ],
)
def test_each_stage_has_its_event(
    target_of: MakeTarget, artifact: MintedArtifact | None, error: RefresherError, event: str
) -> None:
    """Each stage's failure has its own event, with the remedy."""
    desk = Desk(target_of(), artifact)

    desk.report(build_outcome(error))

    assert desk.names == [event]
    assert desk.events[0].fields["remedy"] == "r"
    assert desk.events[0].fields.get("artifact") == (None if artifact is None else "access_token")


@pytest.mark.parametrize(("artifact", "kind"), [(None, "token"), (ACCESS, "artifact")], ids=["token", "artifact"])
def test_file_that_runs_out_is_reported_once_each(
    target_of: MakeTarget, artifact: MintedArtifact | None, kind: str
) -> None:
    """Overdue and expired are reported once, however often the state is checked, and again after a recovery."""
    desk = Desk(target_of(), artifact)
    desk.entry.life = LONG

    for minutes in (50, 55, 56, 60, 70):
        desk.reporter.watch(desk.entry, NOW + timedelta(minutes=minutes))
    desk.reporter.flush()

    assert desk.names == [f"{kind}.overdue", f"{kind}.expired"]
    desk.entry.failures = 1
    desk.report(build_outcome())
    assert desk.names[-1] == f"{kind}.recovered"
    assert desk.entry.warned is None


def test_directory_that_was_created_again_is_reported(target_of: MakeTarget) -> None:
    """Containers keep the former directory for ever: another inode under the name is a separate event."""
    desk = Desk(target_of())
    first, second = (FileState(1, inode, 0, 0, 0o711, 0, 0) for inode in (10, 11))

    for state in (first, first, second):
        desk.report(replace(build_outcome(), state=(state,)))

    assert desk.names.count("directory.recreated") == 1


@pytest.mark.parametrize(
    ("account", "longest", "life", "count"),
    [
        (None, None, SHORT, 1),
        (None, None, LONG, 0),
        (None, timedelta(hours=1), SHORT, 0),
        ("a@p.iam.gserviceaccount.com", None, SHORT, 0),
    ],
    ids=["direct", "long", "configured", "impersonated"],
)
def test_direct_access_by_short_tokens_is_reported_once(
    target_of: MakeTarget, account: str | None, longest: timedelta | None, life: Life, count: int
) -> None:
    """Tokens that a supplier issues with a short lifetime are reported once, for any number of tokens and targets."""
    one, two = (
        replace(
            target,
            impersonation=replace(target.impersonation, service_account=account),
            expected=replace(target.expected, maximum_lifetime=longest),
        )
        for target in (target_of(), target_of("bob"))
    )
    desk = Desk(one)

    for entry in (desk.entry, Entry(target=two), desk.entry):
        desk.report(build_outcome(life=life), entry)

    reported = [event for event in desk.events if event.name == "token.short_lived"]
    assert len(reported) == count
    assert all("Node" in str(event.fields["error"]) and event.fields["remedy"] for event in reported)


def test_one_cause_is_one_line_for_many_targets(target_of: MakeTarget) -> None:
    """A full disk under a thousand targets is one line with their number, the names of the first, and the remedy."""
    events: list[Event] = []
    reporter = Reporter(events.append)
    for number in range(1000):
        entry = Entry(target=target_of(f"t{number}"), failures=1, next_at=NOW)
        error = PublishError(f"/run/t{number}/token can't be written: No space left on device", "free space")
        reporter.report(entry, build_outcome(error), Entry(target=entry.target), NOW)
    assert events == []

    reporter.flush()
    reporter.flush()

    (event,) = events
    assert event.name == "token.publish_failed"
    assert event.fields == {
        "targets": 1000,
        "first": "t0, t1, t2",
        "error": "/run/t0/token can't be written: No space left on device",
        "remedy": "free space",
        "next_at": "2026-01-01T00:00:00Z",
    }


@pytest.mark.parametrize("happening", ["refused", "overdue", "recovered"])
def test_artifacts_of_many_targets_are_one_line_too(target_of: MakeTarget, happening: str) -> None:
    """While Google does not answer, and when it does again, the artifacts of all targets have one line together."""
    events: list[Event] = []
    reporter = Reporter(events.append)
    for number in range(10):
        former = Entry(target=target_of(f"t{number}"), artifact=ACCESS, life=LONG, failures=happening == "recovered")
        if happening == "overdue":
            reporter.watch(former, NOW + timedelta(minutes=55))
        else:
            error = build_refusal(ImpersonationError, f"t{number}: 403", "wait") if happening == "refused" else None
            outcome = replace(build_outcome(error), result=Result.KEPT)
            reporter.report(replace(former, failures=error is not None), outcome, former, NOW)

    reporter.flush()

    (event,) = events
    assert event.name == ("exchange.refused" if happening == "refused" else f"artifact.{happening}")
    assert (event.fields["targets"], event.fields["first"]) == (10, "t0, t1, t2")


def test_causes_that_differ_have_lines_of_their_own(target_of: MakeTarget) -> None:
    """Failures with different remedies, and a few with the same one, each have their own line with their target."""
    events: list[Event] = []
    reporter = Reporter(events.append)
    for name, remedy in (("alice", "grant a role"), ("bob", "free space"), ("carol", "free space")):
        entry = Entry(target=target_of(name), failures=1, next_at=NOW + timedelta(milliseconds=300))
        reporter.report(entry, build_outcome(PublishError("p", remedy)), Entry(target=entry.target), NOW)

    reporter.flush()

    assert [event.fields["target"] for event in events] == ["alice", "bob", "carol"]
    # rounded up: never before the line itself
    assert {event.fields["next_at"] for event in events} == {"2026-01-01T00:00:01Z"}


@pytest.mark.parametrize(
    "remedy", ["free space", "rm -r {path}; start {path} again", "chown 1 {path}/.target"], ids=["plain", "two", "file"]
)
def test_cause_is_collected_whatever_path_is_in_its_remedy(target_of: MakeTarget, remedy: str) -> None:
    """Targets whose remedies differ by their own paths alone have one cause, and are one line."""
    events: list[Event] = []
    reporter = Reporter(events.append)
    for name in ("alice", "bob", "carol", "dave"):
        entry = Entry(target=target_of(name), failures=1, next_at=NOW)
        error = PublishError("p", remedy.format(path=entry.target.directory.path))
        reporter.report(entry, build_outcome(error), Entry(target=entry.target), NOW)

    reporter.flush()

    assert [(event.fields["targets"], event.fields["first"]) for event in events] == [(4, "alice, bob, carol")]


def test_fault_of_the_root_is_one_line_for_any_number_of_targets(target_of: MakeTarget) -> None:
    """What no target can be blamed for is not reported for each of them."""
    events: list[Event] = []
    reporter = Reporter(events.append)
    for name in ("alice", "bob"):
        entry = Entry(target=target_of(name), failures=1, next_at=NOW)
        reporter.report(entry, build_outcome(UnusableRootError("p", "r")), Entry(target=entry.target), NOW)

    reporter.flush()

    assert [(event.fields["targets"], event.fields["first"]) for event in events] == [(2, "alice, bob")]


def test_lost_record_is_reported_as_the_record(target_of: MakeTarget) -> None:
    """A token that is published again since the record was lost was not changed itself: the record was."""
    desk = Desk(target_of())
    desk.report(build_outcome())

    desk.report(replace(build_outcome(), lacked_record=True))

    (found,) = [event for event in desk.events if event.name == "artifact.tampered"]
    assert found.fields["artifact"] == ".target"
    assert "/.target" in str(found.fields["remedy"])
    assert "/.target; a new one is in place" in str(found.fields["error"])


@pytest.mark.parametrize("name", ["token", "env"])
def test_file_that_the_disk_lost_is_blamed_on_nobody(target_of: MakeTarget, name: str) -> None:
    """A file that could not be read is replaced, and the disk is named, not a process that changed it."""
    desk = Desk(target_of())
    desk.report(build_outcome())

    repaired = () if name == "token" else (name,)
    desk.report(
        replace(build_outcome(), damaged={name: f"{name} can't be read: Input/output error"}, repaired=repaired)
    )

    (found,) = [event for event in desk.events if event.name.startswith("artifact.")]
    assert (found.name, found.fields["artifact"]) == ("artifact.repaired", name)
    assert "Input/output error" in str(found.fields["error"])
    assert "check that disk" in str(found.fields["remedy"])
    assert "find out who" not in str(found.fields["remedy"])


@pytest.mark.parametrize("mode", [0o000, 0o777])
def test_repaired_directory_is_reported_with_its_former_mode(target_of: MakeTarget, mode: int) -> None:
    """A directory that got its mode back is reported, like a file."""
    desk = Desk(target_of())
    for _ in range(2):
        desk.report(replace(build_outcome(), result=Result.KEPT, found_mode=mode))

    assert desk.names == ["artifact.repaired"] * 2
    assert desk.events[1].severity.name == "WARNING"
    assert desk.events[1].fields["artifact"] == "directory"
    assert f"had mode {mode:04o}" in str(desk.events[1].fields["error"])
    assert "find out who" in str(desk.events[1].fields["remedy"])


@pytest.mark.parametrize(("minutes", "count"), [(10, 1), (31, 0)], ids=["fresh", "due"])
def test_token_that_another_process_replaced_is_reported(target_of: MakeTarget, minutes: int, count: int) -> None:
    """A token that is published again while the former one was fresh had been changed; one that was due had not."""
    desk = Desk(target_of())
    desk.report(build_outcome())

    desk.report(build_outcome(), now=NOW + timedelta(minutes=minutes))

    found = [event for event in desk.events if event.name == "artifact.tampered"]
    assert len(found) == count
    assert all(event.fields["artifact"] == "token" and "find out who" in str(event.fields["remedy"]) for event in found)


def test_repair_after_an_edit_is_no_warning(target_of: MakeTarget) -> None:
    """Files that change with the configuration are information; files that another process changed are a warning."""
    desk = Desk(target_of())
    repaired = replace(build_outcome(), result=Result.KEPT, repaired=("env",), state=(FileState(1, 1, 0, 0, 0, 0, 0),))

    for _ in range(2):
        desk.report(repaired)

    assert [event.severity.name for event in desk.events] == ["INFO", "WARNING"]


def test_change_of_the_owner_is_told_from_damage(target_of: MakeTarget) -> None:
    """After an edit of `owner` the files belong to whom it names; later another process changed the owner."""
    target = target_of()
    ownership = Ownership(uid=None, gid=39999, mode=0o440)
    desk = Desk(replace(target, directory=replace(target.directory, ownership=ownership)))
    repaired = replace(build_outcome(), result=Result.KEPT, repaired=("token",), owned=("token",))

    for _ in range(2):
        desk.report(repaired)

    edited, damaged = (str(event.fields["error"]) for event in desk.events)
    path = desk.entry.target.directory.path
    now = "now belongs to the daemon's user and group 39999, with mode 0440, as configured"
    assert edited == f"{path}/token {now}"
    assert damaged == f"another process changed the owner or mode of {path}/token; it {now}"


def test_edit_of_what_running_containers_have_read_is_a_warning(target_of: MakeTarget) -> None:
    """A key that an edit changed is named with the containers to start again; later the same is another process's."""
    desk = Desk(target_of())
    changed = replace(
        build_outcome(),
        result=Result.KEPT,
        repaired=("credentials.json", "env"),
        changed={"env": ("GOOGLE_CLOUD_PROJECT",), "credentials.json": ("credential_source.file",)},
    )

    for _ in range(2):
        desk.report(changed)

    assert desk.names == ["artifact.changed"] * 2 + ["artifact.repaired"] * 2
    first = desk.events[0]
    assert first.severity.name == "WARNING"
    assert (first.fields["artifact"], first.fields["keys"]) == ("env", "GOOGLE_CLOUD_PROJECT")
    assert "keep the former values" in str(first.fields["error"])
    assert str(first.fields["remedy"]).startswith("see first that Google accepts them: refresher wait --exchange ")
    assert "docker ps --filter volume=" in str(first.fields["remedy"])


def refuse(target: Target, artifact: str, failures: int = 1) -> tuple[Entry, Outcome]:
    """Return a job of an artifact that Google refuses for want of an API, and how it ended."""
    error = build_refusal(ImpersonationError, f"{artifact} of {target.name}@p was refused", "enable it")
    error.entry = "disabled"
    return Entry(target=target, artifact=MintedArtifact(name=artifact), failures=failures), build_outcome(error)


def test_one_cause_of_several_artifacts_is_one_line(target_of: MakeTarget) -> None:
    """What one artifact's job has reported is not reported by another one, until that has failed more often."""
    events: list[Event] = []
    reporter = Reporter(events.append)
    target = target_of()

    for failures in (1, 2):
        for artifact in ("access_token", "id_tokens/api"):
            entry, outcome = refuse(target, artifact, failures)
            reporter.report(entry, outcome, replace(entry, failures=failures - 1, problem="p"), NOW)
            reporter.flush()
    entry, outcome = refuse(target, "id_tokens/api", 4)
    reporter.report(entry, outcome, replace(entry, failures=3, problem="p"), NOW)
    reporter.flush()

    assert [(each.fields["artifact"], each.fields["failures"]) for each in events] == [
        ("access_token", 1),
        ("access_token", 2),
        ("id_tokens/api", 4),
    ]


@pytest.mark.parametrize("end", ["recovered", "removed"])
def test_cause_is_news_again_after_a_recovery(target_of: MakeTarget, end: str) -> None:
    """Once a job has recovered, or a target is removed, the cause is reported by any other one."""
    events: list[Event] = []
    reporter = Reporter(events.append)
    target = target_of()
    entry, outcome = refuse(target, "access_token")
    reporter.report(entry, outcome, replace(entry, failures=0), NOW)
    if end == "recovered":
        reporter.report(replace(entry, failures=0), build_outcome(), entry, NOW)
    else:
        reporter.report_targets({"another"}, set())

    entry, outcome = refuse(target, "id_tokens/api")
    reporter.report(entry, outcome, replace(entry, failures=0), NOW)
    reporter.flush()

    refused = [each.fields["artifact"] for each in events if each.name == "exchange.refused"]
    assert refused == ["access_token", "id_tokens/api"]
