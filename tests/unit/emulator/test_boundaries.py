from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from refresher.emulator.storage.resources import store
from refresher.emulator.storage_state import Bucket
from tests.unit.emulator.conftest import ACCESS_TOKEN_TYPE, ALICE, Google

if TYPE_CHECKING:
    from collections.abc import Callable

    from refresher.emulator.http import Reply

BUCKETS = "//storage.googleapis.com/projects/_/buckets/"
VIEWER = "inRole:roles/storage.objectViewer"
BEGINS = "resource.name.startsWith('projects/_/buckets/data/objects/public/')"


def rule(bucket: str = "data", role: str = VIEWER, expression: str = "") -> dict[str, Any]:
    """Return a rule of a credential access boundary."""
    made: dict[str, Any] = {"availableResource": f"{BUCKETS}{bucket}", "availablePermissions": [role]}
    return made | ({"availabilityCondition": {"expression": expression}} if expression else {})


@pytest.fixture
def token(google: Google) -> str:
    """Return a token of alice, who has all rights to two buckets with objects."""
    for name in ("data", "other"):
        bucket = Bucket(project="my-project", created=0.0)
        bucket.policy.allow("roles/storage.objectAdmin", f"serviceAccount:{ALICE}")
        for content in ("public/a", "private/a"):
            store(google.cloud, bucket, content, b"x", {})
        google.cloud.state.buckets[name] = bucket
    google.cloud.state.allow(ALICE, f"serviceAccount:{ALICE}", "roles/iam.serviceAccountTokenCreator")
    found: str = google.ask("POST", "/emulator/token", document={"member": f"serviceAccount:{ALICE}"}).document[
        "access_token"
    ]
    return found


def downscope(google: Google, token: str, *rules: object, encode: Callable[[str], str] = str, **fields: str) -> Reply:
    """Exchange an access token for one with a boundary."""
    options = encode(json.dumps({"accessBoundary": {"accessBoundaryRules": list(rules)}}))
    usual = {"audience": "", "scope": "", "subject_token_type": ACCESS_TOKEN_TYPE, "options": options}
    return google.exchange(token, **{**usual, **fields})


def get(google: Google, token: str, bucket: str, name: str) -> int:
    """Read an object and return the status."""
    return google.ask("GET", f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}", token=token).status


@pytest.mark.parametrize("encode", [str, quote])
def test_boundary_permits_what_its_rule_contains(google: Google, token: str, encode: Callable[[str], str]) -> None:
    """A downscoped token reads the bucket of its rule and no other, and writes nothing."""
    reply = downscope(google, token, rule(), encode=encode)
    narrow = reply.document["access_token"]

    assert "expires_in" not in reply.document
    assert get(google, narrow, "data", "private/a") == 200
    assert get(google, narrow, "other", "private/a") == 403
    assert google.ask("DELETE", "/storage/v1/b/data/o/public%2Fa", token=narrow).status == 403
    assert get(google, token, "other", "private/a") == 200


def test_boundary_adds_no_rights(google: Google, token: str) -> None:
    """What the account itself may not do, a downscoped token may not do either."""
    google.cloud.state.buckets["data"].policy.bindings.clear()

    assert get(google, downscope(google, token, rule()).document["access_token"], "data", "public/a") == 403


def test_rule_can_have_a_condition(google: Google, token: str) -> None:
    """A condition can restrict a rule to names with a prefix."""
    narrow = downscope(google, token, rule(expression=BEGINS)).document["access_token"]

    assert get(google, narrow, "data", "public/a") == 200
    assert get(google, narrow, "data", "private/a") == 403


def test_rules_add_up(google: Google, token: str) -> None:
    """Each rule of a boundary permits something."""
    narrow = downscope(google, token, rule(), rule("other", "inRole:roles/storage.objectCreator")).document

    assert get(google, narrow["access_token"], "data", "public/a") == 200
    assert get(google, narrow["access_token"], "other", "public/a") == 403


def test_downscoped_token_only_works_for_cloud_storage(google: Google, token: str) -> None:
    """With a boundary an account cannot impersonate, and the token cannot be downscoped again."""
    narrow = downscope(google, token, rule()).document["access_token"]

    assert google.impersonate(ALICE, token).status == 200
    assert google.impersonate(ALICE, narrow).status == 403
    assert downscope(google, narrow, rule()).status == 400


@pytest.mark.parametrize(
    "rules",
    [
        [],
        [rule()] * 11,
        ["x"],
        [{**rule(), "availableResource": "//compute.googleapis.com/x"}],
        [{**rule(), "availablePermissions": []}],
        [{**rule(), "availablePermissions": ["roles/storage.objectViewer"]}],
        [rule(expression="resource.")],
        [{**rule(), "availabilityCondition": {}}],
    ],
)
def test_invalid_boundaries_are_refused(google: Google, token: str, rules: list[Any]) -> None:
    """A boundary has one to ten rules, with buckets, roles and conditions that compile."""
    assert downscope(google, token, *rules).status == 400


@pytest.mark.parametrize("options", ["x", "[]", "{}", '{"accessBoundary": 1}', json.dumps({"a": "x" * 4096})])
def test_invalid_options_are_refused(google: Google, token: str, options: str) -> None:
    """Options are a JSON object of at most 4,096 characters."""
    assert downscope(google, token, options=options).status == 400


def test_access_token_is_not_a_subject_token(google: Google, token: str) -> None:
    """An opaque token is not accepted as a subject token of a pool, even if this cloud issued it."""
    audience = (
        "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/workers/providers/refresher"
    )

    assert downscope(google, token, rule(), audience=audience).document["error"] == "invalid_request"
    assert downscope(google, "ya29.foreign", rule()).document["error"] == "invalid_grant"
    assert downscope(google, token, options="").document["error"] == "invalid_request"
