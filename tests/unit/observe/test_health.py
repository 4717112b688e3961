from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refresher.engine.artifacts import compute_request
from refresher.engine.plan import MintedArtifact
from refresher.engine.refresh import Refresher
from refresher.metadata.plan import EndpointPlan, Facts
from refresher.metadata.wanted import Wanted
from refresher.observe.health import ArtifactHealth, TargetHealth, build_artifact, examine
from refresher.observe.report import as_document, as_report
from refresher.policy import State
from refresher.publishing.artifacts import RECORD
from refresher.publishing.contents import describe, render_descriptions
from refresher.publishing.daemon_lock import held_roots
from refresher.tokens import peek
from refresher.users import DaemonUser
from tests.fakes import FakeChain, FakeSupplier
from tests.tokens import NOW, make_jwt
from tests.unit.engine.conftest import clock, supplier, target_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from refresher.engine.plan import Target
    from tests.conftest import Need
    from tests.fakes import FakeChain, FakeClock

    MakeTarget = Callable[..., Target]

__all__ = ["clock", "supplier", "target_of"]

HOUR = timedelta(hours=1)
ACCESS = MintedArtifact(name="access_token")


@pytest.fixture
def alice(target_of: MakeTarget, clock: FakeClock) -> Target:
    """Return a target with everything published that needs no Google."""
    target = target_of(boto=True)
    refresher = Refresher(suppliers={"worker": FakeSupplier()}, chain=lambda: FakeChain(clock), clock=clock)
    assert refresher.refresh(target, first=True).error is None
    return target


def write(path: Path, content: bytes) -> None:
    """Replace a file's content and keep its mode."""
    path.chmod(0o600)
    path.write_bytes(content)
    path.chmod(0o400)


AGES = {
    "fresh": (timedelta(0), State.FRESH, True, HOUR),
    "due": (timedelta(minutes=31), State.DUE, True, timedelta(minutes=29)),
    "overdue": (timedelta(minutes=54), State.OVERDUE, False, timedelta(minutes=6)),
    "expired": (timedelta(minutes=60), State.EXPIRED, False, timedelta(0)),
}


@pytest.mark.parametrize(("age", "state", "is_ready", "runway"), AGES.values(), ids=list(AGES))
def test_age_decides_the_state(
    alice: Target, age: timedelta, state: State, runway: timedelta, *, is_ready: bool
) -> None:
    """A published token is fresh, due, overdue and expired in turn; the first two are ready."""
    health = examine(alice, NOW + age)

    assert (health.state, health.find_shortage() is None, health.runway) == (state, is_ready, runway)
    assert (health.problem is None) is is_ready
    assert (health.remedy is None) is is_ready


def spoil_token(place: Path) -> None:
    """Put text into the token file."""
    write(place / "token", b"rubbish")


def put_foreign_token(place: Path) -> None:
    """Put a token of another subject into the token file."""
    write(place / "token", make_jwt(subject="user-2").encode())


def put_future_token(place: Path) -> None:
    """Put a token into the file that was issued later than now."""
    write(place / "token", make_jwt(issued_at=NOW + timedelta(minutes=20)).encode())


BOBS = b'{"version": 1, "target": "alice", "identity": "bob", "fingerprint": ""}'
HARMS: dict[str, tuple[Callable[[Path], object], State, str]] = {
    "token gone": (lambda place: (place / "token").unlink(), State.ABSENT, "is absent"),
    "token spoilt": (spoil_token, State.UNREADABLE, "is unreadable"),
    "token of another subject": (put_foreign_token, State.FOREIGN, "sub is 'user-2', not 'user-1'"),
    "token from the future": (put_future_token, State.DUE, "was issued in the future"),
    "env gone": (lambda place: (place / "env").unlink(), State.FRESH, "env is absent"),
    "env changed": (lambda place: write(place / "env", b"A=b\n"), State.FRESH, "env has another content"),
    "mode changed": (lambda place: (place / "credentials.json").chmod(0o444), State.FRESH, "has another owner or mode"),
    "record gone": (lambda place: (place / RECORD).unlink(), State.FOREIGN, "has no target record"),
    "record of another": (
        lambda place: (place / RECORD).write_bytes(BOBS),
        State.FOREIGN,
        "is of identity bob",
    ),
    "newer record": (
        lambda place: (place / RECORD).write_bytes(BOBS.replace(b'"version": 1', b'"version": 2')),
        State.FOREIGN,
        "later version",
    ),
    "others can write": (lambda place: place.chmod(0o777), State.UNREADABLE, "others can write to"),
}  # fmt: skip


@pytest.mark.parametrize(("harm", "state", "problem"), HARMS.values(), ids=list(HARMS))
def test_harm_is_a_problem_with_a_remedy(
    alice: Target, harm: Callable[[Path], object], state: State, problem: str
) -> None:
    """Every fault of the files is reported with a remedy, and the target is not ready."""
    harm(alice.directory.path)

    health = examine(alice, NOW)

    assert health.state is state
    assert problem in (health.problem or "")
    assert health.remedy
    assert health.find_shortage() is not None


def test_user_who_may_not_read_the_record_judges_the_files_alone(alice: Target, need: Need) -> None:
    """An operator who is neither root nor the daemon sees the files' state, and that ownership was not checked."""
    need.root()
    above = Path(tempfile.gettempdir())
    for path in (alice.directory.path, *alice.directory.path.parents):
        if path.is_relative_to(above) and path != above:
            path.chmod(path.stat().st_mode | 0o011)
    for path in alice.directory.path.iterdir():
        if path.name != RECORD:
            path.chmod(0o444)
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.setgroups([])
        os.setresgid(54_321, 54_321, 54_321)
        os.setresuid(54_321, 54_321, 54_321)
        health = examine(alice, NOW)
        os.write(writer, f"{health.state} {health.note}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)

    assert os.read(reader, 200).decode().startswith("fresh ownership not checked")
    os.close(reader)


def test_root_judges_the_files_of_another_user_s_daemon(alice: Target, need: Need) -> None:
    """Files that belong to the daemon's user are as configured for root, who may run `status` and `wait` as well."""
    need.root()
    root = alice.directory.root
    for path in (root, *root.rglob("*")):
        os.chown(path, 65534, 65534)

    health = examine(alice, NOW)

    assert (health.state, health.problem) == (State.FRESH, None)
    assert {artifact.name: artifact.state for artifact in health.artifacts}["boto"] is State.FRESH


@pytest.mark.parametrize("mode", [0o000, 0o644])
def test_minted_artifact_of_another_mode_does_not_serve(alice: Target, mode: int) -> None:
    """An access token that its container may not read, or that others may, makes the target not ready."""
    target, content = replace(alice, minted=(ACCESS,)), b"ya29.alice"
    request = compute_request(ACCESS, target.impersonation)
    described = describe(content, NOW, NOW + HOUR, request)
    for name, written in (("artifacts.json", render_descriptions({"access_token": described})), (ACCESS.name, content)):
        (alice.directory.path / name).write_bytes(written)
        (alice.directory.path / name).chmod(0o400)
    assert examine(target, NOW).artifacts[0].problem is None

    (alice.directory.path / "access_token").chmod(mode)

    assert examine(target, NOW).artifacts[0].problem is not None


def test_optional_artifacts_have_states_of_their_own(alice: Target) -> None:
    """An artifact that is absent or changed makes the target not ready; asked for others alone, it is ready."""
    write(alice.directory.path / "boto", b"changed")

    health = examine(replace(alice, minted=(ACCESS,)), NOW)

    assert {each.name: each.state for each in health.artifacts} == {
        "access_token": State.ABSENT,
        "boto": State.FOREIGN,
    }
    assert all(each.problem and each.remedy for each in health.artifacts)
    assert health.find_shortage() == (health.artifacts[0].problem, health.artifacts[0].remedy)
    assert "boto of target alice is not what" in str(health.find_shortage(artifacts=["boto"]))
    assert health.find_shortage(artifacts=["token"]) is None


@pytest.mark.parametrize(("asked", "is_ready"), [(timedelta(minutes=59), True), (HOUR, False)])
def test_more_validity_can_be_asked_for(alice: Target, asked: timedelta, *, is_ready: bool) -> None:
    """A caller can require more remaining lifetime than the minimum validity."""
    assert (examine(alice, NOW).find_shortage(asked) is None) is is_ready


def build_health(state: State, problem: str | None) -> TargetHealth:
    """Return a verdict with nothing in its files."""
    return TargetHealth(
        name="alice", state=state, token=None, artifacts=(), path="/t", runway=HOUR, problem=problem, remedy=problem
    )


@pytest.mark.parametrize(
    ("verdicts", "is_empty_fine", "problems", "is_ready"),
    [
        pytest.param([], False, [], False, id="no targets"),
        pytest.param([], True, [], True, id="empty node"),
        pytest.param([build_health(State.ABSENT, "absent")], True, [], False, id="one not ready"),
        pytest.param([], True, ["a drop-in"], False, id="a drop-in that is left out"),
    ],
)
def test_report_is_ready_when_every_target_is(
    verdicts: list[TargetHealth], problems: list[str], *, is_empty_fine: bool, is_ready: bool
) -> None:
    """A node is ready if all its targets are, none is left out, and it has some or may get them by drop-ins."""
    assert as_report(verdicts, NOW, is_empty_fine=is_empty_fine, problems=problems)["ready"] is is_ready


def test_document_shows_claims_and_no_token(alice: Target) -> None:
    """`status --json` shows issuer, subject and expiry, and no secret."""
    document = as_document(examine(alice, NOW + timedelta(minutes=10)), NOW + timedelta(minutes=10))

    assert (document["subject"], document["expires_at"]) == ("user-1", "2026-01-01T01:00:00Z")
    assert (document["remaining_seconds"], document["runway_seconds"]) == (3000, 3000)
    assert "eyJ" not in str(document)


def build_ready(*artifacts: ArtifactHealth, runway: timedelta = HOUR) -> TargetHealth:
    """Return a verdict on a token of an hour, with this much of it left."""
    return TargetHealth(
        name="alice",
        state=State.FRESH,
        token=peek(make_jwt()),
        artifacts=artifacts,
        path="/t",
        runway=runway,
        problem=None,
        remedy=None,
    )


SHORTAGES: dict[str, tuple[timedelta, timedelta | None, str, str]] = {
    "life": (timedelta(minutes=5), None, "has 5 min left, not 6 min", "--min-validity"),
    "asked life": (HOUR, timedelta(hours=2), "has 1 h left, not 2 h", "--min-validity"),
}


@pytest.mark.parametrize(("runway", "asked", "problem", "remedy"), SHORTAGES.values(), ids=list(SHORTAGES))
def test_short_life_has_a_reason_and_a_remedy(
    runway: timedelta, asked: timedelta | None, problem: str, remedy: str
) -> None:
    """What a client lacks is written with durations for people."""
    found = build_ready(runway=runway).find_shortage(asked)

    assert found is not None
    assert problem in found[0]
    assert remedy in found[1]


ARTIFACTS: dict[str, tuple[str, State, int | None, str]] = {
    "absent": (
        "access_token",
        State.ABSENT,
        None,
        "is absent: it is not minted yet, or Google refuses it or can't be asked",
    ),
    "foreign": ("id_tokens/api", State.FOREIGN, 30, "is not what the configuration asks for now"),
    "expired": ("access_token", State.EXPIRED, 0, "access_token of target alice has expired"),
    "overdue": ("access_token", State.OVERDUE, 2, "has only 2 min left"),
    "unreadable": ("access_token", State.UNREADABLE, 30, "can't be read"),
    "static": ("boto", State.FOREIGN, None, "boto of target alice is not what"),
}


@pytest.mark.parametrize(("name", "state", "minutes", "problem"), ARTIFACTS.values(), ids=list(ARTIFACTS))
def test_artifact_that_does_not_serve_has_a_problem_and_a_remedy(
    alice: Target, name: str, state: State, minutes: int | None, problem: str
) -> None:
    """Each artifact shows what is wrong with it; the remedy fits its kind, and promises no daemon that is not there."""
    end = None if minutes is None else NOW + timedelta(minutes=minutes)

    artifact = build_artifact(alice.directory, name, state, NOW, end)

    assert problem in (artifact.problem or "")
    assert "start the daemon" in (artifact.remedy or "")
    assert ("`refresher once alice`, which shows what Google" in (artifact.remedy or "")) is (name != "boto")
    assert "the daemon tries again" not in (artifact.remedy or "")
    with held_roots() as hold:
        hold(alice.directory.root)
        beside = build_artifact(alice.directory, name, state, NOW, end).remedy or ""
    assert ("run `refresher doctor alice`, which asks Google and shows its answer" in beside) is (name != "boto")
    assert "wait" not in beside  # it would show this very remedy
    assert ("the daemon tries again within five minutes" in beside) is (name != "boto")
    assert "start the daemon" not in beside


def test_good_artifacts_are_no_shortage(alice: Target) -> None:
    """A target with a good token and good artifacts lacks nothing, unless more life is asked for than one has."""
    artifacts = [
        build_artifact(alice.directory, "access_token", State.DUE, NOW, NOW + timedelta(minutes=20)),
        build_artifact(alice.directory, "boto", State.FRESH, NOW),
    ]
    health = build_ready(*artifacts)

    assert health.find_shortage() is None
    assert health.find_shortage(timedelta(minutes=40), ["boto"]) is None
    assert "access_token of target alice has 20 min left, not 40 min" in str(
        health.find_shortage(timedelta(minutes=40))
    )


def test_record_of_a_later_version_has_the_remedy_of_its_own(alice: Target) -> None:
    """What a later version wrote is not a question for the daemon's log: the remedy is that version."""
    (alice.directory.path / RECORD).write_bytes(BOBS.replace(b'"version": 1', b'"version": 2'))

    health = examine(alice, NOW)

    assert (health.state, health.runway) == (State.FOREIGN, timedelta(0))
    assert "run that version" in (health.remedy or "")


@pytest.mark.parametrize("owner", [0, 54_321])
def test_remedy_shows_as_whom_once_has_to_run(alice: Target, need: Need, owner: int) -> None:
    """Root is not sent to a command that only the daemon's user may run: the lock shows who that is."""
    need.root()
    for path in (alice.directory.root, *alice.directory.root.rglob("*")):
        os.chown(path, owner, owner)
    (alice.directory.path / "token").unlink()

    daemon = DaemonUser(owner, owner, options="--config /etc/r.yaml")

    remedy = examine(alice, NOW, daemon).remedy or ""
    artifact = build_artifact(alice.directory, "access_token", State.ABSENT, NOW, None, daemon).remedy or ""

    for text in (remedy, artifact):
        assert "refresher once" in text
        assert "--config /etc/r.yaml`" in text
        assert ("run `setpriv --reuid=54321 --regid=54321 " in text) is (owner == 54_321)


@pytest.mark.parametrize("is_gone", [True, False], ids=["removed", "unmounted"])
def test_lost_root_is_the_problem_and_its_remedy_creates_it_for_the_daemon(
    alice: Target, need: Need, *, is_gone: bool
) -> None:
    """A root that is gone, or root's own mount point, is the problem; the remedy makes it the daemon's."""
    need.root()
    alice.directory.root.rename(alice.directory.root.with_name("elsewhere"))
    if not is_gone:
        alice.directory.root.mkdir(mode=0o755)
    daemon = DaemonUser(54_321, 54_321, options="--config /etc/r.yaml")

    health = examine(alice, NOW, daemon)

    assert f"directory_root {alice.directory.root}" in (health.problem or "")
    assert f"as root: install -d -o 54321 -m 0755 {alice.directory.root}" in (health.remedy or "")
    assert "setpriv --reuid=54321 " in (health.remedy or "")
    assert "refresher once --config /etc/r.yaml`" in (health.remedy or "")


def test_absent_directory_of_root_is_not_a_question_of_rights(alice: Target) -> None:
    """Where there is no directory nothing was left unchecked, so there is no note."""
    alice.directory.path.rename(alice.directory.path.with_name("elsewhere"))

    assert examine(alice, NOW).note is None


@pytest.mark.parametrize("is_running", [True, False], ids=["daemon", "no daemon"])
def test_remedy_depends_on_whether_a_daemon_runs(alice: Target, *, is_running: bool) -> None:
    """With a daemon its log shows the cause; without one the remedy is to start it."""
    (alice.directory.path / "token").unlink()

    with held_roots() as hold:
        if is_running:
            hold(alice.directory.root)
        remedy = examine(alice, NOW).remedy or ""

    assert ("read the daemon's log" in remedy) is is_running
    assert ("start the daemon" in remedy) is not is_running


def test_directory_in_the_place_of_a_file_is_to_be_removed_first(alice: Target) -> None:
    """No one can replace a directory by a file: the remedy removes it before the daemon, or `once`, writes again."""
    for name in ("env", "token"):
        (alice.directory.path / name).unlink()
        (alice.directory.path / name).mkdir()

        assert (examine(alice, NOW).remedy or "").startswith(
            f"remove what is in the way: rm -r {alice.directory.path / name};"
        )


def test_lock_of_root_does_not_make_a_healthy_target_foreign(alice: Target, need: Need) -> None:
    """A lock that was given to root is the fault, and its owner the remedy: no directory is to be removed for it."""
    need.root()
    for path in (alice.directory.root, *alice.directory.root.rglob("*")):
        os.chown(path, 54_321, 54_321)
    lock = alice.directory.root / ".lock"
    lock.touch()
    os.chown(lock, 0, 0)

    health = examine(alice, NOW)

    assert (health.state, health.problem) == (State.FRESH, None)
    assert f"chown 54321 {lock}" in (health.note or "")


def test_absent_root_is_reported_as_such(alice: Target) -> None:
    """Without its directory_root a target is absent, and the problem is the root, which may be an unmounted one."""
    alice.directory.root.rename(alice.directory.root.with_name("elsewhere"))

    health = examine(alice, NOW)

    assert health.state is State.ABSENT
    assert f"directory_root {alice.directory.root} does not exist" in (health.problem or "")
    assert "was a mount, mount it again; a daemon that runs goes on by itself" in (health.remedy or "")


def test_env_that_waits_for_the_listener_shows_what_is_not_open(alice: Target, clock: FakeClock) -> None:
    """A target whose namespace is not there is not ready, and the namespace is named."""
    facts = Facts(name="alice", email="alice@p.iam.gserviceaccount.com", scopes=())
    wanted = Wanted("/run/netns/alice", 8174, link_local=False)
    target = replace(alice, metadata=EndpointPlan(facts=facts, wanted=wanted, minted_for=""))
    (alice.directory.path / "env").unlink()

    found = examine(target, clock.now())

    assert str(found.problem).endswith("env is absent: the metadata endpoint in /run/netns/alice is not open")
    assert "metadata.closed" in str(found.remedy)
