"""The ways of docs/metadata.md to start a program where its endpoint is open: containerd, systemd, ip netns."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refresher.emulator.testing import emulator
from tests.containers.test_readme import machine_under_systemd
from tests.network_namespaces import open_site
from tests.program import ISSUER, PATIENCE, Worker, account_of, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Need

pytestmark = [pytest.mark.slow, pytest.mark.apart, pytest.mark.timeout(6 * PATIENCE)]

ASKING = (
    'curl -sS --max-time 20 -H "Metadata-Flavor: Google" '
    '"http://$GCE_METADATA_HOST/computeMetadata/v1/instance/service-accounts/default/?recursive=true"'
)


@pytest.fixture(scope="module")
def worker(need: Need, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """Return a worker whose daemon serves alice's namespace, which is at `netns/alice`."""
    need.root()
    place = tmp_path_factory.mktemp("recipes")
    with emulator() as google, open_site(place) as namespaces:
        origins = {"sts": google.http, "iam_credentials": google.http, "metadata": google.http}
        made = Worker(place=place, google={"emulator": True, "endpoints": origins})
        google.add_provider(issuer=ISSUER, jwks=made.make_keys())
        google.allow(account_of("alice"), subject="user-alice")
        target = {"metadata": {"netns": str(namespaces.make("alice"))}, "environment": "metadata"}
        made.configure("alice", targets={"alice": target})
        with made.daemon("--netns-helper", str(namespaces.socket)):
            made.command("wait", "--timeout", "60s")
            yield made


def run(*command: str) -> str:
    """Return what a command prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def check_account(printed: str) -> None:
    """Check that a program was answered as alice's account."""
    assert json.loads(printed)["email"] == account_of("alice")


def test_plain_program_runs_with_ip_netns(worker: Worker, need: Need) -> None:
    """`ip netns exec` and the variables of `env` are enough."""
    need.tool("ip", "apt-get install iproute2")
    env = worker.directory("alice") / "env"
    script = (
        f"mkdir -p /run/netns; mount --rbind {worker.place / 'netns'} /run/netns; "
        f"ip netns exec alice env $(cat {env}) sh -c '{ASKING}'"
    )

    check_account(run("unshare", "--mount", "sh", "-ec", script))


def test_containerd_runs_a_container_in_the_namespace(worker: Worker, need: Need, tmp_path: Path) -> None:
    """`ctr run --with-ns` starts it where the endpoint is open."""
    for tool in ("containerd", "ctr", "runc"):
        need.tool(tool, "apt-get install containerd runc")
    socket, image = tmp_path / "c.sock", tmp_path / "image"
    for name in ("usr", "proc", "sys", "dev", "tmp", "run", "etc"):
        (image / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64", "sbin"):
        (image / name).symlink_to(f"usr/{name}")
    settings = tmp_path / "config.toml"
    settings.write_text(
        f'version = 2\nroot = "{tmp_path / "root"}"\nstate = "{tmp_path / "state"}"\n'
        f'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "{socket}"\n'
    )
    with subprocess.Popen(
        ["containerd", "--config", str(settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as engine:
        try:
            until(socket.exists, what="containerd")
            env = worker.directory("alice") / "env"
            printed = run(
                *("ctr", "--address", str(socket), "run", "--rm", "--rootfs", "--env-file", str(env)),
                *("--with-ns", f"network:{worker.place / 'netns' / 'alice'}"),
                *("--mount", "type=bind,src=/usr,dst=/usr,options=rbind:ro"),
                *(str(image), "alice", "/usr/bin/env", "PATH=/usr/bin:/bin", "sh", "-c", ASKING),
            )
        finally:
            engine.terminate()

    check_account(printed)


def test_systemd_starts_a_unit_in_the_namespace(worker: Worker, need: Need, tmp_path: Path) -> None:
    """`NetworkNamespacePath=` and `EnvironmentFile=` are enough."""
    for tool in ("podman", "runc", "systemctl"):
        need.tool(tool, "apt-get install podman runc systemd")
    place = worker.place
    env = tmp_path / "env"
    env.write_text((worker.directory("alice") / "env").read_text())
    mounts = (f"--volume={place / 'netns'}:/run/netns:rw,rslave", f"--volume={env}:/mnt/env:ro")
    options = ("--cap-add=SYS_ADMIN", "--cap-add=NET_ADMIN", *mounts)
    (tmp_path / "machine").mkdir()
    with machine_under_systemd(tmp_path / "machine", *options) as machine:
        unit = "systemd-run --quiet --wait --pipe --property=NetworkNamespacePath=/run/netns/alice"
        printed = machine.run(f"{unit} --property=EnvironmentFile=/mnt/env sh -c '{ASKING}'")

    check_account(printed)
