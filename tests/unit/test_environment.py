from __future__ import annotations

import json
import subprocess

import pytest
import yaml

from refresher.engine.artifacts import name_variables
from refresher.environment import boto, render, variables

VALUES = variables(container_directory="/var/run/google/", project="my-project", quota_project=None)


def test_every_family_of_clients_is_served() -> None:
    """Libraries, gcloud and the project variables are all set; without a quota project its variable is absent."""
    assert VALUES == {
        "GOOGLE_APPLICATION_CREDENTIALS": "/var/run/google/credentials.json",
        "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE": "/var/run/google/credentials.json",
        "GOOGLE_CLOUD_PROJECT": "my-project",
        "GCLOUD_PROJECT": "my-project",
        "CLOUDSDK_CORE_PROJECT": "my-project",
    }


PROJECT = {"GOOGLE_CLOUD_PROJECT": "p-1-test", "GCLOUD_PROJECT": "p-1-test", "CLOUDSDK_CORE_PROJECT": "p-1-test"}
DOCUMENT = {
    "GOOGLE_APPLICATION_CREDENTIALS": "/c/credentials.json",
    "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE": "/c/credentials.json",
}
SERVERS = dict.fromkeys(("GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT"), "127.0.0.1:8174")
ENDPOINT = {
    **SERVERS,
    "METADATA_SERVER_DETECTION": "assume-present",
    "GCE_METADATA_MTLS_MODE": "none",
    "NO_PROXY": "127.0.0.1",
}
OWN = {"REFRESHER_ACCESS_TOKEN_FILE": "/c/access_token"}
GCLOUD = {"CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": "/c/access_token"}
BOTO = {"BOTO_CONFIG": "/c/boto"}
NO_MACHINE = {"NO_GCE_CHECK": "true", "METADATA_SERVER_DETECTION": "none"}


@pytest.mark.parametrize(
    ("has_pool", "mode", "port", "expected"),
    [
        pytest.param(True, "files", None, DOCUMENT | OWN | BOTO, id="pool"),
        pytest.param(True, "files", 8174, DOCUMENT | OWN | BOTO, id="pool-files"),
        pytest.param(True, "both", 8174, DOCUMENT | SERVERS | OWN | BOTO, id="pool-both"),
        pytest.param(True, "metadata", 8174, ENDPOINT | OWN, id="pool-metadata"),
        pytest.param(False, "files", None, NO_MACHINE | OWN | GCLOUD, id="no-pool"),
        pytest.param(False, "files", 8174, OWN | GCLOUD, id="no-pool-files"),
        pytest.param(False, "both", 8174, SERVERS | OWN | GCLOUD, id="no-pool-both"),
        pytest.param(False, "metadata", 8174, ENDPOINT | OWN, id="no-pool-metadata"),
    ],
)
def test_variables_name_files_endpoint_or_both(
    has_pool: bool,  # noqa: FBT001 - a case
    mode: str,
    port: int | None,
    expected: dict[str, str],
) -> None:
    """Mode metadata names no file that a client prefers; without a pool and an endpoint nothing asks the machine."""
    values = variables(
        container_directory="/c",
        project="p-1-test",
        quota_project=None,
        files=name_variables(["access_token", "boto"] if has_pool else ["access_token"]),
        is_chain=not has_pool,
        has_document=has_pool,
        mode=mode,
        port=port,
    )

    assert values == expected | PROJECT


def test_quota_project_is_named_for_libraries_and_gcloud() -> None:
    """A quota project is set for both of its readers."""
    values = variables(container_directory="/c", project=None, quota_project="billing")

    assert values["GOOGLE_CLOUD_QUOTA_PROJECT"] == "billing"
    assert values["CLOUDSDK_BILLING_QUOTA_PROJECT"] == "billing"
    assert "GOOGLE_CLOUD_PROJECT" not in values


@pytest.mark.parametrize(
    ("artifact", "is_chain", "expected"),
    [
        pytest.param("access_token", False, {"REFRESHER_ACCESS_TOKEN_FILE": "/c/access_token"}, id="access-token"),
        pytest.param(
            "access_token",
            True,
            {"REFRESHER_ACCESS_TOKEN_FILE": "/c/access_token", "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": "/c/access_token"},
            id="access-token-of-a-chain",
        ),
        pytest.param(
            "id_tokens/api-v2.internal",
            False,
            {"REFRESHER_ID_TOKEN_FILE_API_V2_INTERNAL": "/c/id_tokens/api-v2.internal"},
            id="id-token",
        ),
        pytest.param("boto", False, {"BOTO_CONFIG": "/c/boto"}, id="boto"),
    ],
)
def test_optional_artifact_has_its_variables(artifact: str, is_chain: bool, expected: dict[str, str]) -> None:  # noqa: FBT001 - a case
    """Each optional artifact adds the variables with its file; gcloud's variable is only added without another way."""
    without = variables(container_directory="/c/", project=None, quota_project=None)

    values = variables(
        container_directory="/c/", project=None, quota_project=None, files=name_variables([artifact]), is_chain=is_chain
    )

    assert {name: value for name, value in values.items() if name not in without} == expected


def test_boto_file_points_to_the_document() -> None:
    """The boto file has the one key with which gsutil uses the ADC document."""
    assert boto("/c/") == b"[Credentials]\ngs_external_account_file = /c/credentials.json\n"


def test_shell_reads_the_dotenv_form_with_allexport() -> None:
    """`set -a; . env` puts every variable into the environment of later commands."""
    script = f"set -a\n{render(VALUES)}\nenv"

    found = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout

    assert all(f"{name}={value}\n" in found for name, value in VALUES.items())


def test_shell_form_exports() -> None:
    """A shell can evaluate the shell format directly."""
    script = f"{render(VALUES, 'shell')}env"

    found = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout

    assert all(f"{name}={value}\n" in found for name, value in VALUES.items())


def test_docker_form_is_plain_lines() -> None:
    """Docker reads NAME=value exactly, so there is no quoting."""
    assert render(VALUES, "docker").splitlines()[0] == "GOOGLE_APPLICATION_CREDENTIALS=/var/run/google/credentials.json"


def test_kubernetes_form_is_a_list_of_a_container() -> None:
    """The Kubernetes format can be put below `env:` of a container."""
    assert yaml.safe_load(render(VALUES, "kubernetes")) == [
        {"name": name, "value": value} for name, value in VALUES.items()
    ]


def test_json_form_is_one_object() -> None:
    """The JSON format is one JSON object."""
    assert json.loads(render(VALUES, "json")) == VALUES
