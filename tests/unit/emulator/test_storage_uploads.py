from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.emulator.conftest import BOB
from tests.unit.emulator.storage_calls import HOST, OBJECTS, UPLOAD, issue_token, put

if TYPE_CHECKING:
    from refresher.emulator.http import Reply
    from tests.unit.emulator.conftest import Google


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_multipart_upload_has_a_document_and_content(google: Google, writer: str, end: bytes) -> None:
    """Content may have line ends and dashes, lines may end as gcloud ends them, and the metadata is stored."""
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

    made = google.ask("POST", UPLOAD, body=body, query={"uploadType": "multipart"}, token=writer, headers=kind)

    assert (made.status, made.document["metadata"], made.document["contentType"]) == (200, {"a": "b"}, "text/plain")
    assert google.ask("GET", f"{OBJECTS}/m", query={"alt": "media"}, token=writer).content == content


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
def test_invalid_multipart_uploads_are_refused(google: Google, writer: str, body: bytes, kind: str) -> None:
    """A multipart body has a boundary and two parts, and the first part is a JSON object."""
    headers = {"content-type": kind}

    reply = google.ask("POST", UPLOAD, body=body, query={"uploadType": "multipart"}, token=writer, headers=headers)

    assert (reply.status, reply.document["error"]["code"]) == (400, 400)


def begin(google: Google, token: str, name: str = "r", **query: str) -> dict[str, str]:
    """Begin a resumable upload; return the query of its session."""
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


def send_part(google: Google, session: dict[str, str], content: bytes, content_range: str) -> Reply:
    """Send a part of a resumable upload, which needs no token."""
    return google.ask("PUT", UPLOAD, body=content, query=session, headers={**HOST, "content-range": content_range})


def test_resumable_upload_continues_where_it_stopped(google: Google, writer: str) -> None:
    """The session shows how much has arrived, and the object exists once everything has arrived."""
    session = begin(google, writer)

    first = send_part(google, session, b"abc", "bytes 0-2/*")
    asked = send_part(google, session, b"", "bytes */*")
    gap = send_part(google, session, b"z", "bytes 7-7/9")
    mismatch = send_part(google, session, b"defg", "bytes 3-4/5")
    last = send_part(google, session, b"de", "bytes 3-4/5")

    assert (first.status, first.headers["range"]) == (308, "bytes=0-2")
    assert (asked.status, asked.headers["range"]) == (308, "bytes=0-2")
    assert (gap.status, mismatch.status) == (503, 400)
    assert (last.status, last.document["size"], last.document["contentType"]) == (200, "5", "text/c")
    assert google.ask("GET", f"{OBJECTS}/r", query={"alt": "media"}, token=writer).content == b"abcde"
    assert send_part(google, session, b"", "bytes */*").status == 404


def test_resumable_upload_can_have_one_part_or_be_cancelled(google: Google, writer: str) -> None:
    """One part without a range is complete; a cancelled session is gone; an object can be empty."""
    whole, cancelled, empty = begin(google, writer, "w"), begin(google, writer, "c"), begin(google, writer, "e")

    assert google.ask("PUT", UPLOAD, body=b"all", query=whole, headers=HOST).document["size"] == "3"
    assert google.ask("DELETE", UPLOAD, query=cancelled).status == 499
    assert google.ask("DELETE", UPLOAD, query=cancelled).status == 404
    assert send_part(google, empty, b"", "bytes */0").document["size"] == "0"
    assert send_part(google, {"upload_id": "x"}, b"", "nonsense").status == 404
    assert send_part(google, begin(google, writer), b"", "nonsense").status == 400


def test_resumable_upload_needs_the_permission(google: Google, writer: str) -> None:
    """The first request needs the permission, and the preconditions are checked at the end."""
    reader = issue_token(google, f"serviceAccount:{BOB}")
    refused = google.ask("POST", UPLOAD, document={"name": "r"}, query={"uploadType": "resumable"}, token=reader)
    session = begin(google, writer, ifGenerationMatch="0")
    put(google, writer, "r")

    assert refused.status == 403
    assert send_part(google, session, b"x", "bytes 0-0/1").status == 412


@pytest.mark.parametrize(
    "fields",
    [{"md5Hash": "x"}, {"crc32c": "x"}, {"metadata": "x"}, {"contentType": 5}, {"contentType": "a\r\nset-cookie: b"}],
)
def test_invalid_metadata_is_refused(google: Google, writer: str, fields: dict[str, Any]) -> None:
    """Checksums must match the content, values must have their type, and must be valid in headers."""
    document = json.dumps({"name": "a", **fields}).encode()
    body = b"--b\r\n\r\n" + document + b"\r\n--b\r\n\r\ny\r\n--b--"
    headers = {"content-type": "multipart/related; boundary=b"}

    reply = google.ask("POST", UPLOAD, body=body, query={"uploadType": "multipart"}, token=writer, headers=headers)

    assert reply.status == 400
    assert google.cloud.state.buckets["data"].objects == {}


@pytest.mark.parametrize("name", ["", "a\nb", "a\rb", "x" * 1025])
def test_invalid_names_are_refused(google: Google, writer: str, name: str) -> None:
    """A name has 1 to 1,024 bytes and no line end."""
    assert put(google, writer, name).status == 400
