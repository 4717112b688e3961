from __future__ import annotations

import shutil
from dataclasses import fields, replace
from datetime import timedelta
from functools import partial
from threading import Event
from typing import TYPE_CHECKING

import pytest

from refresher.engine.daemon import Daemon
from refresher.engine.events import Severity
from refresher.engine.plan import MintedArtifact, Plan
from refresher.engine.reporter import Reporter
from refresher.errors import SupplyError
from refresher.publishing.daemon_lock import RootHeldError
from refresher.publishing.directory import CredentialsDirectory
from refresher.publishing.retirement import Retirement
from tests.fakes import FakeChain, FakeClock, FakeSupplier
from tests.program import until
from tests.tokens import make_jwt

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path
    from typing import Any

    from refresher.engine.plan import Target
    from refresher.publishing.directory import DirectoryState

    MakeTarget = Callable[..., Target]


class LateWorkers:
    """Workers that begin when a test requests it."""

    def __init__(self) -> None:
        self._jobs: list[Callable[[], None]] = []
        self.refuses = False
        self.retained: set[str] = set()

    def submit(self, lane: str, job: Callable[[], None], *, threads: int) -> None:
        """Queue a job."""
        assert lane
        assert threads
        if self.refuses:
            raise RuntimeError("can't start new thread")
        self._jobs.append(job)

    def retain(self, lanes: Collection[str]) -> None:
        """Note which lanes stay."""
        self.retained = set(lanes)

    def work(self) -> None:
        """Run the queued jobs, and those that they queue."""
        while self._jobs:
            self._jobs.pop(0)()


class Stage:
    """A daemon whose plans, workers and clock a test controls."""

    def __init__(self, clock: FakeClock) -> None:
        self.plan: Plan | None = None
        self.refused: Path | None = None
        self.lost: Path | None = None
        self.events: list[str] = []
        self.reserved: list[frozenset[str] | None] = []
        self.kept: list[tuple[frozenset[str], frozenset[str]]] = []
        self.strays: dict[Path, tuple[str, ...]] = {}
        self.fields: list[dict[str, object]] = []
        self.loud: list[str] = []
        self.retiring_fails = False
        self.workers = LateWorkers()
        self.daemon = Daemon(
            plans=self,
            hold=self._hold,
            retire=self._retire,
            workers=self.workers,  # type: ignore[arg-type]  # the same calls, later
            reporter=Reporter(self._hear),
            clock=clock,
            draw=lambda: 0.5,
            patience=0.05,
        )

    def poll(self, *, force: bool, changed: Collection[str] | None = None) -> Plan | None:
        """Return a plan once."""
        plan, self.plan = self.plan, None
        return plan

    def follow(self, target: Target, supplier: FakeSupplier) -> None:
        """Set the plan of the next tick to one target."""
        self.plan = Plan(
            root=target.directory.root,
            targets={target.name: target},
            suppliers={"worker": supplier},
            threads={"worker": 1},
            chain=_no_chain,
        )

    def _retire(
        self,
        root: Path,
        reserved: Collection[str] | None,
        now: object,
        targets: Collection[str],
        identities: Collection[str],
    ) -> Retirement:
        if self.retiring_fails:
            raise OSError(5, "Input/output error")
        self.reserved.append(None if reserved is None else frozenset(reserved))
        self.kept.append((frozenset(targets), frozenset(identities)))
        return Retirement(self.strays.pop(root, ()))

    def _hold(self, root: Path) -> bool:
        if root == self.refused:
            raise RootHeldError("another daemon already publishes there", "stop it")
        was_lost, self.lost = root == self.lost, None
        return was_lost

    def _hear(self, event: Any) -> None:  # noqa: ANN401 - as the reporter sends it
        self.events.append(event.name)
        self.fields.append(dict(event.fields))
        if event.severity >= Severity.WARNING:
            self.loud.append(event.name)

    def find(self, name: str) -> list[dict[str, object]]:
        """Return the fields of all events of a name."""
        return [fields for event, fields in zip(self.events, self.fields, strict=True) if event == name]

    def run(self, ticks: int = 1) -> None:
        """Run so many ticks, each with what it queued."""
        for _ in range(ticks):
            self.daemon.tick()
            self.workers.work()

    def has_after(self, ticks: int, name: str, count: int = 1) -> bool:
        """Run so many ticks, and return whether an event was sent so often by now."""
        self.run(ticks)
        return self.events.count(name) >= count

    def follow_minted(self, target: Target, clock: FakeClock) -> Target:
        """Set the plan of the next tick to a target with an access token, and return it."""
        minted = replace(target, minted=(MintedArtifact(name="access_token"),))
        names = (*target.directory.artifacts, "access_token")
        minted = replace(minted, directory=replace(target.directory, artifacts=names))
        self.follow(minted, FakeSupplier())
        assert self.plan is not None
        self.plan = replace(self.plan, chain=lambda: FakeChain(clock))
        return minted


def _no_chain() -> Any:  # noqa: ANN401 - never called
    raise AssertionError("no target mints")


def unnamed(target: Target, request: str, supplier: str) -> tuple[Target, FakeSupplier]:
    """Return a target whose subject only its supplier knows, and that supplier."""
    target = replace(
        target,
        expected=replace(target.expected, subject=None),
        context=replace(target.context, subject=None),
        record=target.record._replace(fingerprint=request),
    )
    return target, FakeSupplier(fixed=make_jwt(subject=supplier))


@pytest.fixture
def stage(clock: FakeClock) -> Stage:
    """Return a daemon that has not run yet."""
    return Stage(clock)


def test_target_that_waited_meets_no_other_plans_supplier(stage: Stage, target_of: MakeTarget) -> None:
    """A target that is still queued when the plan changes gets no token from the new plan's supplier."""
    alice, hers = unnamed(target_of(), "file of alice", "alice")
    bob, his = unnamed(target_of(account="bob@p.iam.gserviceaccount.com"), "file of bob", "bob")
    stage.follow(alice, hers)
    stage.daemon.tick()
    stage.follow(bob, his)
    stage.daemon.tick()

    stage.workers.work()

    assert (len(hers.contexts), len(his.contexts)) == (0, 1)
    files = {path.name: path.read_bytes() for path in bob.directory.path.iterdir()}
    assert (files["token"], files["credentials.json"]) == ((his.fixed or "").encode(), bob.static["credentials.json"])


def test_plan_for_a_root_of_another_daemon_is_refused(stage: Stage, target_of: MakeTarget, tmp_path: Path) -> None:
    """A plan whose root another daemon has locked is reported once; the earlier plan stays until the root is free."""
    target, supplier = target_of(), FakeSupplier()
    stage.follow(target, supplier)
    stage.daemon.tick()
    stage.workers.work()
    elsewhere = replace(target, directory=replace(target.directory, root=tmp_path / "b"))
    stage.refused = tmp_path / "b"
    stage.follow(elsewhere, supplier)

    stage.daemon.tick()
    stage.workers.work()

    stage.daemon.tick()
    assert stage.events.count("config.rejected") == 1
    assert not (tmp_path / "b").exists()
    assert (target.directory.path / "env").exists()

    stage.refused = None
    stage.daemon.tick()
    stage.workers.work()

    assert (elsewhere.directory.path / "env").exists()


def test_tick_goes_on_after_a_part_that_fails(stage: Stage, target_of: MakeTarget) -> None:
    """A failing chore is reported once, and delays neither this tick's refreshes nor the next tick."""
    stage.retiring_fails = True
    stage.follow(target_of(), FakeSupplier())

    for _ in range(12):
        stage.daemon.tick()
        stage.workers.work()

    assert stage.events.count("daemon.fault") == 1
    assert stage.events.count("token.published") == 1


def test_job_that_cannot_be_queued_is_handed_out_again(stage: Stage, target_of: MakeTarget) -> None:
    """If no thread can start, a tick fails and is reported, and the next one serves every target."""
    stage.follow(target_of(), FakeSupplier())
    stage.workers.refuses = True
    stage.daemon.tick()
    stage.workers.refuses = False

    stage.daemon.tick()
    stage.workers.work()

    assert stage.events.count("daemon.fault") == 1
    assert stage.events.count("token.published") == 1


def test_bug_of_one_job_is_its_failure_alone(stage: Stage, target_of: MakeTarget) -> None:
    """An unexpected exception is that target's failure, reported without its text, and is tried again."""
    supplier = FakeSupplier(failure=ZeroDivisionError("eyJ-secret"))
    stage.follow(target_of(), supplier)
    stage.daemon.tick()
    stage.workers.work()
    stage.daemon.tick()

    assert stage.events.count("token.supply_failed") == 1
    assert "eyJ" not in repr(stage.fields)


def test_nothing_is_retired_while_drop_ins_cannot_be_listed(stage: Stage, target_of: MakeTarget) -> None:
    """If the names of drop-ins are unknown, all names are reserved; otherwise those of targets and drop-ins are."""
    stage.follow(target_of(), FakeSupplier())
    assert stage.plan is not None
    stage.plan = replace(stage.plan, reserved=None)
    stage.daemon.tick()
    nothing = list(stage.reserved)

    stage.follow(target_of(), FakeSupplier())
    assert stage.plan is not None
    stage.plan = replace(stage.plan, reserved=frozenset({"alice", "broken"}), identities=frozenset({"alice"}))
    stage.daemon.tick()

    assert nothing == [None]
    assert stage.reserved == [None, frozenset({"alice", "broken"})]
    assert stage.kept[-1] == (frozenset({"alice"}), frozenset({"alice"}))


def test_refused_configuration_is_reported_at_each_reload_and_never_as_taken_over(
    stage: Stage, target_of: MakeTarget
) -> None:
    """Each refused reload is reported; `config.reloaded` is only for a configuration in force."""
    supplier = FakeSupplier()
    stage.follow(target_of(), supplier)
    stage.daemon.tick()
    for _ in range(2):
        stage.follow(target_of(), supplier)
        assert stage.plan is not None
        stage.plan = replace(stage.plan, is_reloaded=False, refusal=(("the YAML is broken", "fix it"),))
        stage.daemon.tick()
    refused = list(stage.events)
    stage.follow(target_of(), supplier)
    stage.daemon.tick()

    assert refused.count("config.rejected") == 2
    assert refused.count("config.reloaded") == 0
    assert stage.events.count("config.reloaded") == 1


def test_nothing_is_published_below_a_root_that_another_daemon_took(
    stage: Stage, target_of: MakeTarget, clock: FakeClock
) -> None:
    """While the root's lock is another daemon's nothing is renewed and the fault is reported once; then it goes on."""
    target = target_of()
    stage.follow(target, FakeSupplier())
    stage.daemon.tick()
    stage.workers.work()
    stage.refused = target.directory.root
    clock.pass_(timedelta(minutes=40))

    for _ in range(3):
        stage.daemon.tick()
        stage.workers.work()
    meanwhile = stage.events.count("token.published")
    stage.refused = None
    stage.daemon.tick()
    stage.workers.work()

    assert (meanwhile, stage.events.count("token.published")) == (1, 2)
    assert stage.events.count("daemon.fault") == 1


@pytest.mark.parametrize("mode", [0o777, 0o733])
def test_obstacle_that_is_taken_away_is_noticed_at_the_next_tick(
    stage: Stage, target_of: MakeTarget, mode: int
) -> None:
    """A directory that could not be trusted is tried again as soon as it can be, not only after the pause."""
    target = target_of()
    stage.follow(target, FakeSupplier())
    stage.run()
    target.directory.path.chmod(mode)
    stage.run(6)
    assert stage.events.count("token.publish_failed") == 1

    target.directory.path.chmod(0o711)
    stage.run(2)

    assert stage.events.count("token.recovered") == 1


def test_root_that_was_unmounted_is_reported(stage: Stage, target_of: MakeTarget) -> None:
    """A root that had to be taken again is one event with what to do: containers hold the directories of the former."""
    target = target_of()
    stage.follow(target, FakeSupplier())
    stage.daemon.tick()
    stage.lost = target.directory.root

    for _ in range(3):
        stage.daemon.tick()

    (found,) = (fields for fields in stage.fields if fields.get("path") == str(target.directory.root))
    assert "unmounted" in str(found["error"])
    assert "start every container again" in str(found["remedy"])
    assert stage.events.count("directory.recreated") == 1


class HangingDirectory(CredentialsDirectory):
    """A credentials directory on a mount whose server is gone, until it answers again."""

    answers = Event()

    def read_state(self) -> DirectoryState:
        """Wait for the server."""
        self.answers.wait()
        return super().read_state()


@pytest.fixture
def hanging() -> Iterator[Event]:
    """Return an event that makes what hangs go on, set at the end."""
    HangingDirectory.answers = Event()
    yield HangingDirectory.answers
    HangingDirectory.answers.set()


def test_directory_that_hangs_delays_no_other_target(
    stage: Stage, target_of: MakeTarget, clock: FakeClock, hanging: Event
) -> None:
    """A look that does not return keeps no tick, is reported once with what to do, and goes on when it is answered."""
    alice, bob = target_of(), target_of("bob", account="bob@p.iam.gserviceaccount.com")
    place = {each.name: getattr(bob.directory, each.name) for each in fields(bob.directory)}
    bob = replace(bob, directory=HangingDirectory(**place))
    stage.follow(alice, FakeSupplier())
    assert stage.plan is not None
    stage.plan = replace(stage.plan, targets={"alice": alice, "bob": bob})
    stage.run(30)
    clock.pass_(timedelta(minutes=40))

    stage.run(20)
    clock.pass_(timedelta(minutes=1))
    stage.run(2)

    assert len(stage.find("token.published")) == 4
    (fault,) = stage.find("daemon.fault")
    assert str(alice.directory.root) in str(fault["error"])
    assert "does not answer" in str(fault["error"])
    assert "umount --lazy" in str(fault["remedy"])
    hanging.set()
    alice.directory.path.joinpath("env").unlink()
    until(lambda: stage.has_after(5, "artifact.repaired"), what="drift is looked for again")
    assert stage.events.count("daemon.fault") == 1


@pytest.mark.parametrize("part", ["hold", "retire"])
def test_root_that_hangs_keeps_no_tick(
    stage: Stage, target_of: MakeTarget, clock: FakeClock, hanging: Event, part: str
) -> None:
    """While the root hangs nothing is queued below it, and a former one delays nothing; each is one fault."""
    stage.follow(target_of(), FakeSupplier())
    stage.run()
    does = getattr(stage.daemon, part)

    def hang(*arguments: Any) -> Any:  # noqa: ANN401 - as the daemon calls it
        hanging.wait()
        return does(*arguments)

    setattr(stage.daemon, part, hang)
    stage.run(10)
    clock.pass_(timedelta(minutes=40))
    stage.run(10)
    meanwhile = len(stage.find("token.published"))
    hanging.set()

    until(lambda: stage.has_after(1, "token.published", count=2), what="it goes on")

    assert meanwhile == (1 if part == "hold" else 2)
    (fault,) = stage.find("daemon.fault")
    assert "does not answer" in str(fault["error"])


def empty(directory: Path) -> None:
    """Remove the files of a directory, which keeps its inode: another mount's directory may have the same number."""
    for path in directory.iterdir():
        path.unlink()


def edit(directory: Path) -> None:
    """Put other content into a file."""
    (directory / "env").chmod(0o600)
    (directory / "env").write_text("GOOGLE_CLOUD_PROJECT=other\n")


def swap(directory: Path) -> None:
    """Put another directory, with other files, in the place of one."""
    other = directory.with_name("other")
    other.mkdir(mode=0o711)
    (other / "env").write_text("A=b\n")
    shutil.rmtree(directory)
    other.rename(directory)


@pytest.mark.parametrize("change", [empty, edit, swap, shutil.rmtree])
def test_nobody_is_accused_after_a_root_was_mounted_again(
    stage: Stage, target_of: MakeTarget, clock: FakeClock, change: Callable[[Path], None]
) -> None:
    """What a root that was taken again holds is repaired as at a start: the mount differs, and no file was changed."""
    target = stage.follow_minted(target_of(), clock)
    stage.run(3)
    before = {path.name for path in target.directory.path.iterdir()}
    change(target.directory.path)
    stage.lost = target.directory.root
    stage.loud.clear()

    stage.run(12)

    assert {path.name for path in target.directory.path.iterdir()} == before
    assert "artifact.tampered" not in stage.events
    assert "artifact.repaired" not in stage.loud
    assert stage.events.count("directory.recreated") == 1


@pytest.mark.parametrize("change", [empty, edit])
def test_change_below_the_same_root_is_reported_as_one(
    stage: Stage, target_of: MakeTarget, clock: FakeClock, change: Callable[[Path], None]
) -> None:
    """The same changes below a root that was there all the time are a warning."""
    target = stage.follow_minted(target_of(), clock)
    stage.run(3)
    change(target.directory.path)

    stage.run(12)

    assert {"artifact.tampered", "artifact.repaired"} & set(stage.loud)


def test_root_that_was_lost_at_a_reload_is_reported(stage: Stage, target_of: MakeTarget) -> None:
    """A root that is taken again by the tick that loads a configuration is reported as at any other tick."""
    target, supplier = target_of(), FakeSupplier()
    stage.follow(target, supplier)
    stage.run()
    empty(target.directory.path)
    stage.lost = target.directory.root
    stage.follow(target, supplier)

    stage.run(12)

    assert stage.events.count("directory.recreated") == 1
    assert "artifact.tampered" not in stage.events


@pytest.mark.parametrize("change", [shutil.rmtree, swap], ids=["removed", "swapped"])
def test_directory_that_was_replaced_is_no_tampering_of_its_files(
    stage: Stage, target_of: MakeTarget, clock: FakeClock, change: Callable[[Path], None]
) -> None:
    """A directory that another process removed is one event with a remedy; none of its artifacts is accused too."""
    target = stage.follow_minted(target_of(), clock)
    stage.run(3)
    change(target.directory.path)

    stage.run(12)

    (found,) = stage.find("directory.recreated")
    assert f"docker ps --filter volume={target.directory.path}" in str(found["remedy"])
    assert "containers that were started before" in str(found["error"])
    assert "artifact.tampered" not in stage.events
    assert (target.directory.path / "access_token").exists()


def test_warning_of_the_configuration_is_logged_until_it_changes(stage: Stage, target_of: MakeTarget) -> None:
    """Each warning of a plan is logged at the start and at a reload that brings it, and not again while it stays."""
    for warnings in ((("a", "r"),), (("a", "r"),), (("a", "r"), ("b", "r")), (), (("a", "r"),)):
        stage.follow(target_of(), FakeSupplier())
        assert stage.plan is not None
        stage.plan = replace(stage.plan, list_warnings=partial(tuple, warnings))
        stage.run()

    assert [fields["error"] for fields in stage.find("config.warning")] == ["a", "b", "a"]
    assert stage.loud.count("config.warning") == 3


def test_former_root_is_retired_and_delays_nothing(stage: Stage, target_of: MakeTarget, tmp_path: Path) -> None:
    """After a change of root the directories in the former are retired; one that another daemon took is left alone."""
    target, supplier = target_of(), FakeSupplier()
    former = target.directory.root
    former.mkdir()
    stage.follow(target, supplier)
    stage.daemon.tick()
    stage.follow(replace(target, directory=replace(target.directory, root=tmp_path / "b")), supplier)
    stage.strays[former] = ("alice",)
    stage.daemon.tick()
    stage.workers.work()
    stage.refused = former

    for _ in range(10):
        stage.daemon.tick()

    retired = [fields for name, fields in zip(stage.events, stage.fields, strict=True) if name == "target.retired"]
    assert retired == [{"target": "alice", "path": str(former / "alice")}]
    assert (tmp_path / "b" / "alice" / "env").exists()
    assert stage.events.count("daemon.fault") == 1


def test_supplier_that_is_gone_keeps_no_lane(stage: Stage, target_of: MakeTarget) -> None:
    """After a change of the plan only the lanes of its own jobs stay."""
    target, supplier = target_of(), FakeSupplier()
    stage.follow(target, supplier)
    stage.daemon.tick()
    assert stage.workers.retained == {"worker", ":keys", ":canary"}

    stage.follow(replace(target, supplier="other"), supplier)
    stage.daemon.tick()

    assert stage.workers.retained == {"other", ":keys", ":canary"}


def test_each_requested_reload_reports_again_what_is_refused(stage: Stage, target_of: MakeTarget) -> None:
    """A drop-in that stays broken is reported once, and again at each reload that an operator asks for."""
    target, supplier = target_of(), FakeSupplier()

    def count_rejections(*, is_asked: bool) -> int:
        stage.follow(target, supplier)
        assert stage.plan is not None
        stage.plan = replace(stage.plan, complaints=(("task.yaml:1:1: broken", "fix it"),))
        before = stage.events.count("config.rejected")
        if is_asked:
            stage.daemon.ask_reload()
        stage.daemon.tick()
        return stage.events.count("config.rejected") - before

    assert [count_rejections(is_asked=is_asked) for is_asked in (False, False, True, False, True)] == [1, 0, 1, 0, 1]


def test_recovery_is_reported_before_the_target_is_removed(
    stage: Stage, target_of: MakeTarget, clock: FakeClock
) -> None:
    """What a job did is sent before its target's `target.removed`, never after it."""
    target, supplier = target_of(), FakeSupplier(failure=SupplyError("the issuer is down", "start it"))
    stage.follow(target, supplier)
    stage.run()
    supplier.failure = None
    clock.pass_(timedelta(minutes=5))
    stage.run()
    stage.follow(target, supplier)
    assert stage.plan is not None
    stage.plan = replace(stage.plan, targets={})
    stage.run(2)

    assert [name for name in stage.events if name in ("token.recovered", "target.removed")] == [
        "token.recovered",
        "target.removed",
    ]


@pytest.mark.parametrize(("siblings", "supplies"), [(0, 2), (1, 1)])
def test_token_is_kept_in_memory_only_for_targets_that_can_share_it(
    stage: Stage, target_of: MakeTarget, siblings: int, supplies: int
) -> None:
    """A token file that was removed gets the token in memory if its identity has another target, else a new one."""
    targets = [target_of(), *(replace(target_of("two"), context=target_of().context) for _ in range(siblings))]
    supplier = FakeSupplier()
    stage.follow(targets[0], supplier)
    assert stage.plan is not None
    stage.plan = replace(stage.plan, targets={target.name: target for target in targets})
    stage.run()

    (targets[0].directory.path / "token").unlink()
    until(lambda: stage.has_after(5, "token.published", 2 + siblings), what="the token is there again")

    assert len(supplier.contexts) == supplies
