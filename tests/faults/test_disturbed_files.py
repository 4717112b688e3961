"""Files and directories change behind the daemon's back: within two ticks the truth is shown, or all is repaired."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from refresher.emulator.testing import emulator
from tests.conftest import Need
from tests.faults.disturbed_site import Site, fill, remove, replace, site
from tests.program import ISSUER, Worker, secret_in
from tests.status_socket import ask

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("disturbed-files")]

REPAIRED, TAMPERED = "artifact.repaired", "artifact.tampered"
FILES = ("token", "credentials.json", "access_token")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, need: Need) -> Iterator[Site]:
    """Return the site, whose neighbour must have been ready all the time, and whose daemon must end well."""
    need.root()
    for tool in ("unshare", "nsenter"):
        need.tool(tool, "apt-get install util-linux")
    with emulator() as google:
        origins = dict.fromkeys(("sts", "iam_credentials", "cloud_kms", "metadata"), google.http)
        place = tmp_path_factory.mktemp("disturbed")
        worker = Worker(place=place, google={"emulator": True, "endpoints": origins})
        google.add_provider(issuer=ISSUER, jwks=worker.make_keys())
        with site(worker, google) as made:
            yield made
    assert secret_in(worker.everything_printed()) is None
    assert made.neighbour.answers > 20
    assert made.neighbour.wrong == []


def make_link(path: Path) -> None:
    """Put a link to a copy of a file in its place."""
    copy = path.parent.parent / ".copy"
    shutil.copy2(path, copy)
    path.unlink()
    path.symlink_to(copy)


def make_pipe(path: Path) -> None:
    """Put a pipe in the place of a file."""
    path.unlink()
    os.mkfifo(path)


def take_from_neighbour(path: Path) -> None:
    """Put a copy of the neighbour's file, or of its token, in the place of a file."""
    source = path.parent.parent / "bob" / path.name
    replace(path, (source if source.exists() else source.with_name("token")).read_text())


CONTENTS: dict[str, Callable[[Path], object]] = {
    "emptied": lambda path: replace(path, ""),
    "deleted": Path.unlink,
    "garbage": lambda path: replace(path, "\0" * 100),
    "link": make_link,
    "pipe": make_pipe,
    "of another": take_from_neighbour,
}
MODES: dict[str, Callable[[Path], object]] = {
    "unreadable": lambda path: path.chmod(0),
    "too open": lambda path: path.chmod(0o644),
    "given away": lambda path: os.chown(path, 1042, 1042),
}


def expire(running: Site, path: Path) -> None:
    """Put a token in the place of one that the configuration would have minted two hours ago."""
    replace(path, running.compose(path.parent.name, seconds=-3600))


def is_whole(path: Path) -> bool:
    """Return whether a name has a regular file of the daemon's with the configured mode, which is not empty."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    return (status.st_mode, status.st_uid) == (0o100400, 0) and status.st_size > 0


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("disturbance", [*CONTENTS, *MODES])
def test_disturbed_file_is_repaired_and_reported(running: Site, disturbance: str, name: str) -> None:
    """A file that was changed in any way is as configured within two ticks; the log names it and what befell it."""
    path, count = running.place("alice", name), len(running.log.events())
    before = path.read_bytes()

    with running.stopped():
        (CONTENTS | MODES)[disturbance](path)

    running.see(lambda: is_whole(path) and running.is_ready("alice"), what="repaired")
    is_same = disturbance in MODES or name == "credentials.json"
    assert path.read_bytes() == before or not is_same
    expected = REPAIRED if is_same else TAMPERED
    running.see(
        lambda: [
            event
            for event in running.list_since(count, "alice")
            if event["event"] == expected and event["artifact"] == name
        ],
        what=expected,
    )


def test_expired_token_is_replaced_and_reported(running: Site) -> None:
    """A token that has expired, put in the place of a fresh one, is replaced at once."""
    path, count = running.place("alice", "token"), len(running.log.events())
    with running.stopped():
        expire(running, path)

    running.see(lambda: running.is_ready("alice"), what="repaired")

    assert running.worker.status()["alice"]["state"] == "fresh"
    assert [each["artifact"] for each in running.list_since(count, "alice") if each["event"] == TAMPERED] == ["token"]


STATES: dict[str, tuple[str, str]] = {
    "deleted": ("absent", "is absent"),
    "link": ("unreadable", "it is a symlink"),
    "of another": ("foreign", "sub is 'user-bob', not 'user-erin'"),
    "expired": ("expired", "is expired"),
}


@pytest.mark.parametrize("disturbance", STATES)
def test_truth_is_shown_while_no_new_token_is_available(running: Site, disturbance: str) -> None:
    """Without a source the target is not ready, with state and cause everywhere, until the source is back."""
    state, words = STATES[disturbance]
    path = running.place("erin", "token")
    running.source.unlink()
    reloads = len(running.log.events("config.reloaded"))
    running.log.send(signal.SIGHUP)  # what was supplied before is forgotten
    running.log.wait_for("config.reloaded", count=reloads + 1)
    count = len(running.log.events())
    with running.stopped():
        expire(running, path) if disturbance == "expired" else CONTENTS[disturbance](path)

    def find_failure() -> str:
        answer = ask(running.socket, "/readyz/erin")
        return answer.body if answer.status == 503 and str(running.source) in answer.body else ""

    body = running.see(find_failure, what="the truth on /readyz/erin")
    shown = running.worker.status()["erin"]
    assert words in body
    assert (shown["state"], words in shown["problem"]) == (state, True)
    failed = running.find_event("token.supply_failed", count, "erin")
    assert str(running.source) in failed["error"]
    assert failed["remedy"] in body

    running.renew_source()
    running.see(lambda: running.is_ready("erin"), what="repaired", seconds=8)
    running.find_event("token.published", count, "erin")
    running.find_event("token.recovered", count, "erin")


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """What keeps the daemon from publishing in dave's directory.

    Attributes:
        put: Puts it, while the daemon stands still.
        take: Takes it away.
        problem: Words of the problem, on every surface.
        remedy: Words of the remedy, in the log and at `/readyz/dave`.
        seconds: In which the target is ready again.
    """

    put: Callable[[Site], object]
    take: Callable[[Site], object]
    problem: str
    remedy: str
    seconds: float = 2.0


def use_up_space(running: Site) -> None:
    """Remove the token, and leave no page free."""
    running.place("dave", "token").unlink()
    fill(running.root)


def mount_read_only(running: Site, name: str = "") -> None:
    """Mount the root, or a directory in it, over itself, so that nothing can be written."""
    place = str(running.worker.root / name)
    running.run_inside("mount", "--bind", place, place)
    running.run_inside("mount", "-o", "remount,bind,ro", place)


def close_directory(running: Site) -> None:
    """Remove the token, and mount the directory read-only."""
    running.place("dave", "token").unlink()
    mount_read_only(running, "dave")


def put_link(running: Site) -> None:
    """Put a link in the place of the directory."""
    running.place("dave").rename(running.root / ".dave")
    running.place("dave").symlink_to(".dave")


def take_link(running: Site) -> None:
    """Remove the link, and what it led to."""
    running.place("dave").unlink()
    remove(running.root / ".dave")


def write_later_record(running: Site) -> None:
    """Write a record as a later version would."""
    path = running.place("dave", ".target")
    replace(path, path.read_text().replace('"version": 1', '"version": 99'))


OBSTACLES = {
    "no space": Obstacle(
        put=use_up_space,
        take=lambda running: (running.root / ".fill").unlink(),
        problem="the token of target dave is absent",
        remedy="free space on that file system",
        seconds=5.0,
    ),
    "read-only": Obstacle(
        put=close_directory,
        take=lambda running: running.run_inside("umount", str(running.worker.root / "dave")),
        problem="the token of target dave is absent",
        remedy="mount that file system writable",
        seconds=5.0,
    ),
    "link": Obstacle(put=put_link, take=take_link, problem="is a symlink or a file", remedy="remove"),
    "open to others": Obstacle(
        put=lambda running: running.place("dave").chmod(0o777),
        take=lambda running: running.place("dave").chmod(0o711),
        problem="others can write to",
        remedy="chmod go-w",
    ),
    "of another user": Obstacle(
        put=lambda running: os.chown(running.place("dave"), 1042, 1042),
        take=lambda running: os.chown(running.place("dave"), 0, 0),
        problem="belongs to uid 1042, not to the daemon",
        remedy="as root: rm -r",
    ),
    "later version": Obstacle(
        put=write_later_record,
        take=lambda running: remove(running.place("dave")),
        problem="was written by a later version",
        remedy="run that version",
    ),
}


@pytest.mark.parametrize("name", OBSTACLES)
def test_obstacle_is_shown_until_it_is_taken_away(running: Site, name: str) -> None:
    """What keeps the daemon from publishing is shown with its remedy, and its end is noticed and logged soon."""
    obstacle, count = OBSTACLES[name], len(running.log.events())

    with running.stopped():
        obstacle.put(running)

    def find_failure() -> str:
        answer = ask(running.socket, "/readyz/dave")
        return answer.body if answer.status == 503 and obstacle.remedy in answer.body else ""

    assert obstacle.problem in running.see(find_failure, what="the truth on /readyz/dave")
    assert obstacle.problem in running.worker.status()["dave"]["problem"]
    assert obstacle.remedy in running.find_event("token.publish_failed", count, "dave")["remedy"]

    obstacle.take(running)
    running.see(lambda: running.is_ready("dave"), what="repaired", seconds=obstacle.seconds)
    running.find_event("token.recovered", count, "dave")


def copy_neighbour(running: Site) -> None:
    """Put a copy of the neighbour's directory, with its record, in the place of dave's."""
    remove(running.place("dave"))
    shutil.copytree(running.place("bob"), running.place("dave"))


REPLACEMENTS: dict[str, tuple[Callable[[Site], object], str]] = {
    "removed": (lambda running: remove(running.place("dave")), "directory.recreated"),
    "copy of another": (copy_neighbour, "directory.recreated"),
    "closed": (lambda running: running.place("dave").chmod(0), REPAIRED),
    "without record": (lambda running: running.place("dave", ".target").unlink(), TAMPERED),
    "with a damaged record": (lambda running: replace(running.place("dave", ".target"), "{"), TAMPERED),
}


@pytest.mark.parametrize("name", REPLACEMENTS)
def test_damaged_directory_is_repaired_and_reported(running: Site, name: str) -> None:
    """A directory that was removed, replaced or closed is as configured within two ticks, and the log reports it."""
    (damage, expected), count = REPLACEMENTS[name], len(running.log.events())

    with running.stopped():
        damage(running)

    running.find_event(expected, count, "dave")
    running.see(lambda: running.is_ready("dave"), what="repaired")
    assert running.worker.status()["dave"]["subject"] == "user-dave"
    assert running.place("dave").stat().st_mode & 0o777 == 0o711


ROOTS: dict[str, tuple[Callable[[Site], object], Callable[[Site], object], str]] = {
    "no space": (
        lambda running: fill(running.root),
        lambda running: (running.root / ".fill").unlink(),
        "No space left on device",
    ),
    "read-only": (
        mount_read_only,
        lambda running: running.run_inside("umount", str(running.worker.root)),
        "Read-only file system",
    ),
}


@pytest.mark.parametrize("name", ROOTS)
def test_root_that_cannot_be_written_is_shown_before_anything_is_due(running: Site, name: str) -> None:
    """While all tokens are fresh and all targets ready, log, status and page show that nothing can be renewed."""
    put, take, problem = ROOTS[name]
    count = len(running.log.events())

    put(running)

    fault = running.find_event("daemon.fault", count, None)
    assert problem in fault["error"]
    assert fault["remedy"]
    shown = running.see(lambda: ask(running.socket, "/status.json").read_json()["daemon"]["problem"], what="a problem")
    assert problem in shown
    assert problem in running.worker.command("status").stdout
    assert problem in ask(running.socket, "/").body
    assert running.is_ready("dave")

    take(running)
    assert running.find_event("daemon.recovered", count, None)["error"] == fault["error"]
    running.see(
        lambda: ask(running.socket, "/status.json").read_json()["daemon"]["problem"] is None, what="no problem left"
    )
