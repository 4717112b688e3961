"""The variables that make each family of clients find the credentials directory, and the forms they are written in.

Client libraries, Terraform, rclone and restic read GOOGLE_APPLICATION_CREDENTIALS; gcloud, bq and the Docker helper
ignore it and read CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE; the project variables keep Python and Node from asking
Resource Manager at start. Clients that know only the metadata server read three variables, of which none reaches all.
`docker --env-file`, podman, systemd and a shell share no quoting, so values are limited to characters that need none;
`refresher.config` refuses others.
"""

import json
from collections.abc import Mapping

_LINES = {
    "dotenv": "{name}={value}\n",
    "shell": "export {name}={value}\n",
    "docker": "{name}={value}\n",
    "kubernetes": '- name: {name}\n  value: "{value}"\n',
}
FORMATS = (*_LINES, "json")
"""The forms in which the variables are written."""


_LOCAL = "127.0.0.1"
_NO_METADATA = {"NO_GCE_CHECK": "true", "METADATA_SERVER_DETECTION": "none"}
"""What keeps Python, Java and Node from asking the machine's own metadata server, and acting as the worker."""


def variables(
    *,
    container_directory: str,
    project: str | None,
    quota_project: str | None,
    files: Mapping[str, str] | None = None,
    is_chain: bool = False,
    has_document: bool = True,
    mode: str = "files",
    port: int | None = None,
) -> dict[str, str]:
    """Return the variables for a container that mounts its credentials directory there, with the ids of its projects.

    `files` are variables that hold the path of an optional artifact, each with the artifact's name. `is_chain` shows
    that the service account can only be reached through delegates, or as the worker, which no client does by itself:
    then gcloud gets the access token, which it does not renew while a command runs. `has_document` shows whether there
    is an ADC document; without one, client libraries need the metadata endpoint. That is on this `port` of the
    container's loopback, None for no endpoint. `mode` is which variables are wanted: `files`, `metadata` or `both`.
    In mode `metadata` nothing names a file that a client would prefer to the endpoint.
    """
    place = container_directory.rstrip("/")
    found: dict[str, str] = {}
    if mode != "metadata" and has_document:
        names = "GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE"
        found = dict.fromkeys(names, f"{place}/credentials.json")
    if not has_document and port is None:
        found |= _NO_METADATA
    if mode != "files":
        servers = "GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT"
        found |= dict.fromkeys(servers, f"{_LOCAL}:{port}")
    if mode == "metadata":
        found |= {
            "METADATA_SERVER_DETECTION": "assume-present",
            "GCE_METADATA_MTLS_MODE": "none",
            "NO_PROXY": _LOCAL,
        }
    if project is not None:
        found |= dict.fromkeys(("GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT"), project)
    if quota_project is not None:
        found |= dict.fromkeys(("GOOGLE_CLOUD_QUOTA_PROJECT", "CLOUDSDK_BILLING_QUOTA_PROJECT"), quota_project)
    for variable, name in (files or {}).items():
        if mode == "metadata" and name == "boto":
            continue
        found[variable] = f"{place}/{name}"
        if is_chain and mode != "metadata" and name == "access_token":
            found["CLOUDSDK_AUTH_ACCESS_TOKEN_FILE"] = f"{place}/{name}"
    return found


def boto(container_directory: str) -> bytes:
    """Return the boto file that makes gsutil use the ADC document; without one gsutil is anonymous without a word."""
    return f"[Credentials]\ngs_external_account_file = {container_directory.rstrip('/')}/credentials.json\n".encode()


def render(values: Mapping[str, str], form: str = "dotenv") -> str:
    """Write variables in one of the forms, ending with a newline."""
    if form == "json":
        return json.dumps(values, indent=2) + "\n"
    return "".join(_LINES[form].format(name=name, value=value) for name, value in values.items())
