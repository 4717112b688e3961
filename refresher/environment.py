"""The variables that make each family of clients find the credentials directory, and the forms they are written in.

Client libraries, Terraform, rclone and restic read GOOGLE_APPLICATION_CREDENTIALS; gcloud, bq and the Docker helper
ignore it and read CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE; the project variables keep Python and Node from asking
Resource Manager at start. `docker --env-file`, podman, systemd and a shell share no quoting, so values are limited to
characters that need none; `refresher.config` refuses others.
"""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection


class Format(StrEnum):
    """How the variables are written: for whom."""

    DOTENV = "dotenv"
    SHELL = "shell"
    DOCKER = "docker"
    KUBERNETES = "kubernetes"
    JSON = "json"


def variables(
    *,
    container_directory: str,
    project: str | None,
    quota_project: str | None,
    further: Collection[str] = (),
    is_chain: bool = False,
) -> dict[str, str]:
    """Give the variables for a container.

    Args:
        container_directory: Where it mounts its credentials directory.
        project: Id of the project to work in.
        quota_project: Id of the project that pays quota.
        further: Names of further artifacts in the directory.
        is_chain: Whether the service account can only be reached through delegates, or as the worker, which no client's
            own way does: then gcloud gets the access token, which it does not renew while a command runs.
    """
    place = container_directory.rstrip("/")
    credentials = f"{place}/credentials.json"
    found = {
        "GOOGLE_APPLICATION_CREDENTIALS": credentials,
        "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE": credentials,
    }
    if project is not None:
        found |= dict.fromkeys(("GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT"), project)
    if quota_project is not None:
        found |= dict.fromkeys(("GOOGLE_CLOUD_QUOTA_PROJECT", "CLOUDSDK_BILLING_QUOTA_PROJECT"), quota_project)
    for name in further:
        found |= dict.fromkeys(_names_of(name, is_chain=is_chain), f"{place}/{name}")
    return found


def boto(container_directory: str) -> bytes:
    """Give the boto file that makes gsutil use the ADC document; without one it acts as nobody, and does not say so."""
    return f"[Credentials]\ngs_external_account_file = {container_directory.rstrip('/')}/credentials.json\n".encode()


def id_token_variable(name: str) -> str:
    """Give the variable that names the file of an ID token."""
    return f"REFRESHER_ID_TOKEN_FILE_{re.sub('[^A-Z0-9]', '_', name.upper())}"


def _names_of(artifact: str, *, is_chain: bool) -> tuple[str, ...]:
    folder, _, name = artifact.rpartition("/")
    if folder:
        return (id_token_variable(name),)
    if artifact == "boto":
        return ("BOTO_CONFIG",)
    return ("REFRESHER_ACCESS_TOKEN_FILE", *(["CLOUDSDK_AUTH_ACCESS_TOKEN_FILE"] if is_chain else []))


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
