"""The hook `refresher-hook` as an OCI runtime calls it, with a process in a network namespace as the container."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.network_namespaces import NamespaceSite, open_site
from tests.program import COMMAND, Worker, account_of, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from refresher.emulator.testing import Scenario
    from tests.conftest import Need

    Cloud = tuple[Worker, Scenario]

pytestmark = pytest.mark.slow

HOOK = str(Path(COMMAND[0]).with_name("refresher-hook"))
CONTAINER = "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
TOKEN = "/computeMetadata/v1/instance/service-accounts/default/token"
ASKING = f"""
import json, urllib.request
headers = {{"Metadata-Flavor": "Google"}}
request = urllib.request.Request("http://127.0.0.1:8174{TOKEN}", headers=headers)
print(json.load(urllib.request.urlopen(request))["access_token"])
"""


@dataclass
class Engine:
    """What an OCI runtime does with a container, as far as hooks go."""

    namespaces: NamespaceSite
    drop_ins: Path
    stack: ExitStack
    annotations: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """Where the hook shows the container's namespace."""
        return self.namespaces.root / CONTAINER

    def begin(self) -> int:
        """Return a process that has a network namespace like that of a new container."""
        process = subprocess.Popen(["unshare", "--net", "sleep", "600"])
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        own, others = Path("/proc/self/ns/net"), Path(f"/proc/{process.pid}/ns/net")
        until(lambda: not own.samefile(others), what="a namespace of its own")
        return process.pid

    def call(self, pid: int, *options: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Call the hook, with the state of the container or another text."""
        state = {
            "ociVersion": "1.0.2",
            "id": CONTAINER,
            "status": "creating",
            "pid": pid,
            "bundle": str(self.drop_ins),
            "annotations": self.annotations,
        }
        places = ["--drop-ins", str(self.drop_ins), "--root", str(self.namespaces.root)]
        return subprocess.run(
            [HOOK, *places, *options],
            input=json.dumps(state) if text is None else text,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={"REFRESHER_TARGET": "bob", "PATH": os.environ["PATH"]},
        )


@pytest.fixture
def engine(tmp_path: Path, need: Need) -> Iterator[Engine]:
    """Return a runtime on a machine with a helper and an empty directory of drop-ins."""
    need.root()
    drop_ins = tmp_path / "targets.d"
    drop_ins.mkdir(mode=0o755)
    with open_site(tmp_path) as namespaces, ExitStack() as stack:
        engine = Engine(namespaces, drop_ins, stack)
        namespaces.stack.callback(namespaces.remove, CONTAINER)
        yield engine


def start(worker: Worker) -> None:
    """Configure alice and bob as identities, without a container."""
    worker.configure("alice", "bob", targets={}, targets_directory=str(worker.drop_ins))


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """Return the sentence of a hook that keeps its container from starting."""
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_container_starts_when_its_endpoint_answers(cloud: Cloud, engine: Engine) -> None:
    """The drop-in for the id decides: alice's container that is annotated as bob's gets alice's token."""
    worker, google = cloud
    start(worker)
    engine.annotations = dict.fromkeys(("refresher.target", "target", "identity", "id"), "bob")
    worker.drop_in("bob", metadata={"netns": str(engine.namespaces.make("bob"))})
    with worker.daemon("--netns-helper", str(engine.namespaces.socket)) as log:
        log.wait_for("metadata.serving", target="bob")
        worker.drop_in("alice-train", identity="alice", metadata={"netns": str(engine.path)})
        log.wait_for("metadata.closed", target="alice-train")

        done = engine.call(engine.begin(), "--timeout", "30")

        assert (done.returncode, done.stderr) == (0, "")
        token = engine.namespaces.run(CONTAINER, ASKING)
        assert google.whoami(token)["service_account"] == account_of("alice")

        stopped = json.dumps({"ociVersion": "1.0.2", "id": CONTAINER, "status": "stopped"})
        assert engine.call(0, "--release", text=stopped).returncode == 0
        assert not engine.path.exists()
        log.wait_for("metadata.closed", target="alice-train", count=2)


def test_container_without_a_drop_in_is_refused(cloud: Cloud, engine: Engine) -> None:
    """Neither an annotation, a variable nor the bundle names a target: bob's is there, and its container is another."""
    worker, _ = cloud
    start(worker)
    engine.annotations = {"refresher.target": "bob"}
    worker.drop_in("bob", metadata={"netns": str(engine.namespaces.root / f"{CONTAINER}0")})

    problem = refusal(engine.call(engine.begin()))

    assert f"no drop-in in {engine.drop_ins} is for it" in problem
    assert not engine.path.exists()


@pytest.mark.parametrize("what", ["file", "directory"])
def test_drop_in_that_another_user_can_write_is_refused(engine: Engine, what: str) -> None:
    """Only root decides whose a container is."""
    file = engine.drop_ins / "alice.yaml"
    file.write_text(f"metadata: {{netns: {engine.path}}}\n")
    os.chown(file if what == "file" else engine.drop_ins, 65534, -1)

    assert "others than root can change" in refusal(engine.call(engine.begin()))
    assert not engine.path.exists()


def test_container_is_not_started_when_no_one_answers(engine: Engine) -> None:
    """After the timeout the namespace is not shown any more, and the sentence has a remedy."""
    (engine.drop_ins / "alice.yaml").write_text(f"metadata:\n  netns: {engine.path}\n")

    problem = refusal(engine.call(engine.begin(), "--timeout", "0.2"))

    assert "the endpoint of target alice did not answer at 127.0.0.1:8174 in time" in problem
    assert "refresher status" in problem
    assert not engine.path.exists()


def test_container_is_not_started_when_another_program_answers(cloud: Cloud, engine: Engine) -> None:
    """In a namespace that is also that of bob's container, alice's is not started."""
    worker, _ = cloud
    start(worker)
    pid = engine.begin()
    other = engine.namespaces.root / "bob"
    other.touch()
    subprocess.run(["mount", "--bind", f"/proc/{pid}/ns/net", str(other)], check=True)
    engine.namespaces.stack.callback(engine.namespaces.remove, "bob")
    worker.drop_in("bob", metadata={"netns": str(other)})
    worker.drop_in("alice", metadata={"netns": str(engine.path)})
    with worker.daemon("--netns-helper", str(engine.namespaces.socket)) as log:
        log.wait_for("metadata.serving", target="bob")

        problem = refusal(engine.call(pid))

    assert "another program than target alice answers at port 8174" in problem


def test_hosts_network_namespace_is_refused(engine: Engine) -> None:
    """A container that shares the host's network would put an endpoint within reach of all."""
    (engine.drop_ins / "alice.yaml").write_text(f"metadata: {{netns: '{engine.path}'}}\n")

    assert "it has the host's network namespace" in refusal(engine.call(os.getpid()))


def test_namespace_of_a_container_that_runs_is_not_replaced(engine: Engine) -> None:
    """A second container with the same id does not become the target."""
    (engine.drop_ins / "alice.yaml").write_text(f"metadata: {{netns: '{engine.path}'}}\n")
    before = engine.namespaces.make(CONTAINER).stat()

    assert "is left from another container" in refusal(engine.call(engine.begin()))
    assert os.path.samestat(engine.path.stat(), before)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"id": "../alice", "pid": 1}',
        '{"id": ".", "pid": 1}',
        '{"id": "", "pid": 1}',
        '{"id": "alice", "pid": -1}',
        '{"id": "alice", "pid": "1"}',
        '{"id": ["alice"], "pid": 1}',
        "[" * 100_000,
        '{"id": "alice", "pid": 1, "annotations": {"x": "' + "x" * (1 << 21) + '"}}',
    ],
    ids=range(11),
)
def test_what_is_not_the_state_of_a_container_is_refused(engine: Engine, text: str) -> None:
    """Standard input is read up to a limit, and an id can't lead out of the root."""
    assert "is not the state of a container" in refusal(engine.call(1, text=text))


def test_hook_needs_the_standard_library_alone() -> None:
    """Each start of a container waits for the imports."""
    program = "import refresher.metadata.hook, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    bare = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )

    foreign = set(done.stdout.split()) - set(bare.stdout.split()) - sys.stdlib_module_names

    assert foreign == {"refresher"}
