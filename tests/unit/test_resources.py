from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from refresher.resources import (
    Endpoints,
    Impersonation,
    WorkloadIdentityProvider,
)

PROVIDER = WorkloadIdentityProvider(project_number="123456789012", pool="workers", provider="refresher")
POOL = "projects/123456789012/locations/global/workloadIdentityPools/workers"
ACCOUNT = "task-alice@my-project.iam.gserviceaccount.com"


def impersonation(**changes: object) -> Impersonation:
    """Return an impersonation with some of its fields changed."""
    fields: dict[str, Any] = {
        "provider": PROVIDER,
        "subject": "user-1042",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "service_account": ACCOUNT,
        "delegates": (),
        "scopes": (),
        "lifetime": None,
    }
    return Impersonation(**fields | changes)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (PROVIDER.resource_name, f"{POOL}/providers/refresher"),
        (PROVIDER.sts_audience, f"//iam.googleapis.com/{POOL}/providers/refresher"),
        (PROVIDER.token_audience, f"https://iam.googleapis.com/{POOL}/providers/refresher"),
        (PROVIDER.principal("user-1042"), f"principal://iam.googleapis.com/{POOL}/subject/user-1042"),
    ],
    ids=["resource-name", "sts-audience", "token-audience", "principal"],
)
def test_provider_is_named_as_google_documents(found: str, expected: str) -> None:
    """A provider has one resource name, two audiences built from it, and principals of its pool."""
    assert found == expected


@pytest.mark.parametrize(
    ("endpoints", "expected"),
    [
        pytest.param(
            Endpoints.of_universe(),
            (
                "https://sts.googleapis.com/v1/token",
                "https://sts.googleapis.com/v1/introspect",
                f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{ACCOUNT}:generateIdToken",
                "https://cloudkms.googleapis.com",
            ),
            id="google",
        ),
        pytest.param(
            Endpoints.of_universe("example.cloud"),
            (
                "https://sts.example.cloud/v1/token",
                "https://sts.example.cloud/v1/introspect",
                f"https://iamcredentials.example.cloud/v1/projects/-/serviceAccounts/{ACCOUNT}:generateIdToken",
                "https://cloudkms.example.cloud",
            ),
            id="universe",
        ),
        pytest.param(
            Endpoints.of_universe(sts="http://127.0.0.1:1", iam_credentials="http://127.0.0.1:2"),
            (
                "http://127.0.0.1:1/v1/token",
                "http://127.0.0.1:1/v1/introspect",
                f"http://127.0.0.1:2/v1/projects/-/serviceAccounts/{ACCOUNT}:generateIdToken",
                "https://cloudkms.googleapis.com",
            ),
            id="origins",
        ),
    ],
)
def test_endpoints_follow_universe_and_origins(endpoints: Endpoints, expected: tuple[str, ...]) -> None:
    """Each service is at its universe's own name, unless another origin is given for it alone."""
    found = (
        endpoints.token_url,
        endpoints.token_info_url,
        endpoints.impersonation_url(ACCOUNT, "generateIdToken"),
        endpoints.cloud_kms,
    )

    assert found == expected


def test_metadata_server_is_the_same_in_every_universe() -> None:
    """The metadata server has one name, which only its own origin replaces."""
    assert Endpoints.of_universe("example.cloud").metadata == "http://metadata.google.internal"
    assert Endpoints.of_universe(metadata="http://127.0.0.1:3").metadata == "http://127.0.0.1:3"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, PROVIDER.principal("user-1042"), id="configured-subject"),
        pytest.param({"subject": None}, "the federated principal", id="unknown-subject"),
        pytest.param({"provider": None}, "the machine's service account", id="metadata-server"),
        pytest.param(
            {"provider": None, "credentials": Path("/etc/worker.json")}, "the principal of /etc/worker.json", id="file"
        ),
    ],
)
def test_messages_name_who_needs_the_role(changes: dict[str, object], expected: str) -> None:
    """The principal that impersonates is named as exactly as it is known."""
    assert impersonation(**changes).principal == expected


@pytest.mark.parametrize(
    ("account", "project"),
    [
        ("task-alice@my-project.iam.gserviceaccount.com", "my-project"),
        ("task-alice@my-project.example.com.iam.gserviceaccount.com", "example.com:my-project"),
    ],
)
def test_grant_is_a_command_to_paste(account: str, project: str) -> None:
    """Where principal and project are known, the command that grants the role is complete."""
    command = impersonation(service_account=account).describe_grant("roles/x").partition(": ")[2]

    assert shlex.split(command)[-4:] == [
        account,
        f"--project={project}",
        "--role=roles/x",
        f"--member={PROVIDER.principal('user-1042')}",
    ]


@pytest.mark.parametrize(
    "changes",
    [{"provider": None}, {"subject": None}, {"service_account": "104357"}, {"subject": "it's"}],
    ids=["the machine's", "unknown subject", "unique id", "quote"],
)
def test_grant_is_a_sentence_where_something_is_unknown(changes: dict[str, Any]) -> None:
    """A command that could not be pasted is not shown."""
    assert "gcloud" not in impersonation(**changes).describe_grant("roles/x")
