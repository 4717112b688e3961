"""The programs of the cluster, built once and stored outside the tree: `make cluster`."""

from __future__ import annotations

from tests.cluster.node import NODE
from tests.installation import install_all
from tests.installed.install import API_SERVER, HELM
from tests.packages.podman import DEBIAN

if __name__ == "__main__":
    install_all((DEBIAN, HELM, API_SERVER, NODE))
