"""The environment variables with which Terraform and gcloud use a running emulator, as lines for a shell.

Sources: the reference of Terraform's provider hashicorp/google ("Google Provider Configuration Reference"), and
https://cloud.google.com/sdk/docs/properties.
"""

import json
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

from refresher.emulator.program import READY
from refresher.emulator.state import DEFAULT_PROJECT
from refresher.errors import EmulatorError

CLOSED = "http://127.0.0.1:9"
"""A proxy at which nothing listens, so that a call that leaves the machine fails at once."""

_TERRAFORM = {
    "IAM_BETA": "v1/",
    "IAM": "v1/",
    "RESOURCE_MANAGER": "v1/",
    "SERVICE_USAGE": "v1/",
    "IAM_CREDENTIALS": "v1/",
    "LOGGING": "v2/",
    "ORG_POLICY": "v2/",
    "IAM2": "v2/",
    "MONITORING": "",
    "CLOUD_RUN_V2": "v2/",
    "STORAGE": "storage/v1/",
}
"""The path of each custom endpoint of the google provider."""

_GCLOUD = {
    "BIGQUERY": "bigquery/v2/",
    "CLOUDKMS": "",
    "CLOUDRESOURCEMANAGER": "",
    "IAM": "",
    "IAMCREDENTIALS": "",
    "LOGGING": "",
    "MONITORING": "",
    "ORGPOLICY": "",
    "SERVICEUSAGE": "",
    "STORAGE": "storage/v1/",
    "STS": "",
}
"""The path of each endpoint that gcloud can override."""

_REQUEST_SECONDS = 10.0


def terraform_variables(origin: str, project: str) -> dict[str, str]:
    """Return the variables for Terraform's google provider.

    The provider also asks a fixed host who it is. With a proxy that refuses, this fails at once and has no consequence;
    otherwise it can take five minutes. `terraform init` needs the network, so it runs before.
    """
    endpoints = {f"GOOGLE_{name}_CUSTOM_ENDPOINT": f"{origin}/{path}" for name, path in _TERRAFORM.items()}
    return {
        "GOOGLE_OAUTH_ACCESS_TOKEN": "anything",
        "GOOGLE_PROJECT": project,
        **endpoints,
        "HTTPS_PROXY": CLOSED,
        **_direct(origin),
    }


def gcloud_variables(origin: str, project: str) -> dict[str, str]:
    """Return the variables for gcloud: it administers with any token, and refreshes credentials of users and keys."""
    endpoints = {f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name}": f"{origin}/{path}" for name, path in _GCLOUD.items()}
    return {
        "CLOUDSDK_AUTH_ACCESS_TOKEN": "anything",
        "CLOUDSDK_AUTH_TOKEN_HOST": f"{origin}/token",
        "CLOUDSDK_CORE_PROJECT": project,
        "CLOUDSDK_CORE_CHECK_GCE_METADATA": "false",
        **endpoints,
        **_direct(origin),
    }


TOOLS: Mapping[str, Callable[[str, str], dict[str, str]]] = {
    "terraform": terraform_variables,
    "gcloud": gcloud_variables,
}


def write_environment(tool: str, directory: Path) -> str:
    """Return lines for a shell that make a tool use the emulator that runs on a directory.

    Raises:
        EmulatorError: No emulator runs on the directory.
    """
    try:
        origin = str(json.loads((directory / READY).read_text(encoding="utf-8"))["http"])
        with build_opener(ProxyHandler({})).open(f"{origin}/emulator/clock", timeout=_REQUEST_SECONDS):
            pass  # it answers: the file is not that of an emulator that was killed
    except (OSError, ValueError, KeyError, TypeError):
        raise EmulatorError(
            f"no emulator runs on {directory}", f"start it first: refresher emulator --directory {directory}"
        ) from None
    variables = TOOLS[tool](origin, DEFAULT_PROJECT)
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())


def _direct(origin: str) -> dict[str, str]:
    """Return what keeps requests to the emulator away from a proxy. Programs differ in which case they prefer."""
    names = ["127.0.0.1", "localhost", urlsplit(origin).hostname or ""]
    hosts = ",".join(dict.fromkeys(name for name in names if name))
    return {"NO_PROXY": hosts, "no_proxy": hosts}
