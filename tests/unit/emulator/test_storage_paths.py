"""The name of an object is one segment of a path: a slash in it must be encoded."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.unit.emulator.storage_calls import HOST, OBJECTS, put

if TYPE_CHECKING:
    from tests.unit.emulator.conftest import Google

NAMES = ["a/b.txt", "/a", "a/", "a//b", "a/copyTo/b/data/o/b", "a/compose", "a:b/c:setIamPolicy", "ü/%2F?#"]
CALLS = [
    ("GET", "{}", 200),
    ("PATCH", "{}", 200),
    ("PUT", "{}", 200),
    ("POST", "{}/copyTo/b/data/o/copy", 200),
    ("POST", "{}/rewriteTo/b/data/o/copy", 200),
    ("POST", "a/copyTo/b/data/o/{}", 200),
    ("POST", "a/rewriteTo/b/data/o/{}", 200),
    ("POST", "{}/compose", 200),
    ("DELETE", "{}", 204),
]


@pytest.mark.parametrize(("method", "call", "status"), CALLS, ids=[f"{method} {call}" for method, call, _ in CALLS])
@pytest.mark.parametrize("name", NAMES)
def test_object_is_found_by_its_encoded_name(
    google: Google, writer: str, name: str, method: str, call: str, status: int
) -> None:
    """Every method takes a name with any character if it is encoded, and acts on that object."""
    put(google, writer, name)
    put(google, writer, "a")
    path = f"{OBJECTS}/{call.format(quote(name, safe=''))}"
    document = {"sourceObjects": [{"name": "a"}]} if call.endswith("compose") else {}

    reply = google.ask(method, path, document=None if method == "GET" else document, token=writer, headers=HOST)

    assert reply.status == status
    if method != "DELETE":
        resource = reply.document.get("resource", reply.document)
        assert resource["name"] == ("copy" if call.endswith("copy") else name)
    assert (name in google.cloud.state.buckets["data"].objects) is (method != "DELETE")


@pytest.mark.parametrize("prefix", ["", "/download"])
@pytest.mark.parametrize("name", ["a/b.txt", "/a", "a/", "a//b", "deep/er/a.txt"])
def test_object_is_not_found_by_a_plain_slash(google: Google, writer: str, name: str, prefix: str) -> None:
    """404 with Google's text, for every method: a client that forgets to encode fails here, too."""
    put(google, writer, name)

    for method in ("GET", "HEAD", "PATCH", "PUT", "DELETE", "POST"):
        reply = google.ask(method, f"{prefix}{OBJECTS}/{name}", query={"alt": "media"}, token=writer)
        assert (reply.status, reply.text) == (404, "Not Found")
    assert google.ask("POST", f"{OBJECTS}/{name}/copyTo/b/data/o/c", token=writer).status == 404
    assert google.ask("POST", f"{OBJECTS}/c/rewriteTo/b/data/o/{name}", token=writer).status == 404
    assert name in google.cloud.state.buckets["data"].objects


def test_json_api_is_not_read_as_a_bucket(google: Google, writer: str) -> None:
    """At Google's own host, a path of the JSON API is not an object `v1/b/…` in a bucket called `storage`."""
    reply = google.ask("GET", f"{OBJECTS}/a/b", token=writer, headers={"host": "storage.googleapis.com"})

    assert (reply.status, reply.text) == (404, "Not Found")


def test_xml_api_has_plain_slashes(google: Google, writer: str) -> None:
    """In the XML API the path is the name."""
    put(google, writer, "a/b.txt", b"content")

    assert google.ask("GET", "/data/a/b.txt", token=writer, headers=HOST).content == b"content"
