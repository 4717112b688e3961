from __future__ import annotations

import base64
import hashlib
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import google_crc32c
import pytest

from tests.unit.emulator.storage_calls import ALL, HOST, OBJECTS, UPLOAD, list_names, put

if TYPE_CHECKING:
    from refresher.emulator.http import Reply
    from tests.unit.emulator.conftest import Google


def test_object_is_read_as_it_was_uploaded(google: Google, writer: str) -> None:
    """Content, type, size and both checksums are those of the upload."""
    content = bytes(range(256))

    made = put(google, writer, "a/b c", content).document
    shown = google.ask("GET", f"{OBJECTS}/a%2Fb%20c", token=writer, headers=HOST).document
    media = google.ask("GET", f"{OBJECTS}/a%2Fb%20c", token=writer, query={"alt": "media"})

    assert made == shown
    assert (media.content, media.headers["content-type"]) == (content, "text/a")
    assert (shown["size"], shown["name"], shown["bucket"]) == ("256", "a/b c", "data")
    md5 = hashlib.md5(content, usedforsecurity=False).digest()
    assert shown["md5Hash"] == base64.b64encode(md5).decode()
    assert shown["crc32c"] == base64.b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode()
    assert parsedate_to_datetime(media.headers["last-modified"]).timestamp() == int(google.cloud.now())
    assert media.headers["x-goog-hash"] == f"crc32c={shown['crc32c']},md5={shown['md5Hash']}"


@pytest.mark.parametrize(
    ("condition", "value", "status"),
    [
        ("ifGenerationMatch", "same", 200), ("ifGenerationMatch", "0", 412), ("ifGenerationNotMatch", "same", 304),
        ("ifGenerationNotMatch", "0", 200), ("ifMetagenerationMatch", "1", 200), ("ifMetagenerationMatch", "2", 412),
        ("ifMetagenerationNotMatch", "1", 304), ("ifGenerationMatch", "x", 400), ("ifGenerationNotMatch", "x", 400),
        ("generation", "same", 200), ("generation", "7", 404),
    ],
)  # fmt: skip
def test_preconditions_of_reads(google: Google, writer: str, condition: str, value: str, status: int) -> None:
    """Conditions on generation and metageneration apply to reads; 304 means that nothing changed."""
    generation = put(google, writer, "a").document["generation"]
    query = {condition: generation if value == "same" else value}

    assert google.ask("GET", f"{OBJECTS}/a", query=query, token=writer).status == status


def test_preconditions_of_writes(google: Google, writer: str) -> None:
    """`ifGenerationMatch=0` requires that no object exists; a generation is never used twice."""
    first = put(google, writer, "a", ifGenerationMatch="0").document["generation"]
    again = put(google, writer, "a", ifGenerationMatch="0")
    second = put(google, writer, "a", ifGenerationMatch=first).document["generation"]

    assert (again.status, again.document["error"]["errors"][0]["reason"]) == (412, "conditionNotMet")
    assert int(second) > int(first)
    assert google.ask("DELETE", f"{OBJECTS}/a", query={"ifGenerationMatch": first}, token=writer).status == 412
    assert google.ask("DELETE", f"{OBJECTS}/a", query={"ifGenerationMatch": second}, token=writer).status == 204
    assert google.ask("DELETE", f"{OBJECTS}/a", token=writer).status == 404


@pytest.mark.parametrize(
    ("asked", "status", "content"),
    [
        ("bytes=0-2", 206, b"012"), ("bytes=7-", 206, b"789"), ("bytes=-3", 206, b"789"), ("bytes=-9", 206, ALL[1:]),
        ("bytes=5-99", 206, b"56789"), ("bytes=10-", 416, None), ("bytes=5-4", 416, None), ("bytes=-", 200, ALL),
        ("bytes=-99", 206, ALL), ("lines=1-2", 200, ALL),
    ],
)  # fmt: skip
def test_ranges_of_content(google: Google, writer: str, asked: str, status: int, content: bytes | None) -> None:
    """A range returns its part and shows which; one outside the content is refused, an invalid one is ignored."""
    put(google, writer, "a", ALL)

    reply = google.ask("GET", f"{OBJECTS}/a", query={"alt": "media"}, token=writer, headers={"range": asked})

    assert (reply.status, reply.content) == (status, content)


def test_objects_are_listed_by_prefix_delimiter_and_pages(google: Google, writer: str) -> None:
    """A listing groups names at the delimiter, and all its pages together are complete."""
    for name in ("a", "dir/", "dir/x", "dir/y", "dir2/z", "e"):
        put(google, writer, name)

    def listing(**query: str) -> Reply:
        return google.ask("GET", OBJECTS, query=query, token=writer, headers=HOST)

    assert list_names(listing()) == ["a", "dir/", "dir/x", "dir/y", "dir2/z", "e"]
    assert list_names(listing(prefix="dir/")) == ["dir/", "dir/x", "dir/y"]
    folded = listing(delimiter="/")
    assert (list_names(folded), folded.document["prefixes"]) == (["a", "e"], ["dir/", "dir2/"])
    assert list_names(listing(startOffset="dir/x", endOffset="dir2")) == ["dir/x", "dir/y"]
    assert listing(prefix="none").document == {"kind": "storage#objects"}
    seen, page = [], ""
    while True:
        reply = listing(delimiter="/", maxResults="1", pageToken=page)
        seen += list_names(reply) + reply.document.get("prefixes", [])
        page = reply.document.get("nextPageToken", "")
        if not page:
            break
    assert seen == ["a", "dir/", "dir2/", "e"]
    assert listing(maxResults="x").status == 400


def test_objects_are_copied_composed_and_described(google: Google, writer: str) -> None:
    """A copy has content and metadata of its source, a composed object the content of all sources."""
    put(google, writer, "a", b"1")
    put(google, writer, "dir/b", b"2")

    copied = google.ask("POST", f"{OBJECTS}/a/rewriteTo/b/data/o/dir%2Fc", document={}, token=writer, headers=HOST)
    older = google.ask("POST", f"{OBJECTS}/a/copyTo/b/data/o/d", document={"contentType": "x/y"}, token=writer)
    parts = {"sourceObjects": [{"name": "a"}, {"name": "dir/b"}], "destination": {"contentType": "text/d"}}
    joined = google.ask("POST", f"{OBJECTS}/e/compose", document=parts, token=writer)
    patched = google.ask("PATCH", f"{OBJECTS}/e", document={"metadata": {"k": "v"}, "contentType": None}, token=writer)

    assert (copied.document["done"], copied.document["resource"]["contentType"]) == (True, "text/a")
    assert older.document["contentType"] == "x/y"
    assert (joined.document["size"], joined.document["contentType"]) == ("2", "text/d")
    assert (patched.document["metadata"], patched.document["metageneration"]) == ({"k": "v"}, "2")
    assert "contentType" not in patched.document
    assert google.ask("POST", f"{OBJECTS}/e/compose", document={"sourceObjects": []}, token=writer).status == 400
    assert google.ask("POST", f"{OBJECTS}/no/rewriteTo/b/data/o/x", document={}, token=writer).status == 404


def test_composed_object_has_the_same_limit_as_an_upload(google: Google, writer: str) -> None:
    """An object that is composed of itself again and again cannot grow without end."""
    google.ask("POST", UPLOAD, query={"uploadType": "media", "name": "a"}, body=b"x" * (1 << 20), token=writer)
    sources = {"sourceObjects": [{"name": "a"}] * 32}

    statuses = [google.ask("POST", f"{OBJECTS}/a/compose", document=sources, token=writer).status for _ in range(2)]

    assert statuses == [200, 400]
