"""The Helm chart of `configs/kubernetes`: `python -m tests.installed.chart` renders it into the plain manifests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.installed.install import HELM, KUBERNETES_VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

KUBERNETES = Path(__file__).parents[2] / "configs" / "kubernetes"
CHART = KUBERNETES / "chart"
RELEASES = {
    "node": ("refresher", "refresher"),
    "sidecar": ("alice", "users"),
    "sidecar-metadata": ("alice-server", "users"),
}
"""Name and namespace of the release of each topology."""
_HEAD = "# Written by `make kubernetes` from the chart and values/{}.yaml. Change those.\n"


def run_helm(program: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run helm, which reads nothing of the user's."""
    return subprocess.run(
        [program, *arguments], env={"HOME": "/nonexistent"}, capture_output=True, text=True, check=False
    )


def render(program: Path, topology: str, *further: str) -> subprocess.CompletedProcess[str]:
    """Render the chart with the example values of a topology, and further arguments of helm."""
    name, namespace = RELEASES[topology]
    values = KUBERNETES / "values" / f"{topology}.yaml"
    options = ("--namespace", namespace, "--values", values, "--kube-version", KUBERNETES_VERSION)
    return run_helm(program, "template", name, CHART, *options, *further)


def write_manifest(program: Path, topology: str) -> str:
    """Return the plain manifest of a topology."""
    done = render(program, topology)
    assert done.returncode == 0, done.stderr
    kept = [line for line in done.stdout.splitlines() if not line.startswith("# Source:")]
    return _HEAD.format(topology) + "\n".join(kept).removeprefix("---\n").replace("Helm\n", "kubectl\n") + "\n"


def main(topologies: Sequence[str]) -> None:
    """Write the plain manifests."""
    program = HELM.made() / "helm"
    for topology in topologies:
        (KUBERNETES / f"{topology}.yaml").write_text(write_manifest(program, topology))


if __name__ == "__main__":
    main(sys.argv[1:] or list(RELEASES))
