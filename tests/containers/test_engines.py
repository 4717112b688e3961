"""`refresher doctor --container NAME` with real engines: podman's containers, and docker's client with its format."""

import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer
from typing import Any

import pytest

from refresher.doctor.engines import find_process
from refresher.errors import UsageError
from tests.conftest import Need
from tests.containers.conftest import UIDS
from tests.containers.runtimes import CREDENTIALS, OFFSET, Mount, Podman, start
from tests.program import Worker, secret_in

DOCUMENT = Path(__file__).with_name("docker_inspect.json")
WAIT = ("sh", "-c", "echo ready; read -r answer")


@pytest.fixture(params=[0, OFFSET], ids=["podman", "mapped-podman"])
def podman(request: pytest.FixtureRequest, public: Path, need: Need) -> Podman:
    """Return podman as root, without and with an offset of ids."""
    need.root()
    need.tool("podman", "apt install podman")
    need.tool("runc", "apt install runc")
    return Podman(place=public, offset=request.param)


@pytest.fixture
def worker(public: Path, tmp_path: Path, podman: Podman) -> Iterator[Worker]:
    """Return a worker with published targets of alice and bob, whose podman is that of the test's storage."""
    place = public / f"worker-{tmp_path.name}"
    programs = place / "programs"
    programs.mkdir(parents=True)
    storage = f"--storage-driver=vfs --root={public / 'storage'} --runroot={public / 'state'}"
    script = f'exec {shutil.which("podman")} {storage} "$@"'
    (programs / "podman").write_text(f"#!/bin/sh\n{script}\n")
    (programs / "podman").chmod(0o755)
    made = Worker(place=place, environment={"PATH": f"{programs}:{os.environ['PATH']}"})
    made.make_keys()
    owners = {name: f":{uid + podman.offset}" for name, uid in UIDS.items()}
    where = {"container_directory": CREDENTIALS, "mode": "0440"}
    made.configure(*owners, targets={name: {"owner": owner, **where} for name, owner in owners.items()})
    made.once()
    yield made
    assert secret_in(made.everything_printed()) is None


@contextmanager
def running(podman: Podman, worker: Worker, mounts: list[Mount], *, user: str = "alice") -> Iterator[str]:
    """Run a container for the length of a `with` block; return its name."""
    name = f"box-{os.urandom(4).hex()}"
    env_file = worker.directory("alice") / "env"
    command = podman.command(*WAIT, uid=UIDS[user], mounts=mounts, env_file=env_file)
    command.insert(command.index("run") + 1, f"--name={name}")
    with start(command) as container:
        assert container.stdout is not None
        assert container.stdout.readline() == "ready\n", container.stderr and container.stderr.read()
        yield name


def look(worker: Worker, name: str) -> dict[str, Any]:
    """Run doctor for alice and a container; return the finding about its directory."""
    done = worker.command("doctor", "--offline", "--container", name, "--json", "alice", status=None)
    (target,) = json.loads(done.stdout)["targets"]
    (found,) = (each for each in target["findings"] if each["link"] == "container")
    return dict(found)


@pytest.mark.apart
def test_container_with_the_directory_mounted_is_fine(podman: Podman, worker: Worker) -> None:
    """The container is found by its name, and sees the present token in the present directory."""
    with running(podman, worker, [Mount(source=worker.directory("alice"), place=CREDENTIALS)]) as name:
        found = look(worker, name)

    assert found["state"] == "ok", found


@pytest.mark.apart
def test_single_file_is_found(podman: Podman, worker: Worker) -> None:
    """A token that is mounted by itself is named, with the mount that replaces it."""
    mounts = [Mount(source=worker.directory("alice") / "token", place=f"{CREDENTIALS}/token")]

    with running(podman, worker, mounts) as name:
        found = look(worker, name)

    assert found["entry"] == "mount-file", found
    assert f"-v {worker.directory('alice')}:{CREDENTIALS}:ro" in found["remedy"]


@pytest.mark.apart
@pytest.mark.parametrize("is_empty", [False, True], ids=["of another user", "empty"])
def test_wrong_directory_is_found(podman: Podman, worker: Worker, is_empty: bool) -> None:  # noqa: FBT001 - a parameter
    """Where another target's directory is mounted, or an empty one, that is the finding, and not that it is old."""
    source = worker.directory("bob")
    if is_empty:
        source = worker.place / "empty"
        source.mkdir(mode=0o755)

    with running(podman, worker, [Mount(source=source, place=CREDENTIALS)], user="bob") as name:
        found = look(worker, name)

    assert found["entry"] == ("mount-absent" if is_empty else "mount-other"), found
    assert found["state"] == "failed"
    assert str(worker.directory("alice")) in found["remedy"]


@pytest.mark.apart
def test_directory_that_was_removed_is_found(podman: Podman, worker: Worker) -> None:
    """A container that holds the directory of before is named, and shown to be started again."""
    with running(podman, worker, [Mount(source=worker.directory("alice"), place=CREDENTIALS)]) as name:
        shutil.rmtree(worker.directory("alice"))
        worker.once()
        found = look(worker, name)
        held = worker.command("status").stderr

    assert found["entry"] == "mount-deleted", found
    assert f"the former directory {worker.directory('alice')} mounted at {CREDENTIALS}, which was removed" in held


@pytest.mark.apart
def test_container_of_another_user_is_found(podman: Podman, worker: Worker) -> None:
    """A user who may not read the files is named with the owner to configure."""
    with running(podman, worker, [Mount(source=worker.directory("alice"), place=CREDENTIALS)], user="bob") as name:
        found = look(worker, name)

    assert found["entry"] == "mount-unreadable", found
    assert f"uid {UIDS['bob'] + podman.offset}" in found["evidence"] + found["remedy"], found


@pytest.mark.apart
def test_container_that_has_ended_is_an_error(podman: Podman, worker: Worker) -> None:
    """A name that podman does not run is an error with what to use instead."""
    with running(podman, worker, []):
        pass

    done = worker.command("doctor", "--offline", "--container", "absent", "alice", status=2)

    assert "no running container is called absent (asked: podman" in done.stderr
    assert "--pid" in done.stderr


class Docker(BaseHTTPRequestHandler):
    """As much of docker's HTTP interface as its client needs to inspect a container called box."""

    protocol_version = "HTTP/1.1"

    def address_string(self) -> str:
        """Return a name: a unix socket has no address."""
        return "client"

    def log_message(self, *_: object) -> None:
        """Write nothing."""

    def do_HEAD(self) -> None:
        """Answer the question for the version."""
        self._answer(200, b"")

    def do_GET(self) -> None:
        """Answer with the container, or with an error."""
        if self.path.endswith("/_ping"):
            self._answer(200, b"OK")
        elif "/containers/box/json" in self.path:
            self._answer(200, DOCUMENT.read_bytes())
        else:
            self._answer(404, b'{"message": "No such container"}')

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Api-Version", "1.43")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.mark.apart
def test_dockers_own_client_is_understood(tmp_path: Path, need: Need) -> None:
    """From docker's format of a container its client prints the process, and none for a name that it does not know."""
    docker = need.tool("docker", "apt install docker.io")
    path = tmp_path / "docker.sock"
    program = tmp_path / "docker"
    program.write_text(f'#!/bin/sh\nDOCKER_HOST=unix://{path} exec {docker} "$@"\n')
    program.chmod(0o755)
    with UnixStreamServer(str(path), Docker) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()

        found = find_process("box", engines=[str(program)])
        with pytest.raises(UsageError, match="no running container is called other"):
            find_process("other", engines=[str(program)])
        server.shutdown()
        serving.join()

    assert found == json.loads(DOCUMENT.read_text())["State"]["Pid"]
