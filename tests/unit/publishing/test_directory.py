from __future__ import annotations

import os
import resource
import stat
import struct
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

from refresher.errors import PublishError
from refresher.files import FileState
from refresher.publishing.artifacts import CREDENTIALS, ENVIRONMENT, RECORD, TOKEN
from refresher.publishing.atomic import DEFAULT_LIST, Ownership
from refresher.publishing.directory import UNSEEN, KnownState, is_another_directory, is_in_place
from refresher.publishing.open_directory import open_to_publish
from refresher.publishing.walk import InsecureDirectoryError
from tests.program import PATIENCE
from tests.unit.publishing.conftest import build_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from refresher.publishing.contents import PublishedFile
    from refresher.publishing.directory import CredentialsDirectory
    from refresher.publishing.open_directory import OpenDirectory
    from tests.conftest import Need

CONTAINER_UID = 54_321
CONTAINER_GID = 54_322
WRITABLE_BY_CONTAINER = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, permissions, who)
    for tag, permissions, who in (
        (1, 7, 0xFFFFFFFF),
        (2, 7, CONTAINER_UID),
        (4, 5, 0xFFFFFFFF),
        (16, 7, 0xFFFFFFFF),
        (32, 5, 0xFFFFFFFF),
    )
)
"""The access control list `u::rwx,u:54321:rwx,g::r-x,m::rwx,o::r-x`, in the kernel's form."""


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=["umask-000", "umask-022", "umask-077"])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """Run the test under several umasks."""
    former = os.umask(request.param)
    yield request.param
    os.umask(former)


def mode_of(path: Path) -> int:
    """Return a path's own permission bits."""
    return stat.S_IMODE(path.lstat().st_mode)


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Prevent this process from opening any more files for the length of a `with` block."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


READS: dict[str, Callable[[OpenDirectory], object]] = {
    "read": lambda opened: opened.read([TOKEN]),
    "read-of-a-folder": lambda opened: opened.read(["id_tokens/app"]),
    "record": lambda opened: opened.read_record(),
    "list": lambda opened: opened.list_entries(),
}


def read_token(directory: CredentialsDirectory) -> PublishedFile:
    """Read the token file."""
    return directory.read([TOKEN])[TOKEN]


@pytest.mark.parametrize("read", READS.values(), ids=list(READS))
def test_lack_of_descriptors_is_no_verdict_on_a_file(
    directory: CredentialsDirectory, read: Callable[[OpenDirectory], object]
) -> None:
    """If the process cannot open any more files, a file is neither absent nor unreadable: the read fails."""
    with open_to_publish(directory) as opened:
        opened.publish(TOKEN, b"t")
        with no_descriptor_left(), pytest.raises(PublishError) as caught:
            read(opened)

    assert "can't be" in caught.value.problem
    assert "LimitNOFILE" in caught.value.remedy


def test_several_visits_may_create_a_directory_at_once(directory: CredentialsDirectory) -> None:
    """Visits that all find a directory absent get the one that the first of them creates; so it is with a folder."""
    start = Barrier(4)

    def publish(each: CredentialsDirectory) -> None:
        start.wait(PATIENCE)
        with open_to_publish(each) as opened, opened.held():
            opened.publish("id_tokens/app", b"t")

    with ThreadPoolExecutor(4) as pool:
        for number in range(50):
            each = replace(directory, name=f"new-{number}")
            for visit in [pool.submit(publish, each) for _ in range(4)]:
                visit.result(PATIENCE)


def test_published_bytes_are_the_file(directory: CredentialsDirectory) -> None:
    """The content of a published file is exactly the published bytes, without a newline and without other files."""
    with open_to_publish(directory) as opened:
        opened.publish(TOKEN, b"first")
        opened.publish(TOKEN, b"second")

    assert (directory.path / TOKEN).read_bytes() == b"second"
    assert os.listdir(directory.path) == [TOKEN]


def test_owner_and_mode_are_as_configured(root: Path, umask: int, need: Need) -> None:
    """Files have the configured owner and mode; the directory belongs to the daemon with that group, for any umask."""
    need.root()
    directory = build_directory(root, "alice", uid=CONTAINER_UID, gid=CONTAINER_GID, mode=0o440)

    with open_to_publish(directory) as opened:
        opened.settle()
        opened.publish(TOKEN, b"t")

    status = (directory.path / TOKEN).stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (CONTAINER_UID, CONTAINER_GID, 0o440)
    status = directory.path.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (0, CONTAINER_GID, 0o750)


def test_directory_without_a_group_can_be_traversed_but_not_listed(root: Path, umask: int) -> None:
    """Without a group a container's user can open a file by its name, but not list the directory."""
    directory = build_directory(root, "alice")

    with open_to_publish(directory) as opened:
        opened.publish(TOKEN, b"t")

    assert [mode_of(directory.path), mode_of(directory.path / TOKEN)] == [0o711, 0o400]


def test_drifted_directory_mode_and_group_are_repaired(root: Path, need: Need) -> None:
    """Another mode or group of the credentials directory is repaired on request, and not before."""
    need.root()
    directory = build_directory(root, "alice", gid=CONTAINER_GID)
    directory.path.mkdir(mode=0o700)

    with open_to_publish(directory) as opened:
        assert (mode_of(directory.path), directory.path.stat().st_gid) == (0o700, 0)
        opened.settle()

    assert (mode_of(directory.path), directory.path.stat().st_gid) == (0o750, CONTAINER_GID)


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777], ids=["group", "others", "sticky"])
def test_directory_that_others_may_write_to_is_refused(directory: CredentialsDirectory, mode: int) -> None:
    """A directory in which another user can create a file is refused, and stays as it is."""
    directory.path.mkdir()
    directory.path.chmod(mode)

    with pytest.raises(InsecureDirectoryError, match="others can write to"), open_to_publish(directory):
        pass

    assert mode_of(directory.path) == mode


def test_directory_of_somebody_else_is_refused(directory: CredentialsDirectory, need: Need) -> None:
    """A directory that is not the daemon's is refused."""
    need.root()
    directory.path.mkdir()
    os.chown(directory.path, CONTAINER_UID, -1)

    with pytest.raises(InsecureDirectoryError, match="belongs to uid 54321"), open_to_publish(directory):
        pass


READERS = {
    "the daemon's root": (CONTAINER_UID, 0o755, None, True),
    "sticky root, the daemon's lock": (0, 0o1777, CONTAINER_UID, True),
    "sticky root, another user's lock": (0, 0o1777, CONTAINER_UID + 1, False),
    "sticky root, no lock": (0, 0o1777, None, False),
    "root's own, no lock": (0, 0o755, None, True),
    "root's own, root's lock": (0, 0o755, 0, False),
}


@pytest.mark.parametrize(("owner", "mode", "locked_by", "is_trusted"), READERS.values(), ids=list(READERS))
def test_reader_need_not_be_the_daemon(
    root: Path,
    directory: CredentialsDirectory,
    need: Need,
    owner: int,
    mode: int,
    locked_by: int | None,
    *,
    is_trusted: bool,
) -> None:
    """Root reads what another user's daemon publishes: the lock shows its user, or only root could put it there."""
    need.root()
    directory.path.mkdir(mode=0o711)
    (directory.path / "token").write_bytes(b"a token")
    os.chown(directory.path, CONTAINER_UID, -1)
    os.chown(root, owner, -1)
    root.chmod(mode)
    if locked_by is not None:
        (root / ".lock").touch(mode=0o600)
        os.chown(root / ".lock", locked_by, -1)

    if is_trusted:
        assert read_token(directory).content == b"a token"
    else:
        daemon = 0 if locked_by is None else locked_by
        with pytest.raises(InsecureDirectoryError, match=f"54321, not to the daemon .uid {daemon}") as caught:
            directory.read([TOKEN])
        assert f"find out who created it; then, as root: rm -r {directory.path}; the daemon" in caught.value.remedy
    refusal = r"belongs to uid 54321|is not the daemon's alone \(uid 543"
    with pytest.raises(InsecureDirectoryError, match=refusal), open_to_publish(directory):
        pass


def test_symlink_in_the_root_is_not_followed(root: Path, tmp_path: Path) -> None:
    """A symlink in the place of a credentials directory is refused, and its target stays untouched."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (root / "alice").symlink_to(elsewhere)

    with pytest.raises(InsecureDirectoryError, match="symlink"), open_to_publish(build_directory(root, "alice")):
        pass

    assert os.listdir(elsewhere) == []


def test_symlink_planted_at_the_token_is_replaced(directory: CredentialsDirectory, tmp_path: Path) -> None:
    """A symlink in the place of the token is replaced by the token; its target stays as it was."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    directory.path.mkdir(mode=0o711)
    (directory.path / TOKEN).symlink_to(victim)

    contents = read_token(directory)
    with open_to_publish(directory) as opened:
        opened.publish(TOKEN, b"t")

    assert contents.problem == "token can't be read: it is a symlink"
    assert victim.read_bytes() == b"precious"
    assert not (directory.path / TOKEN).is_symlink()


def test_symlink_planted_at_the_temporary_name_is_not_followed(root: Path, tmp_path: Path) -> None:
    """Even if the temporary name were guessed, a symlink there is refused and not followed."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    directory = replace(build_directory(root, "alice"), random_name=lambda: "0" * 16)
    directory.path.mkdir(mode=0o711)
    (directory.path / f".{TOKEN}.{'0' * 16}.tmp").symlink_to(victim)

    with pytest.raises(PublishError), open_to_publish(directory) as opened:
        opened.publish(TOKEN, b"t")

    assert victim.read_bytes() == b"precious"
    assert not (directory.path / TOKEN).exists()


def test_files_owner_can_change_nothing(root: Path, need: Need) -> None:
    """The uid that owns the files can read them, but not create, rename, link or remove anything."""
    need.root()
    directory = build_directory(root, "alice", uid=CONTAINER_UID, gid=CONTAINER_GID, mode=0o440)
    root.parent.chmod(0o755)
    with open_to_publish(directory) as opened:
        opened.publish(TOKEN, b"t")

    assert as_container("os.read(os.open('token', os.O_RDONLY), 9)", directory.path) == "ok"
    for attempt in (
        "os.open('new', os.O_CREAT | os.O_WRONLY)",
        "os.rename('token', 'other')",
        "os.link('token', 'other')",
        "os.symlink('token', 'other')",
        "os.unlink('token')",
        "os.mkdir('sub')",
    ):
        assert as_container(attempt, directory.path) == "PermissionError", attempt


def as_container(statement: str, directory: Path) -> str:
    """Run a statement as the files' owner inside a directory; return `ok` or the name of the exception."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.chdir(directory)
            os.setgroups([])
            os.setresgid(CONTAINER_GID, CONTAINER_GID, CONTAINER_GID)
            os.setresuid(CONTAINER_UID, CONTAINER_UID, CONTAINER_UID)
            exec(statement)  # noqa: S102 - the statements stand above
            os.write(writer, b"ok")
        except BaseException as error:  # noqa: BLE001 - reported to the parent
            os.write(writer, type(error).__name__.encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    answer = os.read(reader, 100).decode()
    os.close(reader)
    return answer


def test_directory_where_the_token_belongs_is_told(directory: CredentialsDirectory) -> None:
    """The remedy for a directory in the token's place is to remove it; no temporary file is left."""
    directory.path.mkdir(mode=0o711)
    (directory.path / TOKEN).mkdir()

    with pytest.raises(PublishError, match="remove the directory"), open_to_publish(directory) as opened:
        opened.publish(TOKEN, b"t")

    assert os.listdir(directory.path) == [TOKEN]


def test_single_file_mount_is_told(directory: CredentialsDirectory, need: Need) -> None:
    """A file that is mounted by itself cannot be replaced: the remedy is to mount the directory."""
    need.root()
    with open_to_publish(directory) as opened:
        opened.publish(TOKEN, b"old")
    unshared = os.fork()
    if unshared == 0:
        os._exit(_publish_over_a_mount(directory))

    assert os.waitstatus_to_exitcode(os.waitpid(unshared, 0)[1]) == 0
    assert os.listdir(directory.path) == [TOKEN]


def _publish_over_a_mount(directory: CredentialsDirectory) -> int:
    """Mount the token on itself in a separate mount namespace, and try to replace it."""
    import ctypes  # noqa: PLC0415 - only the forked child calls the C library

    libc = ctypes.CDLL(None, use_errno=True)
    token = str(directory.path / TOKEN).encode()
    if (
        libc.unshare(0x00020000)
        or libc.mount(b"none", b"/", None, 0x44000, None)
        or libc.mount(token, token, None, 0x1000, None)
    ):
        return 2
    try:
        with open_to_publish(directory) as opened:
            opened.publish(TOKEN, b"new")
    except PublishError as error:
        return 0 if "mount the directory" in error.remedy else 3
    return 4


def test_orphans_are_swept_and_strangers_left(directory: CredentialsDirectory) -> None:
    """Temporary files of a killed daemon are removed, and no other file is."""
    directory.path.mkdir(mode=0o711)
    for name in (".token.0123456789abcdef.tmp", ".env.fedcba9876543210.tmp", ".token.tmp", "notes.tmp", TOKEN):
        (directory.path / name).touch()

    with open_to_publish(directory) as opened:
        opened.sweep()

    assert sorted(os.listdir(directory.path)) == sorted([".token.tmp", "notes.tmp", TOKEN])


def test_probe_leaves_nothing(directory: CredentialsDirectory) -> None:
    """The write probe proves that a replacement would work, and leaves no file."""
    with open_to_publish(directory) as opened:
        opened.probe(100)

    assert os.listdir(directory.path) == []


def test_reading_changes_nothing(directory: CredentialsDirectory) -> None:
    """Reading an absent directory finds nothing and creates nothing."""
    contents = read_token(directory)

    assert contents.content is None
    assert contents.problem is None
    assert not directory.path.exists()


@pytest.mark.parametrize("kind", ["fifo", "directory", "huge"])
def test_what_is_no_token_file_is_described(directory: CredentialsDirectory, kind: str) -> None:
    """A FIFO, a directory or an endless file in the token's place neither blocks nor fills the memory."""
    directory.path.mkdir(mode=0o711)
    token = directory.path / TOKEN
    match kind:
        case "fifo":
            os.mkfifo(token)
        case "directory":
            token.mkdir()
        case _:
            token.touch()
            os.truncate(token, 10_000_000_000)

    found = read_token(directory)

    assert found.content is None
    assert found.problem is not None


def test_drift_shows_in_the_signature(directory: CredentialsDirectory) -> None:
    """Content, mode and replacement each change a directory's file states; reading does not."""
    with open_to_publish(directory) as opened:
        opened.publish(TOKEN, b"one")
        first = opened.read_state()

    assert directory.read_state() == first
    directory.read([TOKEN])
    assert directory.read_state() == first
    (directory.path / TOKEN).chmod(0o444)
    second = directory.read_state()
    assert second != first
    directory.path.chmod(0o700)
    assert directory.read_state() != second


def test_in_place_means_content_owner_and_mode(directory: CredentialsDirectory) -> None:
    """An artifact is in place only with its content and its mode."""
    with open_to_publish(directory) as opened:
        opened.publish(TOKEN, b"one")

    assert is_in_place(read_token(directory), b"one", directory.ownership)
    assert not is_in_place(read_token(directory), b"two", directory.ownership)
    (directory.path / TOKEN).chmod(0o444)
    assert not is_in_place(read_token(directory), b"one", directory.ownership)


def test_absent_root_is_made(tmp_path: Path, umask: int) -> None:
    """An absent directory root is created, readable by all and writable by the daemon only."""
    directory = build_directory(tmp_path / "run" / "refresher", "alice")

    with open_to_publish(directory):
        pass

    assert mode_of(tmp_path / "run" / "refresher") == 0o755


def test_root_that_a_killed_run_left_half_made_is_removed(tmp_path: Path) -> None:
    """What a run that was cut short left next to the root goes when the root is created, unless it holds something."""
    left, foreign = (tmp_path / f".run.{digit * 16}.tmp" for digit in "01")
    left.mkdir()
    foreign.mkdir()
    (foreign / "file").touch()

    with open_to_publish(build_directory(tmp_path / "run", "alice")):
        pass

    assert sorted(os.listdir(tmp_path)) == [foreign.name, "run"]


def test_default_acl_of_the_root_lets_nobody_in(root: Path, need: Need) -> None:
    """Neither directories nor files inherit an access control list with another user."""
    need.acls(root)
    os.setxattr(root, DEFAULT_LIST, WRITABLE_BY_CONTAINER)
    directory = build_directory(root, "alice", gid=os.getegid(), mode=0o440)

    with open_to_publish(directory) as opened:
        opened.settle()
        opened.publish(TOKEN, b"t")
        opened.publish("id_tokens/app", b"t")

    for path in (directory.path, *directory.path.rglob("*")):
        assert not [name for name in os.listxattr(path) if "acl" in name]
    assert (mode_of(directory.path), mode_of(directory.path / TOKEN)) == (0o750, 0o440)


def test_root_of_somebody_else_is_refused(root: Path, directory: CredentialsDirectory, need: Need) -> None:
    """A directory root that belongs to neither root nor the daemon is refused."""
    need.root()
    os.chown(root, CONTAINER_UID, -1)

    with pytest.raises(InsecureDirectoryError, match="directory_root"), open_to_publish(directory):
        pass


@pytest.mark.parametrize(
    ("mode", "is_shared", "is_refused"),
    [(0o777, True, True), (0o775, True, True), (0o1777, True, False), (0o777, False, False), (0o755, True, False)],
    ids=["others", "group", "sticky", "one-identity", "safe"],
)
def test_root_that_others_can_write_to_is_refused_for_several_identities(
    root: Path, mode: int, *, is_shared: bool, is_refused: bool
) -> None:
    """A user who can rename directories could move one tenant's token to another; a sticky root does not allow that."""
    root.chmod(mode)
    directory = build_directory(root, "alice", is_shared=is_shared)

    if is_refused:
        with pytest.raises(InsecureDirectoryError, match="more than one identity"), open_to_publish(directory):
            pass
    else:
        with open_to_publish(directory):
            pass


def test_new_directory_takes_the_place_of_one_that_is_held(directory: CredentialsDirectory) -> None:
    """After a replacement, an old descriptor of the directory shows it empty, and nothing else is left in the root."""
    directory.path.mkdir(mode=0o711)
    with open_to_publish(directory) as opened, opened.held():
        opened.publish(RECORD, b"{}")
        held = os.open(directory.path, os.O_RDONLY | os.O_DIRECTORY)
        opened.replace()
        opened.publish(TOKEN, b"next")

    assert os.listdir(held) == []
    assert (directory.path / TOKEN).read_bytes() == b"next"
    assert sorted(path.name for path in directory.root.iterdir()) == [".lock", "alice"]
    os.close(held)


def test_directory_with_an_unknown_file_is_not_replaced(directory: CredentialsDirectory) -> None:
    """A file that we did not write keeps the directory in place, and the remedy is to move it."""
    directory.path.mkdir(mode=0o711)
    with open_to_publish(directory) as opened, opened.held():
        (directory.path / "notes").touch()
        with pytest.raises(PublishError, match=r"move .*/notes away"):
            opened.replace()

    assert os.listdir(directory.path) == ["notes"]


def test_directory_that_was_replaced_meanwhile_is_opened_again(directory: CredentialsDirectory) -> None:
    """After the lock was taken, writes go into the directory that has the name then."""
    directory.path.mkdir(mode=0o711)
    with open_to_publish(directory) as opened:
        directory.path.rename(directory.root / "former")
        with opened.held():
            opened.publish(TOKEN, b"t")

    assert (directory.path / TOKEN).read_bytes() == b"t"
    assert os.listdir(directory.root / "former") == []


def test_withdrawal_goes_on_after_a_file_that_cannot_be_removed(directory: CredentialsDirectory) -> None:
    """All our files except the record are withdrawn, `env` first; one that cannot be removed keeps no other."""
    with open_to_publish(directory) as opened:
        for name in (RECORD, CREDENTIALS, TOKEN, ENVIRONMENT, "id_tokens/api"):
            opened.publish(name, b"x")
        (directory.path / "boto").mkdir()
        (directory.path / "notes").touch()

        with pytest.raises(PublishError, match="boto can't be removed"):
            opened.withdraw_all()

    assert sorted(os.listdir(directory.path)) == [RECORD, "boto", "notes"]


@pytest.mark.parametrize(
    ("ownership", "state", "fits"),
    [
        (Ownership(None, None, 0o400), (0o400, None, 7), True),
        (Ownership(None, 7, 0o440), (0o440, None, 7), True),
        (Ownership(None, 7, 0o440), (0o440, None, 8), False),
        (Ownership(5, 7, 0o440), (0o440, 5, 7), True),
        (Ownership(5, 7, 0o440), (0o440, 6, 7), False),
        (Ownership(None, None, 0o400), (0o440, None, 7), False),
    ],
)
def test_ownership_describes_mode_owner_and_group(
    ownership: Ownership, state: tuple[int, int | None, int], *, fits: bool
) -> None:
    """Mode and owner must be as configured, the group only where one is given."""
    mode, uid, gid = state

    assert ownership.describes(FileState(1, 1, 0, 0, mode, os.geteuid() if uid is None else uid, gid)) is fits


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_missing_root_is_made_with_its_parents(tmp_path: Path, umask: int) -> None:
    """Each new directory on the way to a missing root can be traversed by all, and only the daemon can write to it."""
    former = os.umask(umask)
    try:
        root = tmp_path / "opt" / "deep" / "root"
        with open_to_publish(build_directory(root, "alice")):
            pass
    finally:
        os.umask(former)

    assert [mode_of(path) for path in (root, root.parent, root.parent.parent)] == [0o755] * 3


def test_many_threads_create_one_root(root: Path) -> None:
    """Threads that find no root at the same moment all publish into one, and leave nothing next to it."""
    place = root / "a" / "b"
    with ThreadPoolExecutor(8) as pool:
        for round_ in range(20):
            names = [f"{round_}-{number}" for number in range(8)]
            directories = [build_directory(place / str(round_), name) for name in names]
            list(pool.map(_publish_token, directories))

            assert sorted(os.listdir(place / str(round_))) == sorted([".lock", *names])
    assert os.listdir(root) == ["a"]
    assert sorted(os.listdir(place)) == sorted(map(str, range(20)))


def _publish_token(directory: CredentialsDirectory) -> None:
    with open_to_publish(directory) as opened:
        opened.publish(TOKEN, b"t")


def test_a_directory_that_could_not_be_looked_at_is_not_another_one() -> None:
    """An error while a directory is looked at shows nothing: containers that hold it are not reported as cut off."""
    known, unseen = KnownState(inode=(1, 2), digest=3), KnownState.from_state(UNSEEN)
    assert not is_another_directory(unseen, known)
    assert not is_another_directory(known, unseen)
    assert is_another_directory(KnownState(inode=None, digest=4), known)
    assert is_another_directory(KnownState(inode=(1, 5), digest=3), known)
