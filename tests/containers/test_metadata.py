"""A metadata endpoint in a podman container: in a namespace created before it, and in podman's own by the hook."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refresher.emulator.testing import emulator
from tests.containers.runtimes import Podman
from tests.network_namespaces import open_site
from tests.program import COMMAND, ISSUER, Worker, account_of, secret_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Need

    Run = Callable[..., str]
    Start = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [pytest.mark.slow, pytest.mark.apart]

HOOKS = Path(__file__).parents[2] / "configs" / "oci-hooks"
GOOGLE_AUTH = """
import json, google.auth, google.auth.transport.requests
with google.auth.transport.requests.Request().session as session:
    request = google.auth.transport.requests.Request(session)
    credentials, project = google.auth.default(["https://www.googleapis.com/auth/cloud-platform"], request=request)
    credentials.refresh(request)
print(json.dumps({"email": credentials.service_account_email, "project": project}))
"""


@pytest.fixture(scope="module")
def run(public: Path, need: Need, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Return a function that runs a program in alice's container, with the variables of `env` or with none."""
    need.root()
    need.tool("podman", "apt install podman")
    need.tool("runc", "apt install runc")
    place = tmp_path_factory.mktemp("metadata")
    with emulator() as google, open_site(place) as namespaces:
        origins = {"sts": google.http, "iam_credentials": google.http, "metadata": google.http}
        worker = Worker(place=place, google={"emulator": True, "endpoints": origins})
        google.add_provider(issuer=ISSUER, jwks=worker.make_keys())
        google.allow(account_of("alice"), subject="user-alice")
        path = namespaces.make("alice")
        target = {"metadata": {"netns": str(path), "link_local": True}, "environment": "metadata"}
        worker.configure("alice", targets={"alice": target})
        env = worker.directory("alice") / "env"

        def run_in_container(*command: str, has_variables: bool) -> str:
            podman = Podman(place=public).command(
                *command, uid=1042, mounts=[], env_file=env if has_variables else None
            )
            replaced = {"--network=host": f"--network=ns:{path}"}
            if not has_variables:
                replaced["--no-hosts"] = "--add-host=metadata.google.internal:169.254.169.254"
            done = subprocess.run(
                [replaced.get(each, each) for each in podman], capture_output=True, text=True, check=False, timeout=100
            )
            assert done.returncode == 0, done.stderr[-2000:]
            return done.stdout

        with worker.daemon("--netns-helper", str(namespaces.socket)):
            worker.command("wait", "--timeout", "30s")
            yield run_in_container
    assert secret_in(worker.everything_printed()) is None


@pytest.mark.parametrize("has_variables", [True, False], ids=["variables", "nothing set"])
def test_google_auth_acts_as_the_account(run: Run, *, has_variables: bool) -> None:
    """Nothing is mounted: the variables are enough, and so are the link-local address and a host entry."""
    found = json.loads(run("/mnt/python/bin/python3", "-c", GOOGLE_AUTH, has_variables=has_variables))

    assert found == {"email": account_of("alice"), "project": "my-project"}


@pytest.fixture(scope="module")
def start(public: Path, need: Need, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Return a function that creates a container with podman's own namespace, adds its drop-in, and starts it."""
    need.root()
    need.tool("podman", "apt install podman")
    need.tool("runc", "apt install runc")
    place = tmp_path_factory.mktemp("hook")
    with emulator() as google, open_site(place) as namespaces:
        origins = {"sts": google.http, "iam_credentials": google.http, "metadata": google.http}
        worker = Worker(place=place, google={"emulator": True, "endpoints": origins})
        google.add_provider(issuer=ISSUER, jwks=worker.make_keys())
        google.allow(account_of("alice"), subject="user-alice")
        worker.drop_ins.mkdir()
        worker.configure("alice", "bob", targets={}, targets_directory=str(worker.drop_ins))
        places = ["--drop-ins", str(worker.drop_ins), "--root", str(namespaces.root)]
        hooks = write_hooks(place / "hooks.d", *places)

        def start_container(*command: str, annotation: str, target: str | None) -> subprocess.CompletedProcess[str]:
            podman = Podman(place=public).command(*command, uid=1042, mounts=[], env_file=None)
            replaced = {"run": "create", "--network=host": "--network=none"}
            replaced["--no-hosts"] = "--add-host=metadata.google.internal:169.254.169.254"
            create = [replaced.get(each, each) for each in podman]
            first = create.index("create")
            engine = [*create[:first], f"--hooks-dir={hooks}"]
            options = [f"--annotation=refresher.target={annotation}", f"--env=REFRESHER_TARGET={annotation}"]
            created = run_command([*engine, "create", *options, *create[first + 1 :]])
            assert created.returncode == 0, created.stderr[-2000:]
            container = created.stdout.strip()
            path = namespaces.root / container
            if target is not None:
                worker.drop_in(target, metadata={"netns": str(path), "link_local": True}, environment="metadata")
            started = run_command([*engine, "start", "--attach", container])
            run_command([*engine, "rm", "--force", "--ignore", container])
            assert not path.exists()
            return started

        with worker.daemon("--netns-helper", str(namespaces.socket)):
            yield start_container
    assert secret_in(worker.everything_printed()) is None


def write_hooks(place: Path, *options: str) -> Path:
    """Return a directory with the hooks that are shipped, with this program and these options."""
    place.mkdir()
    program = str(Path(COMMAND[0]).with_name("refresher-hook"))
    for file in HOOKS.iterdir():
        document = json.loads(file.read_text())
        document["hook"] |= {"path": program, "args": [*document["hook"]["args"], *options]}
        (place / file.name).write_text(json.dumps(document))
    return place


def run_command(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command with an empty standard input."""
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=100)


def test_hook_starts_the_container_once_its_endpoint_answers(start: Start) -> None:
    """A container that has nothing set acts as the account of its drop-in, not of its annotation, from the start."""
    done = start("/mnt/python/bin/python3", "-c", GOOGLE_AUTH, annotation="bob", target="alice")

    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == {"email": account_of("alice"), "project": "my-project"}


def test_hook_keeps_a_container_without_a_drop_in_from_starting(start: Start) -> None:
    """No process of it runs, and podman shows the hook's sentence."""
    done = start("echo", "started", annotation="alice", target=None)

    assert done.returncode != 0
    assert "started" not in done.stdout
    assert "is not started: no drop-in in" in done.stderr
