"""The installation of what the tests of this folder run, from package registries, one folder for each program."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tests.installation import Recipe, install_all

HERE = Path(__file__).parent

_API_SERVER = HERE / "kube_apiserver"
KUBERNETES_VERSION = re.findall(r"k8s\.io/kubernetes v(\S+)", (_API_SERVER / "go.mod").read_text())[0]
_MAJOR, _MINOR, _ = KUBERNETES_VERSION.split(".")
_STAMPS = {"gitVersion": f"v{KUBERNETES_VERSION}", "gitMajor": _MAJOR, "gitMinor": _MINOR}
GO_FLAGS = " ".join(f"-X k8s.io/component-base/version.{name}={value}" for name, value in _STAMPS.items())
# two at a time: compiling a large package needs more than a gigabyte
_BUILD = ("go", "build", "-p", "2", "-trimpath", "-ldflags", f"-s -w {GO_FLAGS}", "-o", "kube-apiserver", ".")
_PIP = (sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--target", "packages")
_NPM = ("npm", "ci", "--no-audit", "--no-fund")
_GO = "install Go"
_NODE = "install Node.js 20 or newer"

API_SERVER = Recipe(source=_API_SERVER, tool="go", remedy=_GO, commands=(_BUILD,))
_HELM_BUILD = ("go", "build", "-p", "2", "-trimpath", "-ldflags", "-s -w", "-o", "helm", "helm.sh/helm/v3/cmd/helm")
HELM = Recipe(source=HERE / "helm", tool="go", remedy=_GO, commands=(_HELM_BUILD,))
OIDC_PROVIDER = Recipe(source=HERE / "oidc_provider", tool="npm", remedy=_NODE, commands=(_NPM,))
SIGNING_PYTHON = Recipe(
    source=HERE / "signing_python",
    tool="python3",
    remedy="install Python",
    commands=((*_PIP, "-r", "requirements.txt"),),
)
SIGNING_NODE = Recipe(source=HERE / "signing_node", tool="npm", remedy=_NODE, commands=(_NPM,))
SIGNING_GO = Recipe(source=HERE / "signing_go", tool="go", remedy=_GO, commands=(("go", "mod", "download"),))
RECIPES = (OIDC_PROVIDER, SIGNING_PYTHON, SIGNING_NODE, SIGNING_GO, HELM, API_SERVER)

if __name__ == "__main__":
    install_all(RECIPES)
