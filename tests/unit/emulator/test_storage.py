from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

import google_crc32c
import pytest

from refresher.emulator.storage.state import Bucket
from tests.unit.emulator.conftest import ALICE, BOB, Google

if TYPE_CHECKING:
    from refresher.emulator.calls import Reply

OBJECTS = "/storage/v1/b/data/o"
UPLOAD = "/upload/storage/v1/b/data/o"
HOST = {"host": "127.0.0.1:1"}
ALL = b"0123456789"


@pytest.fixture
def alice(google: Google) -> str:
    """Give a token of alice, who may do all with the objects of a bucket; bob may do nothing."""
    bucket = Bucket(project="my-project", created=0.0)
    bucket.policy.allow("roles/storage.objectUser", f"serviceAccount:{ALICE}")
    google.cloud.state.buckets["data"] = bucket
    return token_of(google, f"serviceAccount:{ALICE}")


def token_of(google: Google, member: str, **more: Any) -> str:  # noqa: ANN401 - JSON
    """Give an access token of a member."""
    token: str = google.ask("POST", "/emulator/token", document={"member": member, **more}).document["access_token"]
    return token


def put(google: Google, token: str | None, name: str, content: bytes = b"x", **query: str) -> Reply:
    """Upload an object whole."""
    query = {"uploadType": "media", "name": name, **query}
    return google.ask(
        "POST", UPLOAD, body=content, query=query, token=token, headers={**HOST, "content-type": "text/a"}
    )


def names_of(reply: Reply) -> list[str]:
    """Give the names of the objects in a listing."""
    return [item["name"] for item in reply.document.get("items", [])]


def test_an_object_comes_back_as_it_was_put(google: Google, alice: str) -> None:
    """Content, type, size and both checksums are those of what was uploaded."""
    content = bytes(range(256))

    made = put(google, alice, "a/b c", content).document
    shown = google.ask("GET", f"{OBJECTS}/a%2Fb%20c", token=alice, headers=HOST).document
    media = google.ask("GET", f"{OBJECTS}/a%2Fb%20c", token=alice, query={"alt": "media"})

    assert made == shown
    assert (media.content, media.headers["content-type"]) == (content, "text/a")
    assert (shown["size"], shown["name"], shown["bucket"]) == ("256", "a/b c", "data")
    md5 = hashlib.md5(content, usedforsecurity=False).digest()
    assert shown["md5Hash"] == base64.b64encode(md5).decode()
    assert shown["crc32c"] == base64.b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode()
    assert media.headers["x-goog-hash"] == f"crc32c={shown['crc32c']},md5={shown['md5Hash']}"


def test_the_wrong_identity_gets_googles_refusal(google: Google, alice: str) -> None:
    """403 names who, what and where in Google's words; nobody at all gets 401."""
    put(google, alice, "a")

    refused = google.ask("GET", f"{OBJECTS}/a", token=token_of(google, f"serviceAccount:{BOB}"))
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


def test_everybody_may_read_what_is_public(google: Google, alice: str) -> None:
    """`allUsers` needs no token."""
    put(google, alice, "a")
    google.cloud.state.buckets["data"].policy.allow("roles/storage.objectViewer", "allUsers")

    assert google.ask("GET", f"{OBJECTS}/a").status == 200
    assert google.ask("DELETE", f"{OBJECTS}/a").status == 401


@pytest.mark.parametrize(
    ("scope", "may_read", "may_write"),
    [("read_only", True, False), ("read_write", True, True), ("full_control", True, True)],
)
def test_scopes_limit_tokens(
    google: Google,
    alice: str,
    scope: str,
    may_read: bool,  # noqa: FBT001 - a column
    may_write: bool,  # noqa: FBT001 - a column
) -> None:
    """I3: a token does what its scopes allow, whatever its account may do."""
    put(google, alice, "a")
    scopes = [f"https://www.googleapis.com/auth/devstorage.{scope}"]
    token = token_of(google, f"serviceAccount:{ALICE}", scopes=scopes)

    assert (google.ask("GET", f"{OBJECTS}/a", token=token).status == 200) is may_read
    assert (put(google, token, "b").status == 200) is may_write


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_a_multipart_upload_has_a_document_and_content(google: Google, alice: str, end: bytes) -> None:
    """Content may hold line ends and dashes, lines may end as gcloud ends them, and what is said of it is kept."""
    content = b"--b\r\n\r\nline\r\n--\x00\n\n"
    fields = {"name": "m", "metadata": {"a": "b"}, "contentType": "text/plain"}
    body = (
        b'--=="x"\r\ncontent-type: application/json\r\n\r\n'
        + json.dumps(fields).encode()
        + b'\r\n--=="x"\r\ncontent-type: text/b\r\n\r\n'
        + content
        + b'\r\n--=="x"--'
    )
    body = body.replace(content, b"?").replace(b"\r\n", end).replace(b"?", content)
    kind = {**HOST, "content-type": "multipart/related; boundary='==\"x\"'"}

    made = google.ask("POST", UPLOAD, body=body, query={"uploadType": "multipart"}, token=alice, headers=kind)

    assert (made.status, made.document["metadata"], made.document["contentType"]) == (200, {"a": "b"}, "text/plain")
    assert google.ask("GET", f"{OBJECTS}/m", query={"alt": "media"}, token=alice).content == content


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "multipart/related"),
        (b"", "multipart/related; boundary=b"),
        (b"--b\r\n\r\n{}\r\n--b--", "multipart/related; boundary=b"),
        (b"--b\r\n\r\nx\r\n--b\r\n\r\ny\r\n--b--", "multipart/related; boundary=b"),
        (b"--b\r\n\r\n[]\r\n--b\r\n\r\ny\r\n--b--", "multipart/related; boundary=b"),
        (b'--b\r\n\r\n{"name": "\\ud800"}\r\n--b\r\n\r\ny\r\n--b--', "multipart/related; boundary=b"),
    ],
)
def test_refuses_uploads_of_parts_that_are_none(google: Google, alice: str, body: bytes, kind: str) -> None:
    """A multipart body has a boundary and two parts, of which the first is a JSON object."""
    headers = {"content-type": kind}

    reply = google.ask("POST", UPLOAD, body=body, query={"uploadType": "multipart"}, token=alice, headers=headers)

    assert (reply.status, reply.document["error"]["code"]) == (400, 400)


def begin(google: Google, token: str, name: str = "r", **query: str) -> dict[str, str]:
    """Begin a resumable upload and give the query of its session."""
    reply = google.ask(
        "POST",
        UPLOAD,
        document={"name": name},
        query={"uploadType": "resumable", **query},
        token=token,
        headers={**HOST, "x-upload-content-type": "text/c", "content-type": "application/json"},
    )
    assert reply.status == 200, reply
    location = reply.headers["location"]
    assert location.startswith("http://127.0.0.1:1/upload/storage/v1/b/data/o?")
    return {"uploadType": "resumable", "upload_id": location.rpartition("upload_id=")[2]}


def go_on(google: Google, session: dict[str, str], content: bytes, content_range: str) -> Reply:
    """Send a part of a resumable upload, which needs no token."""
    return google.ask("PUT", UPLOAD, body=content, query=session, headers={**HOST, "content-range": content_range})


def test_a_resumable_upload_goes_on_where_it_stopped(google: Google, alice: str) -> None:
    """Parts add up, the session tells how far it came, and the object is there when all has come."""
    session = begin(google, alice)

    first = go_on(google, session, b"abc", "bytes 0-2/*")
    asked = go_on(google, session, b"", "bytes */*")
    gap = go_on(google, session, b"z", "bytes 7-7/9")
    mismatch = go_on(google, session, b"defg", "bytes 3-4/5")
    last = go_on(google, session, b"de", "bytes 3-4/5")

    assert (first.status, first.headers["range"]) == (308, "bytes=0-2")
    assert (asked.status, asked.headers["range"]) == (308, "bytes=0-2")
    assert (gap.status, mismatch.status) == (503, 400)
    assert (last.status, last.document["size"], last.document["contentType"]) == (200, "5", "text/c")
    assert google.ask("GET", f"{OBJECTS}/r", query={"alt": "media"}, token=alice).content == b"abcde"
    assert go_on(google, session, b"", "bytes */*").status == 404


def test_a_resumable_upload_may_come_whole_or_never(google: Google, alice: str) -> None:
    """One part without a range is all; a cancelled session is over; an empty object is one too."""
    whole, cancelled, empty = begin(google, alice, "w"), begin(google, alice, "c"), begin(google, alice, "e")

    assert google.ask("PUT", UPLOAD, body=b"all", query=whole, headers=HOST).document["size"] == "3"
    assert google.ask("DELETE", UPLOAD, query=cancelled).status == 499
    assert google.ask("DELETE", UPLOAD, query=cancelled).status == 404
    assert go_on(google, empty, b"", "bytes */0").document["size"] == "0"
    assert go_on(google, {"upload_id": "x"}, b"", "nonsense").status == 404
    assert go_on(google, begin(google, alice), b"", "nonsense").status == 400


def test_a_resumable_upload_is_for_who_may_write(google: Google, alice: str) -> None:
    """Beginning one needs the permission, and its preconditions are checked at the end."""
    reader = token_of(google, f"serviceAccount:{BOB}")
    refused = google.ask("POST", UPLOAD, document={"name": "r"}, query={"uploadType": "resumable"}, token=reader)
    session = begin(google, alice, ifGenerationMatch="0")
    put(google, alice, "r")

    assert refused.status == 403
    assert go_on(google, session, b"x", "bytes 0-0/1").status == 412


@pytest.mark.parametrize(
    ("condition", "value", "status"),
    [
        ("ifGenerationMatch", "same", 200), ("ifGenerationMatch", "0", 412), ("ifGenerationNotMatch", "same", 304),
        ("ifGenerationNotMatch", "0", 200), ("ifMetagenerationMatch", "1", 200), ("ifMetagenerationMatch", "2", 412),
        ("ifMetagenerationNotMatch", "1", 304), ("ifGenerationMatch", "x", 400), ("ifGenerationNotMatch", "x", 400),
        ("generation", "same", 200), ("generation", "7", 404),
    ],
)  # fmt: skip
def test_preconditions_of_reads(google: Google, alice: str, condition: str, value: str, status: int) -> None:
    """What is asked of generation and metageneration decides, on a read with 304 where nothing changed."""
    generation = put(google, alice, "a").document["generation"]
    query = {condition: generation if value == "same" else value}

    assert google.ask("GET", f"{OBJECTS}/a", query=query, token=alice).status == status


def test_preconditions_of_writes(google: Google, alice: str) -> None:
    """`ifGenerationMatch=0` means: only if there is none; a generation is never used twice."""
    first = put(google, alice, "a", ifGenerationMatch="0").document["generation"]
    again = put(google, alice, "a", ifGenerationMatch="0")
    second = put(google, alice, "a", ifGenerationMatch=first).document["generation"]

    assert (again.status, again.document["error"]["errors"][0]["reason"]) == (412, "conditionNotMet")
    assert int(second) > int(first)
    assert google.ask("DELETE", f"{OBJECTS}/a", query={"ifGenerationMatch": first}, token=alice).status == 412
    assert google.ask("DELETE", f"{OBJECTS}/a", query={"ifGenerationMatch": second}, token=alice).status == 204
    assert google.ask("DELETE", f"{OBJECTS}/a", token=alice).status == 404


@pytest.mark.parametrize(
    ("asked", "status", "content"),
    [
        ("bytes=0-2", 206, b"012"), ("bytes=7-", 206, b"789"), ("bytes=-3", 206, b"789"), ("bytes=-9", 206, ALL[1:]),
        ("bytes=5-99", 206, b"56789"), ("bytes=10-", 416, None), ("bytes=5-4", 416, None), ("bytes=-", 200, ALL),
        ("bytes=-99", 206, ALL), ("lines=1-2", 200, ALL),
    ],
)  # fmt: skip
def test_ranges_of_content(google: Google, alice: str, asked: str, status: int, content: bytes | None) -> None:
    """A range gives its part and says which; one beyond the content is refused, one that is none is not looked at."""
    put(google, alice, "a", ALL)

    reply = google.ask("GET", f"{OBJECTS}/a", query={"alt": "media"}, token=alice, headers={"range": asked})

    assert (reply.status, reply.content) == (status, content)


def test_lists_by_prefix_delimiter_and_pages(google: Google, alice: str) -> None:
    """A listing folds what lies behind the delimiter, and its pages add up to the whole."""
    for name in ("a", "dir/", "dir/x", "dir/y", "dir2/z", "e"):
        put(google, alice, name)

    def listing(**query: str) -> Reply:
        return google.ask("GET", OBJECTS, query=query, token=alice, headers=HOST)

    assert names_of(listing()) == ["a", "dir/", "dir/x", "dir/y", "dir2/z", "e"]
    assert names_of(listing(prefix="dir/")) == ["dir/", "dir/x", "dir/y"]
    folded = listing(delimiter="/")
    assert (names_of(folded), folded.document["prefixes"]) == (["a", "e"], ["dir/", "dir2/"])
    assert names_of(listing(startOffset="dir/x", endOffset="dir2")) == ["dir/x", "dir/y"]
    assert listing(prefix="none").document == {"kind": "storage#objects"}
    seen, page = [], ""
    while True:
        reply = listing(delimiter="/", maxResults="1", pageToken=page)
        seen += names_of(reply) + reply.document.get("prefixes", [])
        page = reply.document.get("nextPageToken", "")
        if not page:
            break
    assert seen == ["a", "dir/", "dir2/", "e"]
    assert listing(maxResults="x").status == 400


def test_objects_are_copied_composed_and_described(google: Google, alice: str) -> None:
    """A copy has content and description of its source, a composed object the content of all."""
    put(google, alice, "a", b"1")
    put(google, alice, "dir/b", b"2")

    copied = google.ask("POST", f"{OBJECTS}/a/rewriteTo/b/data/o/dir%2Fc", document={}, token=alice, headers=HOST)
    older = google.ask("POST", f"{OBJECTS}/a/copyTo/b/data/o/d", document={"contentType": "x/y"}, token=alice)
    parts = {"sourceObjects": [{"name": "a"}, {"name": "dir/b"}], "destination": {"contentType": "text/d"}}
    joined = google.ask("POST", f"{OBJECTS}/e/compose", document=parts, token=alice)
    patched = google.ask("PATCH", f"{OBJECTS}/e", document={"metadata": {"k": "v"}, "contentType": None}, token=alice)

    assert (copied.document["done"], copied.document["resource"]["contentType"]) == (True, "text/a")
    assert older.document["contentType"] == "x/y"
    assert (joined.document["size"], joined.document["contentType"]) == ("2", "text/d")
    assert (patched.document["metadata"], patched.document["metageneration"]) == ({"k": "v"}, "2")
    assert "contentType" not in patched.document
    assert google.ask("POST", f"{OBJECTS}/e/compose", document={"sourceObjects": []}, token=alice).status == 400
    assert google.ask("POST", f"{OBJECTS}/no/rewriteTo/b/data/o/x", document={}, token=alice).status == 404


@pytest.mark.parametrize("name", ["", "a\nb", "a\rb", "x" * 1025])
def test_refuses_names_that_cannot_be(google: Google, alice: str, name: str) -> None:
    """A name has 1 to 1,024 bytes and no line end."""
    assert put(google, alice, name).status == 400


@pytest.mark.parametrize(
    "fields",
    [{"md5Hash": "x"}, {"crc32c": "x"}, {"metadata": "x"}, {"contentType": 5}, {"contentType": "a\r\nset-cookie: b"}],
)
def test_refuses_what_cannot_be_said_of_an_object(google: Google, alice: str, fields: dict[str, Any]) -> None:
    """Checksums are those of the content, fields have their types, and no field breaks the headers that show it."""
    document = json.dumps({"name": "a", **fields}).encode()
    body = b"--b\r\n\r\n" + document + b"\r\n--b\r\n\r\ny\r\n--b--"
    headers = {"content-type": "multipart/related; boundary=b"}

    reply = google.ask("POST", UPLOAD, body=body, query={"uploadType": "multipart"}, token=alice, headers=headers)

    assert reply.status == 400
    assert google.cloud.state.buckets["data"].objects == {}


def test_buckets_are_made_changed_and_removed(google: Google) -> None:
    """The administrator makes and changes buckets; a bucket with objects is not removed."""

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
    token = token_of(google, f"serviceAccount:{ALICE}")
    google.ask("POST", "/upload/storage/v1/b/logs/o", query={"uploadType": "media", "name": "a"}, token=token)
    assert admin("DELETE", f"{buckets}/logs").status == 409
    google.ask("DELETE", f"{buckets}/logs/o/a", token=token)
    assert admin("DELETE", f"{buckets}/logs").status == 204


def test_a_buckets_policy_decides_at_once(google: Google, alice: str) -> None:
    """What is written into a bucket's policy holds for its objects; permissions can be tested."""
    put(google, alice, "a")
    bob = token_of(google, f"serviceAccount:{BOB}")
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


def test_the_xml_api_reads(google: Google, alice: str) -> None:
    """`GET /BUCKET/OBJECT`, by path and by host, gives content, and errors in XML."""
    put(google, alice, "a/b", b"content")
    there = {"host": "storage.googleapis.com"}

    for path, headers in (
        ("/data/a/b", HOST),
        ("/data/a%2Fb", there),
        ("/a/b", {"host": "data.storage.googleapis.com"}),
    ):
        assert google.ask("GET", path, token=alice, headers=headers).content == b"content"
    missing = google.ask("GET", "/data/none", token=alice, headers=there)
    denied = google.ask("GET", "/data/a/b", token=token_of(google, f"serviceAccount:{BOB}"), headers=there)
    nowhere = google.ask("GET", "/absent/x", token=alice, headers=there)
    assert [reply.status for reply in (missing, denied, nowhere)] == [404, 403, 404]
    assert "<Code>NoSuchKey</Code>" in (missing.text or "")
    assert "<Code>AccessDenied</Code>" in (denied.text or "")
    assert "<Code>NoSuchBucket</Code>" in (nowhere.text or "")
    assert missing.headers["content-type"] == "application/xml; charset=UTF-8"
