"""The variables that make each family of clients find the credentials directory, and the forms they are written in.

Client libraries, Terraform, rclone and restic read GOOGLE_APPLICATION_CREDENTIALS; gcloud, bq and the Docker helper
ignore it and read CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE; the project variables keep Python and Node from asking
Resource Manager at start. `docker --env-file`, podman, systemd and a shell share no quoting, so values are limited to
characters that need none; `refresher.config` refuses others.
"""

from __future__ import annotations

import json
from enum import StrEnum


class Format(StrEnum):
    """How the variables are written: for whom."""

    DOTENV = "dotenv"
    SHELL = "shell"
    DOCKER = "docker"
    KUBERNETES = "kubernetes"
    JSON = "json"


def variables(*, container_directory: str, project: str | None, quota_project: str | None) -> dict[str, str]:
    """Give the variables for a container that mounts its credentials directory at `container_directory`."""
    credentials = f"{container_directory.rstrip('/')}/credentials.json"
    found = {
        "GOOGLE_APPLICATION_CREDENTIALS": credentials,
        "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE": credentials,
    }
    if project is not None:
        found |= dict.fromkeys(("GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT"), project)
    if quota_project is not None:
        found |= dict.fromkeys(("GOOGLE_CLOUD_QUOTA_PROJECT", "CLOUDSDK_BILLING_QUOTA_PROJECT"), quota_project)
    return found


def render(values: dict[str, str], form: Format = Format.DOTENV) -> str:
    """Write variables in one of the forms, ending with a newline."""
    match form:
        case Format.DOTENV | Format.DOCKER:
            return "".join(f"{name}={value}\n" for name, value in values.items())
        case Format.SHELL:
            return "".join(f"export {name}={value}\n" for name, value in values.items())
        case Format.KUBERNETES:
            return "".join(f'- name: {name}\n  value: "{value}"\n' for name, value in values.items())
        case Format.JSON:
            return json.dumps(values, indent=2) + "\n"
