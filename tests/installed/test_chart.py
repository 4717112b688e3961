"""The chart and the manifests of `configs/kubernetes`: rendered by helm, and judged by a real API server."""

from __future__ import annotations

import copy
import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from refresher import __version__
from refresher.config.loader import load
from tests.docs.chart_reference import list_values
from tests.installation import INSTALL_SECONDS, install
from tests.installed.chart import CHART, KUBERNETES, RELEASES, render, run_helm, write_manifest
from tests.installed.cluster import running_cluster
from tests.installed.install import HELM, KUBERNETES_VERSION
from tests.program import COMMAND, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Need
    from tests.installed.cluster import Cluster

pytestmark = pytest.mark.timeout(INSTALL_SECONDS)
topologies = pytest.mark.parametrize("topology", RELEASES)
sidecars = pytest.mark.parametrize("topology", ["sidecar", "sidecar-metadata"])
TENANTS = "tenants-of-nodes"
TENANT: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "task", "namespace": TENANTS},
    "spec": {
        "serviceAccountName": "alice",
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1042, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": [{"name": "google", "hostPath": {"path": f"/run/refresher/{TENANTS}.alice"}}],
        "containers": [
            {
                "name": "main",
                "image": "python:3.13",
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                "volumeMounts": [{"name": "google", "mountPath": "/run/google", "readOnly": True}],
            }
        ],
    },
}
"""A pod that the policy allows."""


@pytest.fixture(scope="module")
def helm(need: Need) -> Path:
    """Return helm."""
    return install(HELM, need) / "helm"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, need: Need) -> Iterator[Cluster]:
    """Return a cluster with the namespaces of the guide, whose policy for tenants is in force."""
    with running_cluster(tmp_path_factory.mktemp("cluster"), need) as made:
        made.kubectl("apply", "--filename", str(KUBERNETES / "namespaces.yaml"))
        for namespace, account in (("users", "alice"), (TENANTS, "alice"), (TENANTS, "bob"), ("refresher", "default")):
            made.kubectl("create", "serviceaccount", account, "--namespace", namespace)
        made.kubectl("apply", "--filename", str(KUBERNETES / "node.yaml"))
        until(lambda: refuse(made, with_host_path("/run")) != "", what="the policy is in force")
        yield made


def read_documents(topology: str) -> list[dict[str, Any]]:
    """Return the objects of a plain manifest."""
    return list(yaml.safe_load_all((KUBERNETES / f"{topology}.yaml").read_text()))


def find(topology: str, *kinds: str) -> dict[str, Any]:
    """Return the object of one of these kinds."""
    return next(document for document in read_documents(topology) if document["kind"] in kinds)


def with_host_path(path: str) -> dict[str, Any]:
    """Return the tenant's pod with another host path."""
    pod = copy.deepcopy(TENANT)
    pod["spec"]["volumes"][0]["hostPath"]["path"] = path
    return pod


def refuse(cluster: Cluster, pod: dict[str, Any]) -> str:
    """Return why the API server refuses a pod; an empty text if it accepts it."""
    done = cluster.attempt("create", "--dry-run=server", "--filename", "-", given=json.dumps(pod))
    return done.stderr if done.returncode else ""


@topologies
def test_manifest_is_what_the_chart_renders(helm: Path, topology: str) -> None:
    """The plain manifest is the chart, rendered with the example values: `make kubernetes` writes it."""
    assert (KUBERNETES / f"{topology}.yaml").read_text() == write_manifest(helm, topology)


@topologies
def test_helm_finds_no_fault(helm: Path, topology: str) -> None:
    """`helm lint` finds nothing wrong with the chart and the values."""
    values = KUBERNETES / "values" / f"{topology}.yaml"
    done = run_helm(helm, "lint", "--strict", CHART, "--values", values, "--kube-version", KUBERNETES_VERSION)

    assert done.returncode == 0, done.stdout + done.stderr


def test_chart_has_the_version_of_the_program() -> None:
    """The chart installs the image of the version that it comes with."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


@sidecars
@pytest.mark.parametrize(
    "setting",
    [
        "pod.suppliers.worker.kind=self_issued",
        "pod.configuration.suppliers.worker.kind=self_issued",
        "pod.keysSecret=refresher-keys",
        "pod.keys=/keys",
        "pod.hostNetwork=true",
        "pod.tokenSeconds=600",
        "pod.user=0",
        "pod.workload.hostNetwork=true",
        "node.keysSecret=refresher-keys",
        "node.configuration.version=1",
        "suppliers.worker.kind=self_issued",
    ],
)
def test_pod_gets_nothing_that_signs_for_many(helm: Path, topology: str, setting: str) -> None:
    """For a sidecar, the schema refuses keys, suppliers, configurations, the node's network, root and short tokens."""
    done = render(helm, topology, "--set", setting)

    assert done.returncode != 0
    assert "values don't meet the specifications of the schema" in done.stderr


@pytest.mark.parametrize("setting", ["pod.pool=workers", "node.hostNetwork=true", "topology=cluster"])
def test_node_takes_only_what_is_described(helm: Path, setting: str) -> None:
    """For the daemon of a node, the schema refuses values of a pod and values that it does not know."""
    done = render(helm, "node", "--set", setting)

    assert done.returncode != 0
    assert "values don't meet the specifications of the schema" in done.stderr


@topologies
def test_configuration_loads(topology: str, tmp_path: Path) -> None:
    """The configuration in the ConfigMap is one that the daemon accepts."""
    path = tmp_path / "refresher.yaml"
    path.write_text(find(topology, "ConfigMap")["data"]["refresher.yaml"])
    path.chmod(0o600)

    assert load(path).configuration.version == 1


@sidecars
def test_container_has_the_variables_of_the_program(topology: str, tmp_path: Path) -> None:
    """The main container has exactly the variables that `refresher env` prints for this configuration."""
    path = tmp_path / "refresher.yaml"
    path.write_text(find(topology, "ConfigMap")["data"]["refresher.yaml"])
    path.chmod(0o600)

    command = [*COMMAND, "env", "--config", str(path), "main", "--format", "kubernetes"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    (main,) = find(topology, "Job", "Deployment")["spec"]["template"]["spec"]["containers"]
    assert main["env"] == yaml.safe_load(printed)


@topologies
def test_api_server_accepts_the_manifest(cluster: Cluster, topology: str) -> None:
    """The API server accepts each object, and warns about nothing but the host paths of the node's daemon."""
    done = cluster.attempt("apply", "--dry-run=server", "--filename", str(KUBERNETES / f"{topology}.yaml"))

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


@sidecars
def test_pod_with_a_sidecar_is_restricted(cluster: Cluster, topology: str) -> None:
    """The pod is accepted in a namespace that enforces the Pod Security level `restricted`."""
    template = find(topology, "Job", "Deployment")["spec"]["template"]
    spec = {"restartPolicy": "Always", **template["spec"]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "users"}, "spec": spec}

    assert refuse(cluster, pod) == ""
    pod["spec"] = {**spec, "hostNetwork": True}
    assert 'violates PodSecurity "restricted' in refuse(cluster, pod)


def test_tenant_may_mount_its_own_directory(cluster: Cluster) -> None:
    """A pod of a tenant may mount the directory of its own service account."""
    assert refuse(cluster, TENANT) == ""


@pytest.mark.parametrize(
    "path",
    [
        f"/run/refresher/{TENANTS}.bob",
        "/run/refresher/users.alice",
        "/run/refresher",
        "/run",
        "/",
        f"/run/refresher/{TENANTS}.alice/",
        f"/run/refresher//{TENANTS}.bob",
        f"/var/run/refresher/{TENANTS}.bob",
        f"/proc/1/root/run/refresher/{TENANTS}.bob",
        "/etc/refresher/targets.d",
        f"/run/refresher/{TENANTS}.alice/../{TENANTS}.bob",
    ],
)
def test_tenant_may_mount_no_other_path(cluster: Cluster, path: str) -> None:
    """The policy refuses every other path of the node, however it is written."""
    assert "a host path must be the directory" in refuse(cluster, with_host_path(path)) or ".." in path
    assert refuse(cluster, with_host_path(path)) != ""


def test_directory_follows_the_service_account(cluster: Cluster) -> None:
    """The same path is refused for another service account, and for none."""
    for account in ("bob", ""):
        pod = copy.deepcopy(TENANT)
        pod["spec"]["serviceAccountName"] = account
        assert refuse(cluster, pod) != ""


def change(pod: dict[str, Any], place: str, value: Any) -> dict[str, Any]:  # noqa: ANN401 - any part of a pod
    """Return a pod in which the value at a place such as `containers.0.image` is another."""
    changed = copy.deepcopy(pod)
    *way, last = place.split(".")
    node: Any = changed["spec"]
    for step in way:
        node = node[int(step)] if isinstance(node, list) else node.setdefault(step, {})
    key = int(last) if isinstance(node, list) else last
    if value is None:
        del node[key]
    else:
        node[key] = value
    return changed


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        ("containers.0.volumeMounts.0.readOnly", None, "with readOnly"),
        ("containers.0.volumeMounts.0.subPath", "token", "no subPath"),
        ("hostNetwork", True, "share the node"),
        ("hostPID", True, "share the node"),
        ("hostIPC", True, "share the node"),
        ("containers.0.securityContext", None, "drop ALL"),
        ("containers.0.securityContext.allowPrivilegeEscalation", True, "drop ALL"),
        ("containers.0.securityContext.capabilities.drop", [], "drop ALL"),
        ("containers.0.securityContext.capabilities.add", ["SYS_ADMIN"], "drop ALL"),
        ("containers.0.securityContext.runAsNonRoot", False, "runAsNonRoot"),
        ("securityContext.runAsNonRoot", None, "runAsNonRoot"),
        ("securityContext.seccompProfile", None, "seccompProfile"),
        ("containers.0.securityContext.seccompProfile", {"type": "Unconfined"}, "seccompProfile"),
        ("containers.0.ports", [{"containerPort": 80, "hostPort": 80}], "no port of the node"),
        ("securityContext.sysctls", [{"name": "kernel.shm_rmid_forced", "value": "0"}], "sysctls"),
        ("volumes.0", {"name": "google", "nfs": {"server": "x", "path": "/"}}, "volumes must be"),
        ("initContainers", [{"name": "first", "image": "python:3.13"}], "drop ALL"),
    ],
)
def test_tenant_loosens_nothing(cluster: Cluster, place: str, value: Any, reason: str) -> None:  # noqa: ANN401 - any part of a pod
    """Apart from its directory, a pod of a tenant is as restricted as under the Pod Security level `restricted`."""
    assert reason in refuse(cluster, change(TENANT, place, value))


def test_policy_leaves_other_namespaces_alone(cluster: Cluster) -> None:
    """The policy is bound to namespaces of tenants: the node's daemon may mount its host paths."""
    template = find("node", "DaemonSet")["spec"]["template"]
    spec = {**template["spec"], "serviceAccountName": "default"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "refresher"}, "spec": spec}

    assert refuse(cluster, pod) == ""


def test_tenant_adds_no_container_later(cluster: Cluster) -> None:
    """The policy refuses an ephemeral container in a pod that it accepted."""
    cluster.kubectl("create", "--filename", "-", given=json.dumps(TENANT))
    pod = json.loads(cluster.kubectl("get", "pod", "task", "--namespace", TENANTS, "--output", "json"))
    pod["spec"]["ephemeralContainers"] = [{"name": "later", "image": "python:3.13"}]
    path = f"/api/v1/namespaces/{TENANTS}/pods/task/ephemeralcontainers"

    done = cluster.attempt("replace", "--raw", path, "--filename", "-", given=json.dumps(pod))
    cluster.kubectl("delete", "pod", "task", "--namespace", TENANTS, "--force", "--grace-period=0")

    assert "ephemeral containers are not allowed" in done.stdout + done.stderr
    assert done.returncode != 0


def test_every_value_is_described() -> None:
    """Each value of the schema has a description, and values.yaml has no value that the schema does not know."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    undescribed = [name for name, value in list_values(schema) if not value.get("description")]

    assert undescribed == []
    assert set(yaml.safe_load((CHART / "values.yaml").read_text())) <= set(schema["properties"])
