"""A node of Kubernetes: kubelet, containerd and what schedules pods, next to the API server of `tests/installed`.

Everything is on loopback or below one directory, and ends with the `with` block: pods first, then the kubelet, so that
no process and no mount is left.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from tests.installation import OUTPUT, Recipe, install
from tests.installed.install import GO_FLAGS
from tests.program import PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Need
    from tests.installed.cluster import Cluster

_COMMANDS = ("kube-controller-manager", "kube-scheduler", "kubelet")
NODE = Recipe(
    source=Path(__file__).with_name("kubernetes"),
    tool="go",
    remedy="install Go",
    commands=(
        (
            *("go", "build", "-p", "2", "-trimpath", "-ldflags", f"-s -w {GO_FLAGS}", "-o", "bin/"),
            *(f"k8s.io/kubernetes/cmd/{name}" for name in _COMMANDS),
        ),
    ),
)
SANDBOX = "docker.io/local/sandbox:test"
NAME = "node1"
_NETWORK = {
    "cniVersion": "0.4.0",
    "name": "pods",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "refresher0",
            "isGateway": True,
            "ipMasq": False,
            "ipam": {"type": "host-local", "dataDir": "", "ranges": [[{"subnet": "10.213.0.0/24"}]]},
        },
    ],
}
_CONTAINERD = """version = 2
root = "{place}/containerd"
state = "{place}/run"
[grpc]
address = "{place}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{sandbox}"
restrict_oom_score_adj = true
disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{place}/cni"
"""


@dataclass(frozen=True)
class Node:
    """A node whose pods can be watched from outside.

    Attributes:
        place: The directory with its files.
        cluster: The cluster that it belongs to.
    """

    place: Path
    cluster: Cluster

    def ctr(self, *arguments: str) -> str:
        """Run containerd's client and return its output."""
        command = ["ctr", "--address", str(self.place / "containerd.sock"), "--namespace", "k8s.io", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=3 * PATIENCE).stdout

    def read_log(self, pod: str, container: str) -> str:
        """Return what the last run of a pod's container printed."""
        (folder,) = (self.place / "logs").glob(f"*_{pod}_*/{container}")
        lines = max(folder.glob("*.log")).read_text().splitlines()
        return "\n".join(line.split(" ", 3)[3] for line in lines)

    def find_processes(self, pattern: str) -> list[int]:
        """Return the processes of containers whose command line contains a text."""
        tasks = [line.split() for line in self.ctr("tasks", "ls").splitlines()[1:]]
        commands = {int(pid): Path(f"/proc/{pid}/cmdline") for _, pid, state in tasks if state == "RUNNING"}
        return [
            pid
            for pid, path in commands.items()
            if pattern in path.read_bytes().decode(errors="replace").replace("\0", " ")
        ]


def _write_kubelet(place: Path, cluster: Cluster, port: int) -> Path:
    document = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "127.0.0.1",
        "port": port,
        "healthzPort": 0,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": {"clientCAFile": str(cluster.ca_file)},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "localStorageCapacityIsolation": False,
        "makeIPTablesUtilChains": False,
        "oomScoreAdj": 0,
        "failCgroupV1": False,
        "containerRuntimeEndpoint": f"unix://{place}/containerd.sock",
        "podLogsDir": str(place / "logs"),
    }
    path = place / "kubelet.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


@contextmanager
def running_node(cluster: Cluster, place: Path, need: Need, port: int) -> Iterator[Node]:
    """Run a node for the length of a `with` block, in which `place` is the directory of all its files."""
    need.root()
    containerd = need.tool("containerd", "apt install containerd")
    need.tool("runc", "apt install runc")
    programs = install(NODE, need) / "bin"
    kubeconfig = f"--kubeconfig={cluster.place / 'kubeconfig'}"
    (place / "cni").mkdir()
    (place / "cni" / "pods.conflist").write_text(
        json.dumps(_NETWORK).replace('"dataDir": ""', f'"dataDir": "{place}/addresses"')
    )
    (place / "containerd.toml").write_text(_CONTAINERD.format(place=place, sandbox=SANDBOX))
    made = Node(place, cluster)
    with ExitStack() as ends:
        ends.callback(_unmount, place)
        _start(ends, place, [containerd, "--config", str(place / "containerd.toml")])
        until((place / "containerd.sock").exists, what="containerd listens")
        _start(
            ends,
            place,
            [
                *(str(programs / "kube-controller-manager"), kubeconfig, "--leader-elect=false", "--secure-port=0"),
                f"--service-account-private-key-file={cluster.place / 'accounts.key'}",
                f"--root-ca-file={cluster.ca_file}",
            ],
        )
        _start(ends, place, [str(programs / "kube-scheduler"), kubeconfig, "--leader-elect=false", "--secure-port=0"])
        _start(
            ends,
            place,
            [
                *(
                    str(programs / "kubelet"),
                    kubeconfig,
                    f"--hostname-override={NAME}",
                    f"--root-dir={place / 'kubelet'}",
                ),
                *(
                    f"--config={_write_kubelet(place, cluster, port)}",
                    f"--cert-dir={place / 'pki'}",
                    "--node-ip=127.0.0.1",
                ),
            ],
        )
        ends.callback(delete_pods, made)
        try:
            until(lambda: "Ready" in _read_conditions(cluster), what="the node is ready")
        except AssertionError as error:
            raise AssertionError(f"{error}: {_read_ends(place)}") from None
        yield made


def _read_conditions(cluster: Cluster) -> str:
    path = "jsonpath={.status.conditions[?(@.status=='True')].type}"
    return cluster.attempt("get", "node", NAME, "--output", path).stdout


def _read_ends(place: Path) -> str:
    return "\n".join(log.read_text()[-OUTPUT:] for log in place.glob("*.log"))


def delete_pods(node: Node) -> None:
    """Delete everything that runs pods, and wait until no task is left: what runs them outlives a kubelet."""
    for kind in ("jobs", "deployments", "daemonsets", "pods"):
        node.cluster.attempt("delete", kind, "--all", "--all-namespaces", "--grace-period=1", "--wait=false")
    until(lambda: not node.ctr("tasks", "ls", "--quiet").strip(), what="all pods have ended")


def _start(ends: ExitStack, place: Path, command: list[str]) -> None:
    with (place / f"{Path(command[0]).name}.log").open("ab") as output:
        process = subprocess.Popen(command, cwd=place, env={"PATH": os.environ["PATH"]}, stdout=output, stderr=output)
    ends.callback(_end, process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(10)
    process.kill()
    process.wait(PATIENCE)


def _unmount(place: Path) -> None:
    """Unmount what is left below the directory, the innermost first, and remove the bridge and the directory."""
    points = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for point in sorted((point for point in points if point.startswith(f"{place}/")), reverse=True):
        subprocess.run(["umount", "--lazy", point], check=False, capture_output=True)
    subprocess.run(["ip", "link", "delete", "refresher0"], check=False, capture_output=True)
    shutil.rmtree(place, ignore_errors=True)
