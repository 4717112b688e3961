"""The checks of the installed provider, the stand-in or the real one: what `validate` refuses, with its texts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.terraform.tool import MODULES, SECONDS, Terraform, environment

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Need

pytestmark = pytest.mark.timeout(SECONDS)

POOL = {"workload_identity_pool_id": "workers"}
ACCOUNT = "projects/my-project/serviceAccounts/task-alice@my-project.iam.gserviceaccount.com"
GRANT = {"role": "roles/iam.workloadIdentityUser", "member": "user:ann@example.com"}
MEMBER = "google_service_account_iam_member"
ENUM = '["FEDERATION_ONLY" "TRUST_DOMAIN" "SYSTEM_TRUST_DOMAIN" ""]'


def account_of(email: str) -> dict[str, Any]:
    """Return a grant on an account of this address."""
    return {**GRANT, "service_account_id": f"projects/-/serviceAccounts/{email}"}


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "pool_short": (
        "google_iam_workload_identity_pool",
        {"workload_identity_pool_id": "abc"},
        '"workload_identity_pool_id" cannot be smaller than 4 characters',
    ),
    "pool_long": (
        "google_iam_workload_identity_pool",
        {"workload_identity_pool_id": "a" * 33},
        '"workload_identity_pool_id" cannot be greater than 32 characters',
    ),
    "pool_case": (
        "google_iam_workload_identity_pool",
        {"workload_identity_pool_id": "Pool_one"},
        "must contain only lowercase letters (a-z), numbers (0-9), or dashes (-)",
    ),
    "pool_reserved": (
        "google_iam_workload_identity_pool",
        {"workload_identity_pool_id": "gcp-pool"},
        '"workload_identity_pool_id" ("gcp-pool") can not start with "gcp-"',
    ),
    "pool_mode": (
        "google_iam_workload_identity_pool",
        {**POOL, "mode": "X"},
        f"expected mode to be one of {ENUM}, got X",
    ),
    "provider_kind": (
        "google_iam_workload_identity_pool_provider",
        {**POOL, "workload_identity_pool_provider_id": "main"},
        '"oidc": one of `aws,oidc,saml,x509` must be specified',
    ),
    "account_short": (
        "google_service_account",
        {"account_id": "abc"},
        '"account_id" ("abc") must be between 6 and 30 characters long',
    ),
    "account_case": (
        "google_service_account",
        {"account_id": "Worker-One"},
        '"account_id" ("Worker-One") must match regex "^[a-z]([-a-z0-9]*[a-z0-9])?$"',
    ),
    "account_description": (
        "google_service_account",
        {"account_id": "worker-one", "description": "x" * 257},
        "expected length of description to be in the range (0 - 256)",
    ),
    **{
        f"grant_on_{name}": (MEMBER, account_of(email), "doesn't match regexp \"projects/(?:(?:[-a-z0-9]{1,63}")
        for name, email in {
            "person": "ann@example.com",
            "short": "bob@my-project.iam.gserviceaccount.com",
            "without_iam": "x@my-project.gserviceaccount.com",
        }.items()
    },
    "grant_by_email": (
        MEMBER,
        {**GRANT, "service_account_id": "task-alice@my-project.iam.gserviceaccount.com"},
        "doesn't match regexp",
    ),
    "member_bare": (
        MEMBER,
        {**GRANT, "service_account_id": ACCOUNT, "member": "a@example.com"},
        'invalid value "a@example.com" for member (IAM members must have one of the values outlined here: https://',
    ),
    "member_deleted": (
        MEMBER,
        {**GRANT, "service_account_id": ACCOUNT, "member": "deleted:user:a@example.com?uid=1"},
        "invalid value for member (Terraform does not support IAM members for deleted principals)",
    ),
    "members_bare": (
        "google_service_account_iam_binding",
        {"service_account_id": ACCOUNT, "role": GRANT["role"], "members": ["a@example.com"]},
        'invalid value "a@example.com" for member',
    ),
    "service": (
        "google_project_service",
        {"service": "sts"},
        "expected sts to be a domain like serviceusage.googleapis.com",
    ),
    "audit": (
        "google_project_iam_audit_config",
        {"project": "my-project", "service": "sts.googleapis.com"},
        'At least 1 "audit_log_config" blocks are required.',
    ),
}
"""A resource, its arguments, and a part of the message."""

ACCEPTED: dict[str, tuple[str, dict[str, Any]]] = {
    "pool_digit": ("google_iam_workload_identity_pool", {"workload_identity_pool_id": "1pool-"}),
    "pool_trust": ("google_iam_workload_identity_pool", {"workload_identity_pool_id": "my-project.svc.id.goog"}),
    "grant_number": (MEMBER, {**GRANT, "service_account_id": ACCOUNT.replace("my-project/", "123456789012/", 1)}),
    "grant_domain": (MEMBER, account_of("task-alice@legacy.example.com.iam.gserviceaccount.com")),
    "grant_compute": (MEMBER, account_of("1-compute@developer.gserviceaccount.com")),
    "grant_appspot": (MEMBER, account_of("my-project@appspot.gserviceaccount.com")),
    "member_typo": (MEMBER, {**GRANT, "service_account_id": ACCOUNT, "member": "principle://x"}),
    "deletion_policy": ("google_service_account", {"account_id": "worker-one", "deletion_policy": "NEVER"}),
}
"""What the provider accepts. Some of it Google refuses, so that the modules must check it themselves."""


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory, home: Path, need: Need) -> dict[str, list[str]]:
    """Validate all resources at once; return the messages by case."""
    need.terraform()
    place = tmp_path_factory.mktemp("provider")
    (place / "versions.tf").write_text((MODULES / "versions.tf").read_text())
    cases = {name: case[:2] for name, case in REFUSED.items()} | ACCEPTED
    for name, (kind, arguments) in cases.items():
        (place / f"{name}.tf.json").write_text(json.dumps({"resource": {kind: {name: arguments}}}))
    terraform = Terraform(place, environment(home))
    terraform.init()
    report = json.loads(terraform.run("validate", "-json", status=None).output)
    found: dict[str, list[str]] = {name: [] for name in cases}
    for diagnostic in report["diagnostics"]:
        name = diagnostic["range"]["filename"].removesuffix(".tf.json")
        found[name].append(f"{diagnostic['summary']} {diagnostic.get('detail', '')}")
    return found


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_provider_refuses(messages: dict[str, list[str]], name: str) -> None:
    """`terraform validate` refuses the resource with the provider's own text."""
    assert [text for text in messages[name] if REFUSED[name][2] in text], messages[name]


@pytest.mark.parametrize("name", sorted(ACCEPTED))
def test_provider_accepts(messages: dict[str, list[str]], name: str) -> None:
    """`terraform validate` lets the resource through."""
    assert messages[name] == []
