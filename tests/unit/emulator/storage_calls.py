"""Calls of Cloud Storage that several tests use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from refresher.emulator.http import Reply
    from tests.unit.emulator.conftest import Google

OBJECTS = "/storage/v1/b/data/o"
UPLOAD = "/upload/storage/v1/b/data/o"
HOST = {"host": "127.0.0.1:1"}
ALL = b"0123456789"


def issue_token(google: Google, member: str, **more: Any) -> str:  # noqa: ANN401 - JSON
    """Issue an access token of a member."""
    token: str = google.ask("POST", "/emulator/token", document={"member": member, **more}).document["access_token"]
    return token


def put(google: Google, token: str | None, name: str, content: bytes = b"x", **query: str) -> Reply:
    """Upload a whole object."""
    query = {"uploadType": "media", "name": name, **query}
    return google.ask(
        "POST", UPLOAD, body=content, query=query, token=token, headers={**HOST, "content-type": "text/a"}
    )


def list_names(reply: Reply) -> list[str]:
    """Return the names of the objects in a listing."""
    return [item["name"] for item in reply.document.get("items", [])]
