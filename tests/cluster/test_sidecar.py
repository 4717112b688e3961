"""The native sidecar of `configs/kubernetes` on a real node: a Job reads its files all the while, and completes.

The pod has no network to Google. What it reads is taken out of it, and an unmodified client uses it on the emulator.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from refresher.emulator.testing import emulator
from tests.cluster.node import SANDBOX, Node, delete_pods, running_node
from tests.installation import INSTALL_SECONDS, install
from tests.installed.chart import KUBERNETES, render
from tests.installed.cluster import ISSUER, free_ports, running_cluster
from tests.installed.install import HELM
from tests.packages.image import DAEMON, build_image, download_wheels
from tests.packages.podman import BASE, DEBIAN, LIMITS, open_podman
from tests.program import account_of, secret_in, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Act, Need

IMAGE = "docker.io/local/refresher:test"
READS = 1_000_000
SCRIPT = f"""
import json, os, pathlib
place = pathlib.Path("/run/refresher/main")
names = ("token", "credentials.json", "env")
first = {{name: (place / name).exists() for name in names}}
lost = 0
for number in range({READS}):
    try:
        lost += not (place / names[number % 3]).read_bytes()
    except OSError:
        lost += 1
files = {{name: (place / name).read_text() for name in names}}
try:
    (place / "token").write_text("mine")
    changed = True
except OSError:
    changed = False
print(json.dumps({{"first": first, "lost": lost, "uid": os.getuid(), "changed": changed, "files": files}}))
"""

ASK = """
import time, urllib.request
account = "computeMetadata/v1/instance/service-accounts/default/email"
request = urllib.request.Request(f"http://127.0.0.1:8174/{account}", headers={"Metadata-Flavor": "Google"})
print(urllib.request.urlopen(request, timeout=20).read().decode(), flush=True)
time.sleep(3600)
"""

pytestmark = [pytest.mark.apart, pytest.mark.slow, pytest.mark.timeout(INSTALL_SECONDS)]


@pytest.fixture(scope="module")
def images(need: Need) -> Iterator[list[Path]]:
    """Return archives of the daemon's image and of the one that holds a pod's namespaces."""
    need.root()
    for tool in ("podman", "runc"):
        need.tool(tool, f"apt install {tool}")
    with open_podman(install(DEBIAN, need)) as podman, tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        (place / "wheels").mkdir()
        build_image(podman, download_wheels(podman, place / "wheels"), DAEMON, "daemon")
        (place / "Containerfile").write_text(f'FROM {BASE}\nENTRYPOINT ["/usr/bin/sleep", "infinity"]\n')
        podman.run("build", "--quiet", f"--tag={SANDBOX}", "--network=none", *LIMITS, str(place))
        podman.run("tag", DAEMON, IMAGE)
        for number, name in enumerate((SANDBOX, IMAGE)):
            archive = f"--output={place / str(number)}.tar"
            podman.run("save", "--quiet", "--format=docker-archive", archive, name)
        yield sorted(place.glob("*.tar"))


@pytest.fixture(scope="module")
def own_node(images: list[Path], tmp_path_factory: pytest.TempPathFactory, need: Need) -> Iterator[Node]:
    """Return a node that has the images, and the namespaces of the guide."""
    place = Path(tempfile.mkdtemp(prefix="refresher-node-"))
    (port,) = free_ports(1)
    with (
        running_cluster(tmp_path_factory.mktemp("cluster"), need) as cluster,
        running_node(cluster, place, need, port) as made,
    ):
        for archive in images:
            made.ctr("images", "import", str(archive))
        cluster.kubectl("apply", "--filename", str(KUBERNETES / "namespaces.yaml"))
        cluster.kubectl("create", "serviceaccount", "alice", "--namespace", "users")
        yield made


@pytest.fixture
def node(own_node: Node) -> Iterator[Node]:
    """Return the node, which runs no pod before a test and after it."""
    yield own_node
    delete_pods(own_node)


def apply(node: Node, need: Need, tmp_path: Path, topology: str, script: str) -> None:
    """Install the chart as its example does, with this image and a script as the program."""
    workload = {"image": IMAGE, "command": ["python3", "-c", script]}
    values = {
        "image": {"repository": IMAGE.rpartition(":")[0], "tag": "test", "pullPolicy": "Never"},
        "pod": {"canary": "off", "workload": workload},
    }
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
    rendered = render(install(HELM, need) / "helm", topology, "--values", str(tmp_path / "values.yaml"))
    assert rendered.returncode == 0, rendered.stderr
    node.cluster.kubectl("apply", "--filename", "-", given=rendered.stdout)


def find_pod(node: Node, release: str) -> dict[str, Any]:
    """Return the one pod of a release."""
    label = f"--selector=app.kubernetes.io/instance={release}"
    listed = node.cluster.kubectl("get", "pods", "--namespace", "users", label, "--output", "json")
    (pod,) = json.loads(listed)["items"]
    found: dict[str, Any] = pod
    return found


def run_job(node: Node, need: Need, tmp_path: Path) -> dict[str, Any]:
    """Run the chart's Job, end its sidecar with SIGKILL while it reads, and return what it prints."""
    apply(node, need, tmp_path, "sidecar", SCRIPT)

    until(lambda: node.find_processes("/run/refresher/main"), what="the main container runs")
    (sidecar,) = node.find_processes("refresher run")
    os.kill(sidecar, signal.SIGKILL)
    # longer than one call of kubectl may take
    waiting = ("wait", "job/alice", "--for=condition=complete", "--timeout=50s", "--namespace", "users")
    assert any(node.cluster.attempt(*waiting).returncode == 0 for _ in range(10)), "the Job completes"
    pod = find_pod(node, "alice")
    printed: dict[str, Any] = json.loads(node.read_log(pod["metadata"]["name"], "main"))
    sidecar_log = node.read_log(pod["metadata"]["name"], "refresher")
    assert secret_in(sidecar_log) is None
    return {**printed, "restarts": pod["status"]["initContainerStatuses"][0]["restartCount"]}


def test_job_with_a_sidecar_reads_all_the_while_and_completes(node: Node, need: Need, act: Act, tmp_path: Path) -> None:
    """Every file is there when the Job starts, and in a million reads, also while the sidecar is killed; it completes.

    The token is the pod's own, and an unmodified client acts with it as the service account, and as no other.
    """
    found = run_job(node, need, tmp_path)

    assert found["first"] == {"token": True, "credentials.json": True, "env": True}
    assert (found["lost"], found["restarts"], found["changed"], found["uid"]) == (0, 1, False, 65532)
    with emulator() as google:
        google.add_provider(provider="cluster", issuer=ISSUER, jwks=node.cluster.jwks())
        directory = tmp_path / "files"
        directory.mkdir()
        origins = {
            "https://sts.googleapis.com": google.http,
            "https://iamcredentials.googleapis.com": google.http,
            "/run/refresher/main": str(directory),
        }
        for name, text in found["files"].items():
            for seen, meant in origins.items():
                text = text.replace(seen, meant)  # noqa: PLW2901 - one change after the other
            (directory / name).write_text(text)
        refused = act(directory, google)
        google.allow(account_of("alice"), subject="system:serviceaccount:users:alice")
        accepted = act(directory, google)

    assert "iam.serviceAccounts.getAccessToken" in refused["refused"]
    assert accepted["service_account"] == account_of("alice")


def test_metadata_endpoint_answers_its_own_pod_alone(node: Node, need: Need, tmp_path: Path) -> None:
    """The endpoint answers with the pod's account when the main container starts, and no one outside the pod."""
    apply(node, need, tmp_path, "sidecar-metadata", ASK)
    until(lambda: node.find_processes("computeMetadata"), what="the main container runs")
    pod = find_pod(node, "alice-server")

    until(lambda: node.read_log(pod["metadata"]["name"], "main"), what="an answer")

    assert node.read_log(pod["metadata"]["name"], "main") == account_of("alice")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((pod["status"]["podIP"], 8174), timeout=10)
