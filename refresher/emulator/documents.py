"""Documents that are only stored and shown: log metrics, alert policies, organisation policies, deny policies."""

from typing import Any

from refresher.emulator.cloud import Cloud
from refresher.emulator.errors import api_refusal
from refresher.emulator.http import read_text
from refresher.emulator.policies import Policy, is_same_etag


def put(cloud: Cloud, kind: str, name: str, document: dict[str, Any]) -> dict[str, Any]:
    """Store a document, replace one of the same name, and return it."""
    cloud.state.documents.setdefault(kind, {})[name] = document
    return document


def find(cloud: Cloud, kind: str, name: str) -> dict[str, Any]:
    """Return a document.

    Raises:
        Refusal: No document has this name.
    """
    found = cloud.state.documents.get(kind, {}).get(name)
    if found is None:
        raise api_refusal("not_found")
    return found


def add(cloud: Cloud, kind: str, name: str, document: dict[str, Any]) -> dict[str, Any]:
    """Store a new document and return it.

    Raises:
        Refusal: T7 if a document has this name already.
    """
    if name in cloud.state.documents.get(kind, {}):
        raise api_refusal("T7")
    return put(cloud, kind, name, document)


def remove(cloud: Cloud, kind: str, name: str) -> None:
    """Delete a document.

    Raises:
        Refusal: No document has this name.
    """
    find(cloud, kind, name)
    del cloud.state.documents[kind][name]


def list_all(cloud: Cloud, kind: str, prefix: str) -> list[dict[str, Any]]:
    """Return the documents whose names begin with a prefix."""
    return [document for name, document in cloud.state.documents.get(kind, {}).items() if name.startswith(prefix)]


def compute_etag(document: dict[str, Any]) -> str:
    """Return an etag that depends on a document's content, but not on its own etag and update time."""
    content = {name: value for name, value in document.items() if name not in ("etag", "updateTime")}
    return Policy(audit_configs=[content]).etag


def check_etag(known: dict[str, Any], given: dict[str, Any]) -> None:
    """Check that a change is based on the present version. A change without an etag is based on any.

    Raises:
        Refusal: The change has the etag of another version.
    """
    etag = read_text(given, "etag")
    if etag and not is_same_etag(etag, str(known.get("etag", ""))):
        raise api_refusal("conflict")
