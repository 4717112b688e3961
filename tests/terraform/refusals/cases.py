"""A case: a module called with one invalid input; and the valid inputs from which the cases differ."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

EC_KEY = {"kty": "EC", "crv": "P-256", "kid": "one", "x": "x" * 43, "y": "y" * 43, "use": "sig", "alg": "ES256"}
RSA_KEY = {"kty": "RSA", "kid": "two", "n": "n" * 342, "e": "AQAB"}
POOL = "projects/123456789012/locations/global/workloadIdentityPools/workers"
PROVIDER = f"{POOL}/providers/refresher"
AS_TASK_A = {"service_account": {"email": "task-a@my-project.iam.gserviceaccount.com"}}
HOP = "first-hop@my-project.iam.gserviceaccount.com"
SECRET = "-----BEGIN PRIVATE KEY-----"


def jwks(*keys: dict[str, Any]) -> str:
    """Return a key set in Terraform's form."""
    return json.dumps({"keys": keys})


VALID: dict[str, dict[str, Any]] = {
    "federation": {
        "project_id": "my-project",
        "issuer": {"kind": "self_issued", "uri": "https://workers.invalid"},
        "jwks": jwks(EC_KEY, RSA_KEY),
        "attribute_condition": {"subject_prefix": "user-"},
    },
    "identity": {
        "name": "task-alice",
        "project_id": "my-project",
        "pool_name": POOL,
        "provider_name": PROVIDER,
        "subject": "user-1042",
        "subject_prefix": "user-",
        "project_roles": {"my-project": ["roles/bigquery.jobUser", "roles/iam.securityReviewer"]},
    },
    "guardrails": {"project_ids": ["my-project"]},
    "root": {
        "project_id": "my-project",
        "issuer": {"kind": "self_issued", "uri": "https://workers.invalid"},
        "jwks": jwks(EC_KEY),
        "attribute_condition": {"subject_prefix": "user-"},
        "identities": {
            "task-alice": {"subject": "user-1042"},
            "task-a": {"subject": "user-1", "shared_account": True},
            "task-b": {"subject": "user-2", "shared_account": True, **AS_TASK_A},
        },
    },
}
"""Valid inputs of each module."""


@dataclass(frozen=True)
class Case:
    """A module called with one invalid input.

    Attributes:
        module: The module.
        inputs: The inputs that replace the valid ones.
        problem: The beginning of the message.
        remedy: The remedy in the message.
    """

    module: str
    inputs: dict[str, Any]
    problem: str
    remedy: str


def federation(problem: str, remedy: str, **inputs: Any) -> Case:  # noqa: ANN401 - any value of Terraform's
    """Return a case of the module federation."""
    return Case("federation", inputs, problem, remedy)


def identity(problem: str, remedy: str, **inputs: Any) -> Case:  # noqa: ANN401 - any value of Terraform's
    """Return a case of the module identity."""
    return Case("identity", inputs, problem, remedy)


def guardrails(problem: str, remedy: str, **inputs: Any) -> Case:  # noqa: ANN401 - any value of Terraform's
    """Return a case of the module guardrails."""
    return Case("guardrails", inputs, problem, remedy)


def root(problem: str, remedy: str, **inputs: Any) -> Case:  # noqa: ANN401 - any value of Terraform's
    """Return a case of the root."""
    return Case("root", inputs, problem, remedy)


def self_issued(uri: str) -> dict[str, Any]:
    """Return an issuer with our own key."""
    return {"issuer": {"kind": "self_issued", "uri": uri}}


def condition(**parts: Any) -> dict[str, Any]:  # noqa: ANN401 - any value of Terraform's
    """Return a condition."""
    return {"attribute_condition": parts}


OIDC: dict[str, Any] = {"issuer": {"kind": "oidc", "uri": "https://idp.example.com"}}
GOOGLE: dict[str, Any] = {"issuer": {"kind": "google"}, "jwks": None, **condition(subjects=["123456789012345678901"])}
