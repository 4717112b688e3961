from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from refresher.emulator.quotas import LIMITS
from tests.tokens import NOW
from tests.unit.emulator.conftest import ALICE, Google, Issuer

QUOTAS = "/emulator/quotas"


def limit(google: Google, quota: str, requests: int = 2) -> None:
    """Switch quotas on with a low limit."""
    google.ask("POST", QUOTAS, document={"enabled": True, "limits": {quota: requests}})


def test_exchanges_are_unlimited_until_quotas_are_on(google: Google, issuer: Issuer) -> None:
    """Quotas are off unless switched on, with Google's own numbers."""
    assert google.ask("GET", QUOTAS).document == {"enabled": False, "limits": LIMITS}
    assert LIMITS["sts.googleapis.com/requests"] == 6000

    google.cloud.quotas.limits["sts.googleapis.com/requests"] = 0
    assert google.exchange(issuer.token()).status == 200


def test_exchanges_beyond_the_quota_are_throttled(google: Google, issuer: Issuer) -> None:
    """E13: within a minute no more than the limit, in the next one again."""
    limit(google, "sts.googleapis.com/requests")

    statuses = [google.exchange(issuer.token()).status for _ in range(3)]
    google.cloud.clock.advance(timedelta(minutes=1))

    assert statuses == [200, 200, 429]
    assert google.exchange(issuer.token()).status == 200


def test_each_project_has_its_own_quota(google: Google, issuer: Issuer) -> None:
    """What one project uses up another still has."""
    limit(google, "sts.googleapis.com/requests", 0)
    google.cloud.quotas.spend("iamcredentials.googleapis.com/sign", "1", google.cloud.now())
    limit(google, "iamcredentials.googleapis.com/sign", 1)

    google.cloud.quotas.spend("iamcredentials.googleapis.com/sign", "2", google.cloud.now())

    assert google.exchange(issuer.token()).status == 429


def test_other_services_throttle_in_their_own_words(google: Google, federated: str) -> None:
    """RESOURCE_EXHAUSTED with what was exceeded, by whom and of which service, as Terraform looks for it."""
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
def test_refuses_quotas_that_there_are_not(google: Google, body: dict[str, Any]) -> None:
    """Only the quotas that are known can be changed."""
    assert google.ask("POST", QUOTAS, document=body).status == 400


def test_the_clock_is_moved_by_a_test(google: Google, issuer: Issuer) -> None:
    """Time goes by at once: tokens end, and new ones are judged at the new time."""
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
def test_refuses_times_that_there_are_not(google: Google, body: dict[str, Any]) -> None:
    """A time beyond all calendars changes nothing."""
    assert google.ask("POST", "/emulator/clock", document=body).status == 400
    assert google.cloud.clock.now() == NOW


@pytest.mark.parametrize("change", [lambda token: f" {token}\n", lambda token: f"\ufeff{token}"])
def test_lenient_takes_what_google_may_take(google: Google, issuer: Issuer, change: Any) -> None:  # noqa: ANN401 - a function
    """White space and byte-order marks are refused, unless the emulator is lenient."""
    strict = google.exchange(change(issuer.token()))
    google.cloud.lenient = True

    assert strict.document["error_description"] == "Unable to parse the ID Token."
    assert google.exchange(change(issuer.token())).status == 200


def test_lenient_takes_old_tokens_and_bearers(google: Google, issuer: Issuer) -> None:
    """A token issued days ago that still lives, and a request with a bearer token, pass a lenient emulator alone."""
    old = issuer.token(iat=int(NOW.timestamp()) - 200_000)
    headers = {"authorization": "Bearer x", "content-type": "application/json"}

    def with_bearer() -> Any:  # noqa: ANN401 - JSON
        return google.ask("POST", "/v1/token", document={}, headers=headers).document["error_description"]

    assert google.exchange(old).status == 400
    assert with_bearer() == "The Authorization header must not be a bearer token."
    google.cloud.lenient = True
    assert google.exchange(old).status == 200
    assert with_bearer() == "Invalid grant_type."
