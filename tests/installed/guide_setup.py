"""The setup in a cluster that docs/fleets.md describes: the daemon's account with its only right, and the policy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import yaml

from tests.installed.cluster import ISSUER
from tests.installed.install import HERE
from tests.program import until

if TYPE_CHECKING:
    from tests.installed.cluster import Cluster

GUIDE = HERE.parents[1] / "docs" / "fleets.md"
DAEMON = "refresher/refresher"
USERS = ("users/alice", "users/bob", "users/eve")
"""The guide's rule does not contain the last one."""
ABSENT = "users/nobody"
"""An account that does not exist, but whose tokens the daemon may request."""
POWERLESS = "refresher/powerless"
"""An account for a daemon without any right."""


def set_up(cluster: Cluster) -> None:
    """Create the accounts, apply the manifests of the guide, and wait until the API server uses them."""
    for namespace in ("users", "refresher"):
        cluster.kubectl("create", "namespace", namespace)
    for account in (DAEMON, POWERLESS, *USERS):
        namespace, name = account.split("/")
        cluster.kubectl("create", "serviceaccount", name, "--namespace", namespace)
    absent = ("create", "role", "absent", "--verb=create", "--resource=serviceaccounts/token")
    cluster.kubectl(*absent, "--resource-name=nobody", "--namespace=users")
    cluster.kubectl(
        *("create", "rolebinding", "absent", "--role=absent", "--namespace=users"),
        f"--serviceaccount={DAEMON.replace('/', ':')}",
    )
    cluster.kubectl("apply", "--filename", "-", given=_manifests())
    until(lambda: _is_in_force(cluster), what="the role and the policy are in force")


def _is_in_force(cluster: Cluster) -> bool:
    """Return whether the policy refuses the daemon's account, so that the right itself is there."""
    daemon = f"--as=system:serviceaccount:{DAEMON.replace('/', ':')}"
    tried = cluster.attempt("create", "token", "alice", "--namespace", "users", "--audience", ISSUER, daemon)
    return "for Google alone" in tried.stderr


def _manifests() -> str:
    """Return the manifests of the guide: the rule for the daemon's account, and the policy."""
    shown = re.findall(r"^```yaml\n(apiVersion: .*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    assert [document["kind"] for text in shown for document in yaml.safe_load_all(text)] == [
        "Role",
        "RoleBinding",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    ]
    return "---\n".join(shown)
