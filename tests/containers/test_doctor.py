"""What `refresher doctor --pid` sees of containers, and what a hostile one gains by it: nothing."""

import ctypes
import hashlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from refresher.doctor.container import look
from refresher.doctor.process import open_process
from refresher.doctor.sight import Sight
from tests.conftest import Need
from tests.containers.conftest import Tenant
from tests.containers.runtimes import CREDENTIALS, Mount, start
from tests.program import until

UID = 1042
HOLD = Path(__file__).with_name("inside") / "hold.py"
PLACE = "/run/google"
TOKEN = "a.b.c"
PYTHON_MODULES = ("os.py", "json/__init__.py", "socket.py", "encodings/idna.py", "traceback.py", "linecache.py")


@pytest.fixture
def root(public: Path, need: Need, tmp_path: Path) -> Path:
    """Return the root of a container, with an empty directory where its credentials belong."""
    need.root()
    place = public / f"root-{tmp_path.name}"
    (place / PLACE.lstrip("/")).mkdir(parents=True)
    return place


@pytest.fixture
def directory(public: Path, tmp_path: Path) -> Path:
    """Return a credentials directory on the host, with a token that the container's group may read."""
    place = public / f"alice-{tmp_path.name}"
    place.mkdir(mode=0o750)
    os.chown(place, 0, UID)
    write(place / "token", TOKEN)
    return place


def write(path: Path, content: str) -> None:
    """Write a file that the container's group may read, by rename."""
    new = path.with_name(".new")
    new.write_text(content)
    os.chown(new, 0, UID)
    new.chmod(0o440)
    new.rename(path)


@contextmanager
def hold(root: Path, variables: dict[str, str] | None = None, **more: Any) -> Iterator[int]:  # noqa: ANN401 - of hold.py
    """Run a container for the length of a `with` block; return its process."""
    request = json.dumps({"root": str(root), "uid": UID, **more})
    command = [sys.executable, "-I", "-S", str(HOLD), request]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=variables or {})
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        try:
            assert process.stdout.readline() == b"ready\n"
            yield process.pid
        finally:
            process.kill()


def see(pid: int, names: tuple[str, ...] = ("token",), variables: dict[str, str] | None = None) -> Sight:
    """Return what a process sees of its credentials."""
    with open_process(pid) as process:
        return look(
            process, container_directory=PLACE, names=names, variables=variables or {}, sts="https://192.0.2.1:9"
        )


def test_published_token_is_seen(root: Path, directory: Path) -> None:
    """In a healthy container directory and token are those of the host."""
    with hold(root, binds=[[str(directory), PLACE]]) as pid:
        seen = see(pid)

    assert (seen.uid, seen.is_hanging, seen.alone, seen.is_replaced) == (UID, False, (), False)
    assert (seen.directory.kind, seen.directory.inode) == ("directory", directory.stat().st_ino)
    assert seen.files["token"].kind == "file"
    assert seen.files["token"].digest == hashlib.sha256(TOKEN.encode()).hexdigest()


def test_token_mounted_by_itself_is_seen(root: Path, directory: Path) -> None:
    """A single file that is mounted is noticed before it is old."""
    (root / "run" / "google" / "token").touch()

    with hold(root, binds=[[str(directory / "token"), f"{PLACE}/token"]]) as pid:
        assert see(pid).alone == ("token",)


def test_removed_directory_is_seen(root: Path, directory: Path) -> None:
    """A directory that was removed on the host after the container started is noticed."""
    with hold(root, binds=[[str(directory), PLACE]]) as pid:
        (directory / "token").unlink()
        directory.rmdir()

        assert see(pid).is_replaced


@pytest.mark.parametrize(
    ("arrange", "directory_kind", "token_kind"),
    [
        pytest.param(lambda place: place.rmdir(), "absent", None, id="absent"),
        pytest.param(str, "directory", "absent", id="empty"),
        pytest.param(lambda place: (place.rmdir(), place.touch()), "file", None, id="file"),
        pytest.param(lambda place: os.mkfifo(place / "token"), "directory", "other", id="fifo"),
        pytest.param(lambda place: (place / "token").mkdir(), "directory", "directory", id="directory"),
        pytest.param(lambda place: (place / "token").write_bytes(bytes(70_000)), "directory", "large", id="large"),
        pytest.param(lambda place: (place / "token").symlink_to("/etc/hostname"), "directory", "other", id="link"),
        pytest.param(
            lambda place: ((place / "token").touch(), (place / "token").chmod(0o400)),
            "directory",
            "denied",
            id="denied",
        ),
        pytest.param(lambda place: place.chmod(0o700), "directory", "denied", id="closed"),
    ],
)
def test_what_stands_in_the_tokens_place_is_seen(
    root: Path, arrange: Callable[[Path], object], directory_kind: str, token_kind: str | None
) -> None:
    """Whatever is where the token belongs is named, and nothing but a regular file is opened for reading."""
    arrange(root / PLACE.lstrip("/"))

    with hold(root) as pid:
        seen = see(pid)

    assert seen.directory.kind == directory_kind
    assert (seen.files["token"].kind if "token" in seen.files else None) == token_kind


def test_links_lead_nowhere_outside_the_container(root: Path, directory: Path) -> None:
    """A link to the host's file system is followed inside the container's root, where there is nothing."""
    place = root / PLACE.lstrip("/")
    place.rmdir()
    place.symlink_to(f"/../../../..{directory}")

    with hold(root, {"GOOGLE_APPLICATION_CREDENTIALS": f"/../..{directory}/token"}) as pid:
        seen = see(pid, variables={"GOOGLE_APPLICATION_CREDENTIALS": "x"})

    assert seen.directory.kind == "absent"
    assert [thing.kind for thing in seen.paths.values()] == ["absent"]


def test_only_variables_of_clients_are_read(root: Path) -> None:
    """Of a process's variables those that clients read are returned, and no other."""
    with hold(root, {"GOOGLE_CLOUD_PROJECT": "mine", "DATABASE_PASSWORD": "secret"}) as pid:
        seen = see(pid, variables={"GOOGLE_CLOUD_PROJECT": "x", "GCLOUD_PROJECT": "x"})

    assert seen.variables == {"GOOGLE_CLOUD_PROJECT": "mine"}


@pytest.mark.parametrize("is_open", [True, False])
def test_metadata_server_is_tried_from_the_containers_network(root: Path, *, is_open: bool) -> None:
    """It is a connection of the container's own network namespace that shows whether the metadata server is reached."""
    with hold(root, metadata=is_open) as pid:
        seen = see(pid)

    assert seen.metadata == ("open" if is_open else "closed")
    assert seen.google == "closed"


@pytest.mark.parametrize(("place", "reach"), [("169.254.169.254:80", "open"), ("127.0.0.1:9", "closed")])
def test_proxy_is_tried_from_the_containers_network(root: Path, place: str, reach: str) -> None:
    """Behind a proxy it is the proxy that is tried, and the certificates of the container are looked for."""
    variables = {"HTTPS_PROXY": f"http://user:secret@{place}", "SSL_CERT_FILE": "/nonexistent.pem"}

    with hold(root, variables, metadata=True) as pid:
        seen = see(pid)

    assert (seen.google, seen.proxy) == (reach, place)
    assert seen.trust == {"SSL_CERT_FILE": "/nonexistent.pem"}
    assert seen.paths["/nonexistent.pem"].kind == "absent"


def test_hanging_file_system_ends_after_five_seconds(root: Path) -> None:
    """A mount that never answers holds what looks, and not who asks."""
    began = time.monotonic()

    with hang(root) as pid:
        seen = see(pid)

    assert seen.is_hanging
    assert time.monotonic() - began < 10


@contextmanager
def hang(root: Path) -> Iterator[int]:
    """Run a container in which a FUSE file system that never answers lies where the credentials belong."""
    if not Path("/dev/fuse").exists():
        pytest.skip("the kernel has no FUSE: modprobe fuse")
    with hold(root, hang=PLACE) as pid:
        yield pid


def find_child() -> int:
    """Return the process that looks into a container."""

    def find() -> int:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                is_ours = read_status(int(path.parent.name))["PPid"] == str(os.getpid())
                if is_ours and b"doctor/inside.py" in path.read_bytes():
                    return int(path.parent.name)
            except OSError:
                continue
        return 0

    found: int = until(find, what="the process that looks")
    return found


def test_looking_process_has_no_rights_and_can_not_be_traced(root: Path) -> None:
    """Inside, it is the container's user without capabilities, descriptors or a way for that user to trace it."""
    with hang(root) as pid:
        looking = threading.Thread(target=see, args=(pid,))
        looking.start()
        child = find_child()
        until(lambda: read_status(child)["Uid"].split() == [str(UID)] * 4, what="another user")
        until(lambda: PLACE in list_descriptors(child).values(), what="a look at the directory")
        status = read_status(child)
        descriptors = list_descriptors(child)
        namespaces = [Path(f"/proc/{each}/ns/pid").stat().st_ino for each in ("self", child)]
        traced = subprocess.run(
            [
                "setpriv",
                "--reuid",
                str(UID),
                "--regid",
                str(UID),
                "--clear-groups",
                sys.executable,
                "-c",
                TRACE,
                str(child),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        looking.join()

    assert status["Gid"].split() == [str(UID)] * 4
    assert [int(status[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")] == [0, 0, 0, 0]
    assert int(status["CapBnd"], 16) == 0
    assert (status["NoNewPrivs"], status["Threads"]) == ("1", "1")
    assert set(status["Groups"].split()) <= {str(UID)}
    assert descriptors.keys() == {"0", "1"}
    assert (descriptors["0"], descriptors["1"][:5]) == (PLACE, "pipe:")
    assert namespaces[0] == namespaces[1]
    assert traced.stdout.split() == ["EPERM", "EACCES", "EACCES"], traced.stderr


def list_descriptors(pid: int) -> dict[str, str]:
    """Return what the descriptors of a process are, by number."""
    return {path.name: str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()}


TRACE = """
import ctypes, errno, sys
libc = ctypes.CDLL(None, use_errno=True)
print(errno.errorcode[ctypes.get_errno()] if libc.ptrace(16, int(sys.argv[1]), 0, 0) else "traced")
for name in ("mem", "environ"):
    try:
        open(f"/proc/{sys.argv[1]}/{name}").close()
        print("opened")
    except OSError as error:
        print(errno.errorcode[error.errno])
"""


def read_status(pid: int) -> dict[str, str]:
    """Return the fields of a process's status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_planted_modules_and_name_services_are_never_opened(root: Path, directory: Path) -> None:
    """What lies in the container where an interpreter, libc or OpenSSL would look is not opened, let alone run."""
    prefix = Path(sys.base_prefix)
    libraries = [Path(os.__file__).parent.relative_to("/"), Path("usr/lib/python3/dist-packages")]
    planted = [folder / name for folder in libraries for name in PYTHON_MODULES]
    planted += [Path("etc") / name for name in ("nsswitch.conf", "passwd", "group", "resolv.conf", "ld.so.preload")]
    planted += [Path(name) for name in ("usr/lib/ssl/openssl.cnf", "etc/ssl/openssl.cnf", "lib/libnss_evil.so.2")]
    planted += [prefix.relative_to("/") / "pyvenv.cfg"]
    for path in planted:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("raise SystemExit('planted')" if path.suffix == ".py" else "passwd: evil\n")
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_NONBLOCK)
    watched = {libc.inotify_add_watch(watch, os.fsencode(root / path), 0x20): path for path in planted}
    assert -1 not in watched

    with hold(root, {"GOOGLE_APPLICATION_CREDENTIALS": "/etc/passwd"}, binds=[[str(directory), PLACE]]) as pid:
        seen = see(pid, variables={"GOOGLE_APPLICATION_CREDENTIALS": "x"})

    assert seen.files["token"].kind == "file"
    assert seen.paths["/etc/passwd"].kind == "file"  # looked at, and not opened
    assert select.select([watch], [], [], 0)[0] == []
    os.close(watch)


PYTHON_MODULES = (
    "os.py",
    "json/__init__.py",
    "socket.py",
    "encodings/idna.py",
    "encodings/__init__.py",
    "traceback.py",
)


def wait_in(tenant: Tenant) -> tuple[str, str, str]:
    """Return a command that waits for its standard input, and differs from those of other tests."""
    return "sh", "-c", f"echo ready; read -r answer; : {tenant.directory}"


def find_process(tenant: Tenant) -> int:
    """Return the process in a container that waits for its standard input."""

    def find() -> int:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                is_mounted = f" {CREDENTIALS}" in (path.parent / "mountinfo").read_text()
                is_shell = (path.parent / "comm").read_text() == "sh\n"
                if is_mounted and is_shell and path.read_bytes().split(b"\0")[2:3] == [wait_in(tenant)[2].encode()]:
                    return int(path.parent.name)
            except OSError:
                continue
        return 0

    found: int = until(find, what="the container's process")
    return found


def check(tenant: Tenant, pid: int) -> dict[str, Any]:
    """Run doctor for a container; return the findings about it by link."""
    done = tenant.site.worker.command("doctor", "--pid", str(pid), "--json", tenant.target, status=None)
    (target,) = json.loads(done.stdout)["targets"]
    return {each["link"]: each for each in target["findings"]}


def test_healthy_container_shows_nothing(alice: Tenant) -> None:
    """In every kind of container the files and variables are as published."""
    with start(alice.command(*wait_in(alice))) as container:
        assert container.stdout is not None
        assert container.stdout.readline() == "ready\n"

        found = check(alice, find_process(alice))

    assert found["container"]["state"] == "ok", found["container"]
    assert found["variables"]["state"] == "ok", found["variables"]


def test_single_file_in_a_container_is_named(alice: Tenant) -> None:
    """A token that is mounted by itself is named, with the mount that replaces it."""
    mounts = [Mount(source=alice.directory / "token", place=f"{CREDENTIALS}/token")]

    with start(alice.command(*wait_in(alice), mounts=mounts)) as container:
        assert container.stdout is not None
        assert container.stdout.readline() == "ready\n"
        found = check(alice, find_process(alice))

    assert found["container"]["entry"] == "mount-file", found["container"]
    assert f"-v {alice.directory}:{CREDENTIALS}:ro" in found["container"]["remedy"]


def test_directory_that_is_closed_to_the_container_names_files_that_exist(alice: Tenant, bob: Tenant) -> None:
    """Of a directory that the container's user may not enter only files that the host has are in the evidence."""
    with start(bob.command(*wait_in(bob), mounts=[Mount(source=alice.directory, place=CREDENTIALS)])) as container:
        assert container.stdout is not None
        assert container.stdout.readline() == "ready\n"
        found = check(alice, find_process(bob))

    assert found["container"]["entry"] == "mount-unreadable", found["container"]
    assert "token" in found["container"]["evidence"]
    assert "artifacts.json" not in found["container"]["evidence"]
    assert f'owner: ":{bob.uid + bob.runtime.offset}"' in found["container"]["remedy"]


def test_directory_of_another_target_is_named(alice: Tenant, bob: Tenant) -> None:
    """A container with the directory of another target is shown whose it has, and no owner is to be changed."""
    mounts = [Mount(source=bob.directory, place=CREDENTIALS)]

    with start(alice.command(*wait_in(alice), mounts=mounts)) as container:
        assert container.stdout is not None
        assert container.stdout.readline() == "ready\n"
        found = check(alice, find_process(alice))

    assert found["container"]["entry"] == "mount-other", found["container"]
    assert f"directory of target {bob.target}" in found["container"]["evidence"]
    assert "owner" not in found["container"]["remedy"]
