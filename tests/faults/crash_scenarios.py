"""What the program does to files, and what must hold of them: for `tests.faults.crash_points`."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from refresher import targets
from refresher.app.plans import ConfiguredPlans
from refresher.app.programs import refresh_once
from refresher.config.loader import load
from refresher.engine.daemon import Daemon
from refresher.engine.reporter import Reporter
from refresher.engine.workers import Workers
from refresher.errors import RefresherError
from refresher.keys import directory as keys
from refresher.keys.registry import KeyState, list_keys
from refresher.publishing.daemon_lock import held_roots
from refresher.publishing.retirement import retire_strays
from refresher.tokens import peek
from tests.fakes import FakeClock
from tests.program import Worker, account_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

LATER = timedelta(minutes=20)
"""Longer than a removed target keeps its files."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Something that the program does to files.

    Attributes:
        name: What it is called.
        prepare: Sets the state up in which it begins.
        work: Does it, in a process of its own that is ended, or in which a call fails.
        check: Yields what is wrong with what is left.
        check_error: The same after an error, if that is another: a file that can't be withdrawn keeps no other one.
        start: The next start.
        final: Yields what is wrong after it.
        former: The name of a directory that a container holds since before the work, and must never show another's.
    """

    name: str
    prepare: Callable[[Worker], None]
    work: Callable[[Worker], None]
    check: Callable[[Worker], Iterator[str]]
    final: Callable[[Worker], Iterator[str]]
    start: Callable[[Worker], None]
    check_error: Callable[[Worker], Iterator[str]] | None = None
    former: str | None = None


def once(worker: Worker, *, force: bool = False) -> None:
    """Refresh every target as `refresher once` does."""
    loaded = load(worker.configuration)
    refresh_once(loaded, list(loaded.targets), force=force)


def start_daemon(worker: Worker, *, later: timedelta = timedelta()) -> None:
    """Start a daemon and let it tick until every directory was seen; then again `later`."""
    workers, clock = Workers(), FakeClock(datetime.now(UTC))
    with held_roots() as hold:
        daemon = Daemon(
            plans=ConfiguredPlans(worker.configuration, load(worker.configuration)),
            hold=hold,
            retire=retire_strays,
            workers=workers,
            reporter=Reporter(lambda _: None),
            clock=clock,
            draw=lambda: 0.5,
        )
        for duration in (timedelta(), later, later):
            clock.pass_(duration)
            for _ in range(3):
                daemon.tick()
                clock.pass_(timedelta(seconds=2))
                if not workers.wait(20):
                    raise AssertionError("a job never ends")


def start_later(worker: Worker) -> None:
    """Start a daemon, and let the grace of removed targets pass twice."""
    start_daemon(worker, later=LATER)


def configure(worker: Worker, identity: str = "alice", *, subject: str = "", names: Sequence[str] = ("work",)) -> None:
    """Write a configuration of targets of one identity."""
    account = f"{subject or identity}-account"
    described = {"service_account": account_of(account), "subject": f"user-{subject or identity}"}
    worker.drop_ins.mkdir(mode=0o755, exist_ok=True)
    worker.configure(
        identities={identity: described},
        targets={name: {"identity": identity, "artifacts": {"boto": True}} for name in names},
        targets_directory=str(worker.drop_ins),
    )


def publish(worker: Worker) -> None:
    """Publish everything for alice."""
    configure(worker)
    once(worker)


def edit_identity(worker: Worker) -> None:
    """Publish for alice, whose subject and account are then others."""
    publish(worker)
    configure(worker, subject="carol")


def change_identity(worker: Worker) -> None:
    """Publish for alice, and hand the target to bob."""
    publish(worker)
    configure(worker, "bob")


def forget_record(worker: Worker) -> None:
    """Publish for alice as a version without target records did."""
    publish(worker)
    (worker.directory("work") / ".target").unlink()


def remove_target(worker: Worker) -> None:
    """Publish two targets, of which one is removed then."""
    configure(worker, names=("work", "gone"))
    once(worker)
    configure(worker)


def remove_env(worker: Worker) -> None:
    """Publish two targets, of which one was removed long ago, but for its files."""
    remove_target(worker)
    retire_strays(worker.root, {"work"}, datetime.now(UTC))


def prepare_key(worker: Worker) -> None:
    """Publish for alice, and add the next key."""
    publish(worker)
    keys.rotate(worker.place / "keys", algorithm=None, now=datetime.now(UTC))


def retire_key(worker: Worker) -> None:
    """Publish for alice, with a former key whose tokens have expired."""
    publish(worker)
    then = datetime.now(UTC) - timedelta(days=2)
    keys.rotate(worker.place / "keys", algorithm=None, now=then)
    keys.activate(worker.place / "keys", None, lifetime=timedelta(hours=1), now=then)
    once(worker)


def add_drop_in(worker: Worker) -> None:
    """Publish for alice, and for a drop-in of the same identity."""
    publish(worker)
    targets.add("extra", config=worker.configuration, identity="alice")
    once(worker)


def check_directory(place: Path, subject: str | None = None, *, is_complete: bool = True) -> Iterator[str]:
    """Yield what is wrong with the files of a directory, for a container that has it mounted.

    Without `subject` they may be of any identity, but all of the same. With `is_complete`, `env` means that all is
    there, and a token that it can be used.
    """
    names = set(os.listdir(place))
    contents = {name: (place / name).read_text() for name in names & {"token", "credentials.json", "env", "boto"}}
    if is_complete and "env" in names and not {"token", "credentials.json"} <= names:
        yield f"{place.name} has env and only {sorted(names)}"
    if is_complete and "token" in names and "credentials.json" not in names:
        yield f"{place.name} has a token without credentials.json"
    seen = set()
    if "token" in contents:
        claims = peek(contents["token"]).unverified_claims
        if claims is None or len(contents["token"].rpartition(".")[2]) != 86:
            yield f"{place.name}/token is torn"
        else:
            seen.add(str(claims.subject).removeprefix("user-"))
    if "credentials.json" in contents:
        document = json.loads(contents["credentials.json"])
        url = document["service_account_impersonation_url"]
        seen.add(url.rpartition("/")[2].partition("-account@")[0])
    if len(seen) > 1 or (subject is not None and seen - {subject}):
        yield f"{place.name} has files of {sorted(seen)}"
    if "env" in contents and not contents["env"].endswith("\n"):
        yield f"{place.name}/env is torn"


def check_all(worker: Worker, *, is_complete: bool = True) -> Iterator[str]:
    """Yield what is wrong with any directory that a container can have mounted."""
    if worker.root.exists():
        for place in worker.root.iterdir():
            if place.is_dir() and not place.name.startswith("."):
                yield from check_directory(place, is_complete=is_complete)


def check_owners(worker: Worker) -> Iterator[str]:
    """Yield which directory shows files of two identities."""
    yield from check_all(worker, is_complete=False)


def check_work_stays(worker: Worker) -> Iterator[str]:
    """Yield what is wrong with a target that was published and is only refreshed."""
    yield from check_all(worker)
    missing = {"token", "credentials.json", "env", "boto"} - set(os.listdir(worker.directory("work")))
    if missing:
        yield f"work lost {sorted(missing)}"


def check_keys(worker: Worker) -> Iterator[str]:
    """Yield what is wrong with the keys, and with a target that uses them."""
    yield from check_work_stays(worker)
    records = list_keys(worker.place / "keys")
    if [record.state for record in records].count(KeyState.ACTIVE) != 1:
        yield f"the keys are {[record.state for record in records]}"
    keys.read_jwks(worker.place / "keys")


def list_leftovers(worker: Worker) -> Iterator[str]:
    """Yield what no one needs: temporary files and directories, keys that `keys.json` does not name."""
    for path in worker.place.rglob("*"):
        name = path.name
        if name.startswith(".") and name not in {".lock", ".target", ".control"}:
            yield f"{path.relative_to(worker.place)} is left"
    known = {record.kid for record in list_keys(worker.place / "keys") if record.state is not KeyState.GONE}
    for path in (worker.place / "keys").glob("*.pem"):
        if path.stem not in known:
            yield f"keys/{path.name} is left"


def check_final(worker: Worker, subject: str = "alice", *, others: Sequence[str] = ()) -> Iterator[str]:
    """Yield what is wrong after the next start: each target has everything, no other directory is left."""
    yield from check_all(worker)
    expected = {"work", *others}
    found = {place.name for place in worker.root.iterdir() if not place.name.startswith(".")}
    if found != expected:
        yield f"the root holds {sorted(found)}"
    for name in expected & found:
        place = worker.directory(name)
        wanted = {".target", "token", "credentials.json", "env"} | ({"boto"} if name == "work" else set())
        if set(os.listdir(place)) != wanted:
            yield f"{name} holds {sorted(os.listdir(place))}"
        yield from check_directory(place, subject)
        if stat.S_IMODE(place.stat().st_mode) != 0o711:
            yield f"{name} has mode {stat.S_IMODE(place.stat().st_mode):04o}"
    yield from list_leftovers(worker)


def finish_keys(worker: Worker) -> Iterator[str]:
    """Yield what is wrong with keys and targets after the next change of the keys, which is allowed or refused."""
    now = datetime.now(UTC) + timedelta(days=3)
    try:
        keys.rotate(worker.place / "keys", algorithm=None, now=now)
    except RefresherError:
        keys.activate(worker.place / "keys", None, lifetime=timedelta(hours=1), now=now)
    yield from check_keys(worker)
    yield from check_final(worker)


def age_leftovers(worker: Worker) -> None:
    """Make what a run left in the drop-in directory older than any run that may still write there."""
    for path in worker.drop_ins.glob(".*"):
        os.utime(path, (0, 0))


def finish_addition(worker: Worker) -> Iterator[str]:
    """Yield what is wrong once the scheduler has added its target again, and removed another."""
    age_leftovers(worker)
    targets.add("extra", config=worker.configuration, identity="alice")
    targets.remove("absent", config=worker.configuration)
    start_daemon(worker)
    yield from check_final(worker, others=["extra"])


def finish_removal(worker: Worker) -> Iterator[str]:
    """Yield what is wrong once the scheduler has removed its target again."""
    age_leftovers(worker)
    targets.remove("extra", config=worker.configuration)
    start_later(worker)
    yield from check_final(worker)


def replace_drop_in(worker: Worker) -> None:
    """Overwrite a drop-in."""
    targets.add("extra", config=worker.configuration, identity="alice", container_directory="/run/google", replace=True)


def retire_now(worker: Worker) -> None:
    """Retire what belongs to no target."""
    retire_strays(worker.root, {"work"}, datetime.now(UTC))


def retire_later(worker: Worker) -> None:
    """Retire what belongs to no target, after the grace."""
    retire_strays(worker.root, {"work"}, datetime.now(UTC) + LATER)


def change_keys(change: Callable[[Path], object]) -> Callable[[Worker], None]:
    """Return the work that changes the keys of a worker."""

    def work(worker: Worker) -> None:
        change(worker.place / "keys")

    return work


_ROTATE = change_keys(lambda place: keys.rotate(place, algorithm=None, now=datetime.now(UTC)))
_ACTIVATE = change_keys(lambda place: keys.activate(place, None, lifetime=timedelta(hours=1), now=datetime.now(UTC)))
_RETIRE = change_keys(lambda place: keys.retire(place, now=datetime.now(UTC)))

SCENARIOS = (
    Scenario(
        name="first publication", prepare=configure, work=once, check=check_all, start=start_daemon, final=check_final
    ),
    Scenario(
        name="refresh",
        prepare=publish,
        work=lambda worker: once(worker, force=True),
        check=check_work_stays,
        start=start_daemon,
        final=check_final,
    ),
    Scenario(
        name="start of a daemon",
        prepare=publish,
        work=start_daemon,
        check=check_work_stays,
        start=start_daemon,
        final=check_final,
    ),
    Scenario(
        name="another subject",
        check_error=check_owners,
        prepare=edit_identity,
        work=once,
        check=check_all,
        start=start_daemon,
        final=lambda worker: check_final(worker, "carol"),
    ),
    Scenario(
        name="another identity",
        check_error=check_owners,
        prepare=change_identity,
        work=once,
        check=check_all,
        start=start_daemon,
        final=lambda worker: check_final(worker, "bob"),
        former="work",
    ),
    Scenario(
        name="directory without a record",
        prepare=forget_record,
        work=once,
        check=check_all,
        check_error=check_owners,
        start=start_daemon,
        final=check_final,
    ),
    Scenario(
        name="target removed",
        prepare=remove_target,
        work=retire_now,
        check=check_work_stays,
        start=start_later,
        final=check_final,
    ),
    Scenario(
        name="directory removed",
        prepare=remove_env,
        work=retire_later,
        check=check_work_stays,
        start=start_later,
        final=check_final,
    ),
    Scenario(
        name="key rotated", prepare=publish, work=_ROTATE, check=check_keys, start=start_daemon, final=finish_keys
    ),
    Scenario(
        name="key activated",
        prepare=prepare_key,
        work=_ACTIVATE,
        check=check_keys,
        start=start_daemon,
        final=finish_keys,
    ),
    Scenario(
        name="key retired", prepare=retire_key, work=_RETIRE, check=check_keys, start=start_daemon, final=finish_keys
    ),
    Scenario(
        name="drop-in added",
        prepare=publish,
        work=lambda worker: _ignore(targets.add("extra", config=worker.configuration, identity="alice")),
        check=check_work_stays,
        start=start_daemon,
        final=finish_addition,
    ),
    Scenario(
        name="drop-in replaced",
        prepare=add_drop_in,
        work=replace_drop_in,
        check=check_work_stays,
        start=start_daemon,
        final=finish_removal,
    ),
    Scenario(
        name="drop-in removed",
        prepare=add_drop_in,
        work=lambda worker: _ignore(targets.remove("extra", config=worker.configuration)),
        check=check_work_stays,
        start=start_later,
        final=finish_removal,
    ),
)
"""Everything that changes files."""


def _ignore(_: object) -> None:
    """Discard a result."""
