from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from refresher.emulator.quotas import LIMITS
from tests.tokens import NOW
from tests.unit.emulator.conftest import ALICE, Google, Issuer

QUOTAS = "/emulator/quotas"


def limit(google: Google, quota: str, requests: int = 2) -> None:
    """Enable quotas with a low limit."""
    google.ask("POST", QUOTAS, document={"enabled": True, "limits": {quota: requests}})


def test_exchanges_are_unlimited_until_quotas_are_enabled(google: Google, issuer: Issuer) -> None:
    """Quotas are disabled by default, and have Google's own numbers."""
    assert google.ask("GET", QUOTAS).document == {"enabled": False, "limits": LIMITS}
    assert LIMITS["sts.googleapis.com/requests"] == 6000

    google.cloud.quotas.limits["sts.googleapis.com/requests"] = 0
    assert google.exchange(issuer.token()).status == 200


def test_exchanges_beyond_the_quota_are_throttled(google: Google, issuer: Issuer) -> None:
    """E13: within a minute no more exchanges than the limit; in the next minute there are new ones."""
    limit(google, "sts.googleapis.com/requests")

    statuses = [google.exchange(issuer.token()).status for _ in range(3)]
    google.cloud.clock.advance(timedelta(minutes=1))

    assert statuses == [200, 200, 429]
    assert google.exchange(issuer.token()).status == 200


def test_each_project_has_its_own_quota(google: Google, issuer: Issuer) -> None:
    """An exhausted quota of one project does not affect another."""
    limit(google, "sts.googleapis.com/requests", 0)
    google.cloud.quotas.spend("iamcredentials.googleapis.com/sign", "1", google.cloud.now())
    limit(google, "iamcredentials.googleapis.com/sign", 1)

    google.cloud.quotas.spend("iamcredentials.googleapis.com/sign", "2", google.cloud.now())

    assert google.exchange(issuer.token()).status == 429


def test_other_services_throttle_with_their_own_error(google: Google, federated: str) -> None:
    """RESOURCE_EXHAUSTED with the quota, the project and the service, as Terraform expects it."""
    limit(google, "iamcredentials.googleapis.com/generate_credentials", 0)
    limit(google, "iam.googleapis.com/workload_identity_pool_writes", 0)

    generate = google.impersonate(ALICE, federated)
    write = google.ask("DELETE", f"/v1/{next(iter(google.cloud.state.pools))}", token="anything")

    for reply, service in ((generate, "iamcredentials.googleapis.com"), (write, "iam.googleapis.com")):
        error = reply.document["error"]
        assert (reply.status, error["status"]) == (429, "RESOURCE_EXHAUSTED")
        assert error["message"].startswith(f"Quota exceeded for quota metric '{service}/")
        assert f"of service '{service}' for consumer 'project_number:123456789012'" in error["message"]
        assert error["details"][0]["reason"] == "RATE_LIMIT_EXCEEDED"


@pytest.mark.parametrize("body", [{"limits": {"absent": 1}}, {"limits": []}, {"limits": {"iam.googleapis.com/x": "a"}}])
def test_unknown_quotas_are_refused(google: Google, body: dict[str, Any]) -> None:
    """Only known quotas can be changed."""
    assert google.ask("POST", QUOTAS, document=body).status == 400


def test_clock_is_moved(google: Google, issuer: Issuer) -> None:
    """The time moves at once: tokens expire, and new ones are checked at the new time."""
    token = google.exchange(issuer.token()).document["access_token"]

    moved = google.ask("POST", "/emulator/clock", document={"advance_seconds": 3600}).document

    assert moved["offset_seconds"] == 3600.0
    assert moved["now"] == (NOW + timedelta(hours=1)).isoformat()
    assert google.ask("GET", "/emulator/whoami", token=token).status == 401
    assert "stale" in google.exchange(issuer.token(exp=int(NOW.timestamp()) + 3000)).document["error_description"]
    google.ask("POST", "/emulator/clock", document={"offset_seconds": 0})
    assert google.ask("GET", "/emulator/whoami", token=token).status == 200


@pytest.mark.parametrize(
    "body", [{"advance_seconds": "1"}, {"advance_seconds": 1e300}, {"offset_seconds": True}, {"offset_seconds": -1e12}]
)
def test_invalid_times_are_refused(google: Google, body: dict[str, Any]) -> None:
    """A time outside the calendar changes nothing."""
    assert google.ask("POST", "/emulator/clock", document=body).status == 400
    assert google.cloud.clock.now() == NOW


@pytest.mark.parametrize("change", [lambda token: f" {token}\n", lambda token: f"\ufeff{token}"])
def test_lenient_emulator_accepts_whitespace(google: Google, issuer: Issuer, change: Any) -> None:  # noqa: ANN401 - a function
    """Whitespace and byte-order marks are refused, unless the emulator is lenient."""
    strict = google.exchange(change(issuer.token()))
    google.cloud.lenient = True

    assert strict.document["error_description"] == "Unable to parse the ID Token."
    assert google.exchange(change(issuer.token())).status == 200


def test_lenient_emulator_accepts_old_tokens_and_bearers(google: Google, issuer: Issuer) -> None:
    """Only a lenient emulator accepts an unexpired token issued days ago, or a request with a bearer token."""
    old = issuer.token(iat=int(NOW.timestamp()) - 200_000)
    headers = {"authorization": "Bearer x", "content-type": "application/json"}

    def with_bearer() -> Any:  # noqa: ANN401 - JSON
        return google.ask("POST", "/v1/token", document={}, headers=headers).document["error_description"]

    assert google.exchange(old).status == 400
    assert with_bearer() == "The Authorization header must not be a bearer token."
    google.cloud.lenient = True
    assert google.exchange(old).status == 200
    assert with_bearer() == "Invalid grant_type."
