import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from refresher.observe.sockets import ListenError, check_address, is_loopback, open_listener
from refresher.settings.values import TcpSocket, UnixSocket
from tests.conftest import Need


def mode_of(path: Path) -> int:
    """Return the permission bits of a file."""
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture
def address(tmp_path: Path) -> UnixSocket:
    """Return an address in a directory that does not exist yet."""
    return UnixSocket(tmp_path / "status" / "http.sock")


def test_socket_is_created_closed_to_others_and_removed(address: UnixSocket) -> None:
    """Directory and socket are created for the daemon and its group, and the socket is removed at the end."""
    with open_listener(address, None) as listener:
        assert (mode_of(address.path.parent), mode_of(address.path)) == (0o750, 0o660)
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(address.path))
            listener.accept()[0].close()

    assert list(address.path.parent.iterdir()) == []


def test_directory_that_systemd_created_gets_its_mode(address: UnixSocket) -> None:
    """An empty directory of the daemon's becomes the socket's own, whatever mode it had."""
    address.path.parent.mkdir(mode=0o755)

    with open_listener(address, None):
        assert mode_of(address.path.parent) == 0o750


def test_directory_with_other_files_is_left_alone(address: UnixSocket) -> None:
    """A directory that holds something else keeps its mode: it may be /run."""
    address.path.parent.mkdir(mode=0o755)
    (address.path.parent / "other").touch()

    with open_listener(address, None):
        assert mode_of(address.path.parent) == 0o755
        assert mode_of(address.path) == 0o660


def test_group_may_ask(address: UnixSocket, need: Need) -> None:
    """Directory and socket belong to the configured group, by name or number."""
    need.root()

    for group, gid in (("daemon", 1), ("12345", 12345)):
        with open_listener(address, group):
            assert (address.path.parent.stat().st_gid, address.path.lstat().st_gid) == (gid, gid)


def test_stale_socket_is_replaced(address: UnixSocket) -> None:
    """A socket that no process answers on, of a daemon that was killed, is replaced."""
    address.path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as former:
        former.bind(str(address.path))
    assert address.path.is_socket()

    with open_listener(address, None), socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(address.path))


def test_socket_of_another_process_stays(address: UnixSocket) -> None:
    """A socket that a process answers on is not replaced, and not removed."""
    with open_listener(address, None):
        with pytest.raises(ListenError, match="another process answers on"), open_listener(address, None):
            pass
        assert address.path.is_socket()


def test_socket_whose_queue_is_full_stays(address: UnixSocket) -> None:
    """A process that does not accept is alive: its socket is not replaced."""
    address.path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as caller:
        busy.bind(str(address.path))
        busy.listen(0)
        caller.connect(str(address.path))

        with pytest.raises(ListenError, match="another process answers on"), open_listener(address, None):
            pass


@pytest.mark.parametrize("kind", ["file", "directory", "link", "fifo"])
def test_any_other_file_stays(address: UnixSocket, kind: str, tmp_path: Path) -> None:
    """A file, a directory, a link or a FIFO with the socket's name is an error and is left as it is."""
    address.path.parent.mkdir()
    create: dict[str, Callable[[], object]] = {
        "file": lambda: address.path.write_text("mine"),
        "directory": address.path.mkdir,
        "link": lambda: address.path.symlink_to(tmp_path / "elsewhere"),
        "fifo": lambda: os.mkfifo(address.path),
    }
    create[kind]()
    before = address.path.lstat()

    with pytest.raises(ListenError, match="is not a socket") as caught, open_listener(address, None):
        pass

    assert caught.value.remedy == "move it elsewhere, or change `listen`, or set it to none"
    assert os.path.samestat(before, address.path.lstat())
    assert list(address.path.parent.iterdir()) == [address.path]


def test_link_in_place_of_the_directory_is_not_followed(address: UnixSocket, tmp_path: Path) -> None:
    """A link where the socket's directory belongs is refused."""
    (tmp_path / "elsewhere").mkdir()
    address.path.parent.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(ListenError, match="can't be listened on"), open_listener(address, None):
        pass

    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_directory_that_others_can_write_to_is_refused(address: UnixSocket) -> None:
    """Where others could replace the socket, and it is not the socket's own directory, nothing is listened on."""
    address.path.parent.mkdir()
    (address.path.parent / "other").touch()
    address.path.parent.chmod(0o777)

    with pytest.raises(ListenError, match="others can write to"), open_listener(address, None):
        pass


def test_longest_path_works(tmp_path: Path) -> None:
    """A socket's path may have 107 bytes; the temporary name needs no more."""
    directory = tmp_path / "s"
    name = "n" * (107 - len(str(directory)) - 1)
    assert 0 < len(name) < 256

    with open_listener(UnixSocket(directory / name), None), socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(directory / name))


def test_name_that_another_daemon_took_is_not_removed(address: UnixSocket) -> None:
    """At its end a daemon removes its own socket alone."""
    with open_listener(address, None), socket.socket(socket.AF_UNIX) as other:
        address.path.unlink()
        other.bind(str(address.path))

    assert address.path.is_socket()


def test_address_in_use_and_unknown_address_are_refused() -> None:
    """A TCP address that is taken, or of another machine, is an error with its remedy."""
    with open_listener(TcpSocket("127.0.0.1", 0), None) as first:
        taken = TcpSocket("127.0.0.1", first.getsockname()[1])
        with pytest.raises(ListenError, match="Address already in use") as caught, open_listener(taken, None):
            pass
    assert caught.value.remedy.startswith("stop the process that has this address")
    with pytest.raises(ListenError, match="can't be listened on"), open_listener(TcpSocket("192.0.2.1", 0), None):
        pass


def test_check_finds_what_any_user_can_see(address: UnixSocket, tmp_path: Path) -> None:
    """`check` reports an absent directory above the socket's, an unknown group, and what is not a socket."""
    check_address(address, None, is_taken=False)

    with pytest.raises(ListenError, match="No such file"):
        check_address(UnixSocket(tmp_path / "absent" / "status" / "http.sock"), None, is_taken=False)
    with pytest.raises(ListenError, match='listen_group is "no-such-group"'):
        check_address(address, "no-such-group", is_taken=False)
    (tmp_path / "file").touch()
    with pytest.raises(ListenError, match="is not a socket"):
        check_address(UnixSocket(tmp_path / "file"), None, is_taken=False)
    with pytest.raises(ListenError, match="is not a directory"):
        check_address(UnixSocket(tmp_path / "file" / "http.sock"), None, is_taken=False)
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


@pytest.mark.parametrize("is_taken", [False, True])
def test_address_of_another_machine_is_named_with_its_port(*, is_taken: bool) -> None:
    """Next to a daemon that runs, its port is left out of the attempt, and not out of the message."""
    with pytest.raises(ListenError) as caught:
        check_address(TcpSocket("192.0.2.1", 8099), None, is_taken=is_taken)

    assert caught.value.problem.startswith("listen: 192.0.2.1:8099 can't be listened on")


def test_check_distinguishes_the_daemons_own_port() -> None:
    """A port that is taken is an error unless the daemon itself may have it; another machine's address always is."""
    with open_listener(TcpSocket("127.0.0.1", 0), None) as first:
        taken = TcpSocket("127.0.0.1", first.getsockname()[1])
        check_address(taken, None, is_taken=True)
        with pytest.raises(ListenError, match="Address already in use"):
            check_address(taken, None, is_taken=False)
    with pytest.raises(ListenError, match="Cannot assign"):
        check_address(TcpSocket("192.0.2.1", 80), None, is_taken=True)


@pytest.mark.parametrize(
    ("host", "is_local"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("192.0.2.1", False), ("::", False), ("worker", False)],
)
def test_loopback_is_recognised(host: str, *, is_local: bool) -> None:
    """Only the loopback is reached by this machine alone."""
    assert is_loopback(host) is is_local
