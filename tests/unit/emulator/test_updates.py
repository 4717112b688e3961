"""Updates of every kind of resource: etags in both alphabets, and masks that clear what the body lacks."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from refresher.emulator.policies import Policy, is_same_etag
from refresher.emulator.storage_state import Bucket
from tests.unit.emulator.conftest import ALICE, POOL, Google
from tests.unit.emulator.storage_calls import HOST, OBJECTS, put

if TYPE_CHECKING:
    from collections.abc import Callable

    from refresher.emulator.http import Reply

PROJECT = "/v1/projects/my-project"
ACCOUNT = f"{PROJECT}/serviceAccounts/{ALICE}"
ORG = "/v2/projects/my-project/policies/iam.disableServiceAccountKeyCreation"
DENY = "/v2/policies/cloudresourcemanager.googleapis.com%2Fprojects%2Fmy-project/denypolicies"
RULES = {"rules": [{"enforce": True}]}


def admin(google: Google, method: str, path: str, document: Any = None, **query: str) -> Reply:  # noqa: ANN401 - JSON
    """Send a request as the administrator."""
    return google.ask(method, path, document=document, query=query, token="anything", headers=HOST)


def set_policy(where: str) -> Callable[[Google, int], tuple[str, Callable[[str], Reply]]]:
    """Return what writes the policy of a resource: its present etag, and a write with an etag."""

    def prepare(google: Google, number: int) -> tuple[str, Callable[[str], Reply]]:
        google.cloud.state.add_service_account(ALICE)
        members = [f"user:carol-{number}@example.com"]
        role = "roles/iam.serviceAccountTokenCreator" if where == ACCOUNT else "roles/iam.workloadIdentityPoolViewer"
        policy = {"bindings": [{"role": role, "members": members}]}
        made = admin(google, "POST", f"{where}:setIamPolicy", {"policy": policy}).document["etag"]
        return made, lambda etag: admin(google, "POST", f"{where}:setIamPolicy", {"policy": {**policy, "etag": etag}})

    return prepare


def bucket(google: Google, number: int) -> tuple[str, Callable[[str], Reply]]:
    """Prepare the policy of a bucket."""
    google.cloud.state.buckets["data"] = Bucket(project="my-project", created=0.0)
    policy = {"bindings": [{"role": "roles/storage.objectViewer", "members": [f"user:carol-{number}@example.com"]}]}
    made = admin(google, "PUT", "/storage/v1/b/data/iam", policy).document["etag"]
    return made, lambda etag: admin(google, "PUT", "/storage/v1/b/data/iam", {**policy, "etag": etag})


def run(google: Google, number: int) -> tuple[str, Callable[[str], Reply]]:
    """Prepare the policy of a service of Cloud Run."""
    path = "/v2/projects/my-project/locations/europe-west1/services/api:setIamPolicy"
    policy = {"bindings": [{"role": "roles/run.invoker", "members": [f"user:carol-{number}@example.com"]}]}
    made = admin(google, "POST", path, {"policy": policy}).document["etag"]
    return made, lambda etag: admin(google, "POST", path, {"policy": {**policy, "etag": etag}})


def account(google: Google, number: int) -> tuple[str, Callable[[str], Reply]]:
    """Prepare a service account."""
    google.cloud.state.add_service_account(ALICE).display_name = str(number)
    made = admin(google, "GET", ACCOUNT).document["etag"]
    return made, lambda etag: admin(
        google, "PATCH", ACCOUNT, {"serviceAccount": {"displayName": "x", "etag": etag}, "updateMask": "displayName"}
    )


def role(google: Google, number: int) -> tuple[str, Callable[[str], Reply]]:
    """Prepare a custom role."""
    google.cloud.state.roles.clear()
    body = {"roleId": "mine", "role": {"title": str(number)}}
    made = admin(google, "POST", f"{PROJECT}/roles", body).document["etag"]
    return made, lambda etag: admin(google, "PATCH", f"{PROJECT}/roles/mine", {"title": "x", "etag": etag})


def org_policy(google: Google, number: int) -> tuple[str, Callable[[str], Reply]]:
    """Prepare a spec of an organisation policy."""
    google.cloud.state.documents.clear()
    body = {"name": ORG.removeprefix("/v2/"), "spec": {"rules": [{"values": {"allowedValues": [str(number)]}}]}}
    made = admin(google, "POST", ORG.rpartition("/")[0], body).document["spec"]["etag"]
    return made, lambda etag: admin(google, "PATCH", ORG, {"spec": {**RULES, "etag": etag}}, updateMask="policy.spec")


def deny_policy(google: Google, number: int) -> tuple[str, Callable[[str], Reply]]:
    """Prepare a deny policy."""
    google.cloud.state.documents.clear()
    admin(google, "POST", DENY, {"displayName": str(number)}, policyId="no-keys")
    made = admin(google, "GET", f"{DENY}/no-keys").document["etag"]
    return made, lambda etag: admin(google, "PUT", f"{DENY}/no-keys", {"displayName": "x", "etag": etag})


RESOURCES = {
    "project": set_policy(PROJECT),
    "account's policy": set_policy(ACCOUNT),
    "pool": set_policy(f"/v1/{POOL}"),
    "bucket": bucket,
    "service of Cloud Run": run,
    "account": account,
    "custom role": role,
    "organisation policy": org_policy,
    "deny policy": deny_policy,
}


@pytest.mark.parametrize("resource", RESOURCES)
def test_etag_is_accepted_in_both_alphabets(google: Google, resource: str) -> None:
    """The bytes count: `+/` and `-_` are the same etag, with or without padding, and another etag is a conflict."""
    prepared = (RESOURCES[resource](google, number) for number in range(100))
    etag, write = next((etag, write) for etag, write in prepared if "+" in etag or "/" in etag)
    safe = base64.urlsafe_b64encode(base64.b64decode(etag)).decode()
    other = base64.urlsafe_b64encode(bytes(8)).decode()

    assert safe != etag
    assert write(other).status == 409
    assert write(safe.rstrip("=")).status == 200


@pytest.mark.parametrize(
    ("given", "known", "same"),
    [
        ("BwX+/w==", "BwX-_w", True),
        ("BwX-_w==", "BwX+/w==", True),
        ("ACAB", "ACAB", True),
        ("ACAB", "ACAA", False),
        ("", "ACAB", False),
    ],
)
def test_etags_are_compared_by_their_bytes(given: str, known: str, same: bool) -> None:  # noqa: FBT001 - a column
    """Neither alphabet nor padding makes a difference."""
    assert is_same_etag(given, known) is same


def test_empty_policy_has_a_known_etag() -> None:
    """A policy without bindings has Google's well-known etag."""
    assert Policy().etag == "ACAB"


@pytest.mark.parametrize(
    ("mask", "body", "kept"),
    [
        ("policy.spec,policy.dryRunSpec", {"spec": RULES}, {"spec"}),
        ("policy.dryRunSpec", {"dryRunSpec": RULES}, {"spec", "dryRunSpec"}),
        ("policy.dry_run_spec", {}, {"spec"}),
        ("policy.dryRunSpec", {"dryRunSpec": None}, {"spec"}),
        ("spec", {}, {"dryRunSpec"}),
        ("policy.spec", {"spec": RULES, "dryRunSpec": None}, {"spec", "dryRunSpec"}),
        ("*", {"dryRunSpec": RULES}, {"dryRunSpec"}),
        ("", {"spec": RULES}, {"spec"}),
        ("", {}, set()),
    ],
)
def test_mask_of_an_organisation_policy_clears(google: Google, mask: str, body: dict[str, Any], kept: set[str]) -> None:
    """A masked spec that the body lacks is removed; a spec outside the mask stays, whatever the body contains."""
    policy = {"name": ORG.removeprefix("/v2/"), "spec": RULES, "dryRunSpec": RULES}
    made = admin(google, "POST", ORG.rpartition("/")[0], policy).document

    changed = admin(google, "PATCH", ORG, body, **({"updateMask": mask} if mask else {}))

    assert changed.status == 200
    assert {"spec", "dryRunSpec"} & changed.document.keys() == kept
    assert admin(google, "GET", ORG).document == changed.document
    assert all({"etag", "updateTime"} <= made[spec].keys() for spec in ("spec", "dryRunSpec"))
    assert admin(google, "PATCH", ORG, body, updateMask="policy.name").status == 400


@pytest.mark.parametrize("path", [ORG, f"{PROJECT}/roles/mine", f"{DENY}/no-keys"])
def test_deletion_with_an_old_etag_is_a_conflict(google: Google, path: str) -> None:
    """Where a deletion takes an etag, only the present version is deleted, in both alphabets of base64."""
    admin(google, "POST", ORG.rpartition("/")[0], {"name": ORG.removeprefix("/v2/"), "spec": RULES})
    admin(google, "POST", f"{PROJECT}/roles", {"roleId": "mine", "role": {"title": "T"}})
    admin(google, "POST", DENY, {}, policyId="no-keys")
    etag = admin(google, "GET", path).document["etag"]

    assert admin(google, "DELETE", path, etag="AAAA").status == 409
    assert admin(google, "DELETE", path, etag=etag.replace("+", "-").replace("/", "_").rstrip("=")).status == 200


@pytest.mark.parametrize("spec", ["spec", "dryRunSpec", None])
def test_old_etag_of_either_spec_is_a_conflict(google: Google, spec: str | None) -> None:
    """The whole policy and both of its specs have an etag, and each of them is compared."""
    policy = {"name": ORG.removeprefix("/v2/"), "spec": RULES, "dryRunSpec": RULES}
    admin(google, "POST", ORG.rpartition("/")[0], policy)
    body = {spec: {**RULES, "etag": "AAAA"}} if spec else {"etag": "AAAA", "spec": RULES}

    assert admin(google, "PATCH", ORG, body, updateMask="policy.spec,policy.dryRunSpec").status == 409


@pytest.mark.parametrize(
    ("mask", "body", "expected"),
    [
        ("title,description", {"title": "New"}, {"title": "New", "stage": "BETA", "includedPermissions": ["a.b.c"]}),
        ("included_permissions", {}, {"title": "T", "description": "D", "stage": "BETA"}),
        ("stage", {}, {"title": "T", "description": "D", "includedPermissions": ["a.b.c"]}),
        ("", {"title": "New"}, {"title": "New", "description": "D", "stage": "BETA", "includedPermissions": ["a.b.c"]}),
    ],
)
def test_mask_of_a_custom_role_clears(
    google: Google, mask: str, body: dict[str, Any], expected: dict[str, Any]
) -> None:
    """A masked field that the body lacks is cleared; the stage ALPHA, the default, is not shown."""
    made = {"title": "T", "description": "D", "includedPermissions": ["a.b.c"], "stage": "BETA"}
    admin(google, "POST", f"{PROJECT}/roles", {"roleId": "mine", "role": made})

    admin(google, "PATCH", f"{PROJECT}/roles/mine", body, **({"updateMask": mask} if mask else {}))

    shown = admin(google, "GET", f"{PROJECT}/roles/mine").document
    assert {name: value for name, value in shown.items() if name not in ("name", "etag")} == expected
    assert admin(google, "PATCH", f"{PROJECT}/roles/mine", body, updateMask="name").status == 400


@pytest.mark.parametrize(
    ("mask", "body", "expected"),
    [
        ("displayName,documentation", {"displayName": "New"}, {"displayName": "New", "combiner": "OR"}),
        ("display_name", {"combiner": "AND"}, {"combiner": "OR", "documentation": {"content": "D", "subject": "S"}}),
        ("documentation.content", {}, {"displayName": "A", "combiner": "OR", "documentation": {"subject": "S"}}),
        ("", {"displayName": "New"}, {"displayName": "New"}),
        ("*", {"displayName": "New"}, {"displayName": "New"}),
    ],
)
def test_mask_of_an_alert_policy_clears(
    google: Google, mask: str, body: dict[str, Any], expected: dict[str, Any]
) -> None:
    """A masked field that the body lacks is cleared; without a mask the whole policy is replaced."""
    policy = {"displayName": "A", "combiner": "OR", "documentation": {"content": "D", "subject": "S"}}
    name = admin(google, "POST", "/v3/projects/my-project/alertPolicies", policy).document["name"]

    admin(google, "PATCH", f"/v3/{name}", body, **({"updateMask": mask} if mask else {}))

    shown = admin(google, "GET", f"/v3/{name}").document
    assert shown == {**expected, "name": name}
    assert admin(google, "PATCH", f"/v3/{name}", body, updateMask="displayName,nonsense").status == 400


@pytest.mark.parametrize("mask", ["displayName,description,disabled", "display_name", "description", "disabled"])
def test_mask_of_a_pool_clears(google: Google, mask: str) -> None:
    """A pool and a provider lose the masked fields that the body lacks, and keep the others."""
    fields = {"displayName": "P", "description": "D", "disabled": True}
    every = ",".join(fields)
    for path in (f"/v1/{POOL}", f"/v1/{POOL}/providers/refresher"):
        admin(google, "PATCH", path, fields, updateMask=every)
        admin(google, "PATCH", path, {}, updateMask=mask)
        shown = admin(google, "GET", path).document
        cleared = {path.replace("display_name", "displayName") for path in mask.split(",")}
        assert fields.keys() & shown.keys() == fields.keys() - cleared


def test_patch_of_a_bucket_clears_with_null(google: Google) -> None:
    """Null removes a value or one label; other values stay. PUT replaces them all, but not the location."""
    admin(google, "POST", "/storage/v1/b", {"name": "logs", "location": "EU"}, project="my-project")
    path = "/storage/v1/b/logs"
    admin(google, "PATCH", path, {"labels": {"a": "1", "b": "2"}, "website": {"mainPageSuffix": "x"}})

    shown = admin(google, "PATCH", path, {"labels": {"a": None, "c": "3"}, "website": None}).document
    replaced = admin(google, "PUT", path, {"cors": []}).document

    assert (shown["labels"], "website" in shown) == ({"b": "2", "c": "3"}, False)
    assert ("labels" in replaced, replaced["location"], replaced["metageneration"]) == (False, "EU", "4")


def test_patch_of_an_object_clears_with_null(google: Google, writer: str) -> None:
    """Null removes a value or one entry of the metadata; PUT replaces all metadata."""
    put(google, writer, "a")
    path = f"{OBJECTS}/a"

    def send(method: str, document: dict[str, Any]) -> dict[str, Any]:
        shown: dict[str, Any] = google.ask(method, path, document=document, token=writer, headers=HOST).document
        return shown

    send("PATCH", {"metadata": {"a": "1", "b": "2"}, "cacheControl": "no-store"})
    patched = send("PATCH", {"metadata": {"a": None, "c": "3"}, "cacheControl": None})
    replaced = send("PUT", {"contentType": "text/b"})

    assert (patched["metadata"], "cacheControl" in patched) == ({"b": "2", "c": "3"}, False)
    assert (patched["contentType"], replaced["contentType"], "metadata" in replaced) == ("text/a", "text/b", False)
    assert replaced["metageneration"] == "4"
