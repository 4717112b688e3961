from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.emulator.conftest import ALICE, BOB
from tests.unit.emulator.storage_calls import HOST, OBJECTS, issue_token, put

if TYPE_CHECKING:
    from refresher.emulator.http import Reply
    from tests.unit.emulator.conftest import Google


def test_wrong_identity_gets_googles_refusal(google: Google, writer: str) -> None:
    """403 shows caller, permission and resource with Google's text; an anonymous caller gets 401."""
    put(google, writer, "a")

    refused = google.ask("GET", f"{OBJECTS}/a", token=issue_token(google, f"serviceAccount:{BOB}"))
    nobody = google.ask("GET", f"{OBJECTS}/a")
    unknown = google.ask("GET", f"{OBJECTS}/a", token="ya29.unknown")
    anything = google.ask("GET", f"{OBJECTS}/a", token="anything")

    assert (refused.status, refused.document["error"]["errors"][0]["reason"]) == (403, "forbidden")
    assert refused.document["error"]["message"] == (
        f"{BOB} does not have storage.objects.get access to the Google Cloud Storage object. "
        "Permission 'storage.objects.get' denied on resource (or it may not exist)."
    )
    assert (nobody.status, unknown.status, anything.status) == (401, 401, 401)
    assert nobody.document["error"]["message"].startswith("Anonymous caller does not have storage.objects.get access")


def test_public_objects_need_no_token(google: Google, writer: str) -> None:
    """Anyone can read what `allUsers` may read."""
    put(google, writer, "a")
    google.cloud.state.buckets["data"].policy.allow("roles/storage.objectViewer", "allUsers")

    assert google.ask("GET", f"{OBJECTS}/a").status == 200
    assert google.ask("DELETE", f"{OBJECTS}/a").status == 401


@pytest.mark.parametrize(
    ("scope", "may_read", "may_write"),
    [("read_only", True, False), ("read_write", True, True), ("full_control", True, True)],
)
def test_scopes_limit_tokens(
    google: Google,
    writer: str,
    scope: str,
    may_read: bool,  # noqa: FBT001 - a column
    may_write: bool,  # noqa: FBT001 - a column
) -> None:
    """I3: a token only permits what its scopes allow, whatever its account may do."""
    put(google, writer, "a")
    scopes = [f"https://www.googleapis.com/auth/devstorage.{scope}"]
    token = issue_token(google, f"serviceAccount:{ALICE}", scopes=scopes)

    assert (google.ask("GET", f"{OBJECTS}/a", token=token).status == 200) is may_read
    assert (put(google, token, "b").status == 200) is may_write


def test_buckets_are_created_changed_and_removed(google: Google) -> None:
    """The administrator creates and changes buckets; a bucket with objects is not removed."""

    def admin(method: str, path: str, document: Any = None, **query: str) -> Reply:  # noqa: ANN401 - JSON
        return google.ask(method, path, document=document, query=query, token="anything", headers=HOST)

    buckets = "/storage/v1/b"
    made = admin("POST", buckets, {"name": "logs", "location": "EU"}, project="my-project")

    assert (made.document["location"], made.document["projectNumber"]) == ("EU", "123456789012")
    assert made.document["iamConfiguration"]["uniformBucketLevelAccess"]["enabled"] is True
    assert admin("POST", buckets, {"name": "logs"}, project="my-project").status == 409
    assert admin("POST", buckets, {"name": "No"}, project="my-project").status == 400
    assert admin("POST", buckets, {"name": "other"}, project="nobodys").status == 400
    assert admin("PATCH", f"{buckets}/logs", {"labels": {"a": "b"}}).document["labels"] == {"a": "b"}
    assert admin("GET", f"{buckets}/logs").document["metageneration"] == "2"
    assert [item["id"] for item in admin("GET", buckets, project="my-project").document["items"]] == ["logs"]
    assert admin("GET", f"{buckets}/absent").status == 404
    google.cloud.state.buckets["logs"].policy.allow("roles/storage.objectUser", f"serviceAccount:{ALICE}")
    token = issue_token(google, f"serviceAccount:{ALICE}")
    google.ask("POST", "/upload/storage/v1/b/logs/o", query={"uploadType": "media", "name": "a"}, token=token)
    assert admin("DELETE", f"{buckets}/logs").status == 409
    google.ask("DELETE", f"{buckets}/logs/o/a", token=token)
    assert admin("DELETE", f"{buckets}/logs").status == 204


def test_bucket_policy_applies_at_once(google: Google, writer: str) -> None:
    """A bucket's policy applies to its objects; permissions can be tested."""
    put(google, writer, "a")
    bob = issue_token(google, f"serviceAccount:{BOB}")
    google.cloud.state.add_service_account(BOB)
    policy = google.ask("GET", "/storage/v1/b/data/iam", token="anything").document
    entry = {"role": "roles/storage.objectViewer", "members": [f"serviceAccount:{BOB}"]}
    google.cloud.state.add_service_account(ALICE)

    written = google.ask(
        "PUT", "/storage/v1/b/data/iam", document={**policy, "bindings": [*policy["bindings"], entry]}, token="anything"
    )

    assert (written.status, written.document["kind"]) == (200, "storage#policy")
    assert google.ask("GET", f"{OBJECTS}/a", token=bob).status == 200
    asked = {"permissions": "storage.objects.get"}
    assert google.ask("GET", "/storage/v1/b/data/iam/testPermissions", query=asked, token=bob).document["permissions"]
    assert google.ask("GET", "/storage/v1/b/data/storageLayout", token=bob).status == 200
    assert google.ask("PUT", "/storage/v1/b/data/iam", document=policy, token=bob).status == 403


def test_xml_api_reads_objects(google: Google, writer: str) -> None:
    """`GET /BUCKET/OBJECT`, by path and by host, returns content, and errors in XML."""
    put(google, writer, "a/b", b"content")
    there = {"host": "storage.googleapis.com"}

    for path, headers in (
        ("/data/a/b", HOST),
        ("/data/a%2Fb", there),
        ("/a/b", {"host": "data.storage.googleapis.com"}),
    ):
        assert google.ask("GET", path, token=writer, headers=headers).content == b"content"
    missing = google.ask("GET", "/data/none", token=writer, headers=there)
    denied = google.ask("GET", "/data/a/b", token=issue_token(google, f"serviceAccount:{BOB}"), headers=there)
    nowhere = google.ask("GET", "/absent/x", token=writer, headers=there)
    assert [reply.status for reply in (missing, denied, nowhere)] == [404, 403, 404]
    assert "<Code>NoSuchKey</Code>" in (missing.text or "")
    assert "<Code>AccessDenied</Code>" in (denied.text or "")
    assert "<Code>NoSuchBucket</Code>" in (nowhere.text or "")
    assert missing.headers["content-type"] == "application/xml; charset=UTF-8"
