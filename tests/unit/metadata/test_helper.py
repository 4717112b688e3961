import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refresher.metadata.namespaces import RefusedError
from refresher.metadata.opener import HelperAbsentError
from refresher.metadata.wanted import Wanted
from tests.network_namespaces import NamespaceSite, open_site, wait_until

if TYPE_CHECKING:
    from tests.conftest import Need


pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]


@pytest.fixture
def site(tmp_path: Path, need: "Need") -> Iterator[NamespaceSite]:
    """Return a site whose helper runs."""
    need.root()
    with open_site(tmp_path) as found:
        yield found


def test_listener_is_in_the_namespace_and_on_its_loopback(site: NamespaceSite) -> None:
    """The helper brings up lo, adds the link-local address, and hands over sockets that accept there."""
    wanted = Wanted(str(site.make("alice")), 8174, link_local=True)

    sockets = site.connect().open("alice", wanted)

    assert [each.getsockname() for each in sockets] == [("127.0.0.1", 8174), ("169.254.169.254", 80)]
    assert {each.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16) for each in sockets} == {b"lo\0"}
    program = "import socket; [socket.create_connection(('{}', {}), 5) for _ in range(2)]; print('connected')"
    assert {site.run("alice", program.format(*each.getsockname())) for each in sockets} == {"connected"}
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", 8174), timeout=5)
    for each in sockets:
        each.close()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("absent", "absent"),
        ("file", "absent"),
        ("link", "refused"),
        ("folder/link", "refused"),
        ("../netns/alice", "refused"),
        ("./alice", "refused"),
        ("host", "refused"),
        ("mount-namespace", "absent"),
        ("folder", "absent"),
        ("fifo", "absent"),
    ],
)
def test_path_is_refused_when_it_is_no_namespace_of_a_container(site: NamespaceSite, name: str, kind: str) -> None:
    """Links, other kinds of namespaces and of files, and the host's own namespace are not entered."""
    site.make("alice")
    (site.root / "folder").mkdir()
    (site.root / "file").touch()
    os.mkfifo(site.root / "fifo")
    for link in ("link", "folder/link"):
        (site.root / link).symlink_to(site.root / "alice")
    for place, namespace in (("host", "/proc/self/ns/net"), ("mount-namespace", "/proc/self/ns/uts")):
        (site.root / place).touch()
        subprocess.run(["mount", "--bind", namespace, str(site.root / place)], check=True)
        site.stack.callback(site.remove, place)

    with pytest.raises(RefusedError) as refused:
        site.connect().open("alice", Wanted(f"{site.root}/{name}", 8174, link_local=False))

    assert refused.value.kind == kind


@pytest.mark.parametrize("path", ["/proc/1/ns/net", "/proc/self/ns/net", "netns/alice", ""])
def test_path_outside_the_roots_is_refused(site: NamespaceSite, path: str) -> None:
    """A drop-in can't name the namespace of a process."""
    with pytest.raises(RefusedError, match="is not below a configured root"):
        site.connect().open("alice", Wanted(path, 8174, link_local=False))


def test_root_that_others_can_write_to_is_refused(site: NamespaceSite) -> None:
    """Who can rename in a root decides what a path names."""
    path = site.make("alice")
    site.root.chmod(0o777)

    with pytest.raises(RefusedError, match="others than root can write to"):
        site.connect().open("alice", Wanted(str(path), 8174, link_local=False))


def test_namespace_of_another_target_is_refused(site: NamespaceSite) -> None:
    """Two names of one namespace are one namespace, and the first target keeps it until it is closed."""
    wanted = Wanted(str(site.make("alice")), 8174, link_local=False)
    other = site.root / "bob"
    other.touch()
    subprocess.run(["mount", "--bind", wanted.netns, str(other)], check=True)
    site.stack.callback(site.remove, "bob")
    opener = site.connect()
    for each in opener.open("alice", wanted):
        each.close()

    with pytest.raises(RefusedError, match="is the namespace of target alice"):
        opener.open("bob", Wanted(str(other), 8175, link_local=False))

    opener.close("alice")
    for each in opener.open("bob", Wanted(str(other), 8175, link_local=False)):
        each.close()


@pytest.mark.parametrize("port", [0, 22, 80, 1023, 65536, -1])
def test_port_of_root_is_refused(site: NamespaceSite, port: int) -> None:
    """A daemon that was taken over can't take the place of a service of the container's root."""
    with pytest.raises(RefusedError, match="for root's programs"):
        site.connect().open("alice", Wanted(str(site.make("alice")), port, link_local=False))


def test_port_that_is_taken_is_occupied(site: NamespaceSite) -> None:
    """A program of the container that came first is named as the reason."""
    path = site.make("alice")
    program = (
        "from refresher.metadata.namespaces import open_listeners; from refresher.metadata.wanted import Wanted;"
        "kept = open_listeners(Wanted('', 8174, False)); print(flush=True); input()"
    )
    command = ["nsenter", f"--net={path}", sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()

        with pytest.raises(RefusedError) as refused:
            site.connect().open("alice", Wanted(str(path), 8174, link_local=False))

        holder.communicate(b"\n")
    assert refused.value.kind == "occupied"


def test_connection_waits_while_the_daemon_restarts(site: NamespaceSite) -> None:
    """The helper holds a duplicate: what connects meanwhile is accepted by the next daemon."""
    wanted = Wanted(str(site.make("alice")), 8174, link_local=False)
    for each in site.connect().open("alice", wanted):
        each.close()
    program = "import socket; print(socket.create_connection(('127.0.0.1', 8174), 5).recv(5).decode())"
    command = ["nsenter", f"--net={wanted.netns}", sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as client:
        (listener,) = site.connect().open("alice", wanted)
        listener.settimeout(10)
        accepted, _ = listener.accept()
        accepted.sendall(b"hello")
        accepted.close()
        listener.close()

        assert client.communicate()[0] == b"hello\n"


def test_namespace_ends_when_its_path_is_gone(site: NamespaceSite) -> None:
    """The helper closes its duplicate and reports the target, so that nothing keeps the namespace alive."""
    wanted = Wanted(str(site.make("alice")), 8174, link_local=False)
    opener = site.connect()
    sockets = opener.open("alice", wanted)

    site.remove("alice")

    wait_until(lambda: opener.take_gone() == {"alice"})
    for each in sockets:
        each.close()
    with pytest.raises(RefusedError):
        opener.open("alice", wanted)


def test_another_namespace_at_the_same_path_is_another(site: NamespaceSite) -> None:
    """A name that was created again gets listeners of its own, and the former namespace is closed."""
    wanted = Wanted(str(site.make("alice")), 8174, link_local=False)
    opener = site.connect()
    (former,) = opener.open("alice", wanted)
    site.remove("alice")
    site.make("alice")

    (present,) = opener.open("alice", wanted)

    cookies = [each.getsockopt(socket.SOL_SOCKET, 71, 8) for each in (former, present)]
    assert cookies[0] != cookies[1]
    former.close()
    present.close()


def test_what_an_earlier_daemon_wanted_is_closed_when_the_next_one_settles(site: NamespaceSite) -> None:
    """A target that was removed while the daemon was down keeps no namespace alive."""
    paths = {name: Wanted(str(site.make(name)), 8174, link_local=False) for name in ("alice", "bob")}
    earlier = site.connect()
    for name, wanted in paths.items():
        for each in earlier.open(name, wanted):
            each.close()
    later = site.connect()
    for each in later.open("alice", paths["alice"]):
        each.close()

    later.settle()

    program = "import socket; print(socket.socket().connect_ex(('127.0.0.1', 8174)))"
    assert [site.run(name, program) for name in paths] == ["0", "111"]


def test_other_users_are_not_served(site: NamespaceSite) -> None:
    """Only the daemon's user gets an answer, and root is another user."""
    site.stop()
    site.start(user=4242)

    with pytest.raises(HelperAbsentError):
        site.connect().open("alice", Wanted(str(site.make("alice")), 8174, link_local=False))


def test_roots_must_be_a_file_of_root_alone(site: NamespaceSite) -> None:
    """A file that another user can write to would make the roots worthless."""
    roots = site.root.parent / "others"
    roots.write_text(str(site.root))
    roots.chmod(0o666)

    command = [sys.executable, "-m", "refresher.metadata.helper", "--user", "0", "--roots", str(roots)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)

    assert (done.returncode, "must be a file of root's" in done.stderr) == (1, True)


CAPABILITIES = ("sys_admin", "net_admin", "net_bind_service")


@pytest.mark.parametrize("missing", ["", *CAPABILITIES])
def test_helper_needs_each_of_its_capabilities_and_no_other(site: NamespaceSite, need: "Need", missing: str) -> None:
    """With the three of its unit it opens everything, and with any two of them it does not."""
    setpriv = need.tool("setpriv", "apt-get install util-linux")
    kept = ",".join(f"+{each}" for each in CAPABILITIES if each != missing)
    wanted = Wanted(str(site.make("alice")), 8174, link_local=True)
    site.stop()
    site.start(prefix=[setpriv, "--bounding-set", f"-all,{kept}", "--inh-caps", "-all", "--no-new-privs"])
    opener = site.connect()

    if missing:
        with pytest.raises(RefusedError, match="refresher-netns failed"):
            opener.open("alice", wanted)
        return

    for each in opener.open("alice", wanted):
        each.close()


def test_helper_imports_nothing_but_the_standard_library() -> None:
    """What has capabilities runs no code of others."""
    program = (
        "import sys; before = set(sys.modules); import refresher.metadata.helper;"
        "print(*{name.partition('.')[0] for name in sys.modules.keys() - before} - sys.stdlib_module_names)"
    )

    done = subprocess.run([sys.executable, "-I", "-c", program], check=True, capture_output=True, text=True)

    assert done.stdout.split() == ["refresher"]


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"{",
        b"[" * 4000,
        b"\xff\xfe",
        b"null",
        b'{"open": "alice"}',
        b'{"open": "alice", "netns": 1, "port": 8174, "link_local": false}',
        b'{"open": "alice", "netns": "ROOT/alice\\u0000/x", "port": 8174, "link_local": false}',
        b'{"open": "alice", "netns": "ROOT/\\ud800", "port": 8174, "link_local": false}',
        b'{"open": "alice", "netns": "ROOT/alice", "port": true, "link_local": false}',
        b'{"open": "alice", "netns": "ROOT/alice", "port": 1e999, "link_local": false}',
        b'{"close": "stranger"}',
        b'{"close": []}',
        b"x" * 100_000,
    ],
    ids=range(14),
)
def test_daemon_that_was_taken_over_can_not_end_the_helper(site: NamespaceSite, message: bytes) -> None:
    """Whatever it sends, the helper refuses it and serves on."""
    wanted = Wanted(str(site.make("alice")), 8174, link_local=False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as daemon:
        daemon.settimeout(10)
        daemon.connect(str(site.socket))
        daemon.send(message.replace(b"ROOT", str(site.root).encode()))
        assert b"opened" not in daemon.recv(8192)

    for each in site.connect().open("alice", wanted):
        each.close()
    time.sleep(1.1)  # the helper has looked at everything that it holds
    assert site.process is not None
    assert site.process.poll() is None


def test_descriptors_that_the_daemon_sends_are_not_kept(site: NamespaceSite) -> None:
    """A daemon can't fill the helper's table of descriptors."""
    assert site.process is not None
    table = Path(f"/proc/{site.process.pid}/fd")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as daemon:
        daemon.connect(str(site.socket))
        daemon.send(b"{}")
        daemon.recv(8192)
        before = len(list(table.iterdir()))
        for _ in range(50):
            socket.send_fds(daemon, [b"{}"], [0, 1, 2])
            daemon.recv(8192)

        assert len(list(table.iterdir())) == before


def test_helper_is_small_and_needs_the_standard_library_alone() -> None:
    """All its modules can be read at once: they have at most 300 lines that are not empty."""
    program = "import refresher.metadata.helper, sys; print(*(n for n in sys.modules if n not in before))"
    listing = subprocess.run(
        [sys.executable, "-c", f"import sys; before = set(sys.modules); {program}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()

    own = {name for name in listing if name.startswith("refresher.metadata.")}
    lines = [line for name in own for line in (ROOT / f"{name.replace('.', '/')}.py").read_text().splitlines()]

    assert {name.partition(".")[0] for name in listing} - sys.stdlib_module_names == {"refresher"}
    assert sum(bool(line.strip()) for line in lines) <= 300
