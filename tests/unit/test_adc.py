from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from refresher import adc
from refresher.resources import Endpoints, WorkloadIdentityProvider

PROVIDER = WorkloadIdentityProvider(project_number="123456789012", pool="workers", provider="refresher")
ALICE = "alice@my-project.iam.gserviceaccount.com"


def document(**changes: object) -> dict[str, Any]:
    """Compose a document with some arguments changed."""
    arguments: dict[str, Any] = {
        "provider": PROVIDER,
        "token_path": "/var/run/google/token",
        "service_account": ALICE,
        "lifetime": None,
        "quota_project": None,
        "endpoints": Endpoints.of_universe(),
    }
    return adc.adc_document(**arguments | changes)


def test_document_with_service_account() -> None:
    """A target principal is in the impersonation URL, and the format is always set."""
    assert document(lifetime=timedelta(hours=1)) == {
        "universe_domain": "googleapis.com",
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/workers"
        "/providers/refresher",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "https://sts.googleapis.com/v1/token",
        "credential_source": {"file": "/var/run/google/token", "format": {"type": "text"}},
        "service_account_impersonation_url": "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/"
        "alice@my-project.iam.gserviceaccount.com:generateAccessToken",
        "service_account_impersonation": {"token_lifetime_seconds": 3600},
    }


def test_direct_access_names_the_introspection_endpoint() -> None:
    """Without a service account there is no impersonation, but an introspection endpoint for gcloud."""
    found = document(service_account=None, lifetime=timedelta(hours=1))

    assert found["token_info_url"] == "https://sts.googleapis.com/v1/introspect"
    assert not [key for key in found if "impersonation" in key]


@pytest.mark.parametrize("service_account", [ALICE, None], ids=["impersonated", "direct"])
def test_document_has_no_null(service_account: str | None) -> None:
    """Unset values are left out: a null aborts C++ clients and breaks older Java ones."""
    text = adc.render(document(service_account=service_account))

    assert b"null" not in text


def test_lifetime_is_a_whole_number() -> None:
    """Go and C++ refuse a lifetime that is not a JSON integer."""
    text = adc.render(document(lifetime=timedelta(minutes=30)))

    assert json.loads(text)["service_account_impersonation"]["token_lifetime_seconds"] == 1800
    assert b"1800\n" in text


def test_endpoints_of_another_origin_are_used() -> None:
    """Both URLs have the configured endpoints."""
    endpoints = Endpoints.of_universe(sts="http://127.0.0.1:1", iam_credentials="http://127.0.0.1:2")

    found = document(endpoints=endpoints)

    assert found["token_url"] == "http://127.0.0.1:1/v1/token"
    assert found["service_account_impersonation_url"].startswith("http://127.0.0.1:2/v1/projects/-/")
