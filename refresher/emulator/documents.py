"""Documents that are stored and shown as they are: log metrics, alert policies, organisation and deny policies."""

from collections.abc import Mapping
from typing import Any

from refresher.emulator.cloud import Cloud
from refresher.emulator.errors import api_refusal
from refresher.emulator.http import Call, read_text
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


def remove(cloud: Cloud, call: Call, kind: str, name: str) -> None:
    """Delete a document, if it is the version of the etag in the request's query.

    Raises:
        Refusal: No document has this name, or it is another version.
    """
    check_etag(find(cloud, kind, name), call.query)
    del cloud.state.documents[kind][name]


def list_all(cloud: Cloud, kind: str, prefix: str) -> list[dict[str, Any]]:
    """Return the documents whose names begin with a prefix."""
    return [document for name, document in cloud.state.documents.get(kind, {}).items() if name.startswith(prefix)]


def compute_etag(document: dict[str, Any]) -> str:
    """Return an etag that depends on a document's content, but not on its own etag and update time."""
    content = {name: value for name, value in document.items() if name not in ("etag", "updateTime")}
    return Policy(audit_configs=[content]).etag


def check_etag(known: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Check that a change is based on the present version. A change without an etag is based on any.

    Raises:
        Refusal: The change has the etag of another version.
    """
    etag = read_text(given, "etag")
    if etag and not is_same_etag(etag, str(known.get("etag", ""))):
        raise api_refusal("conflict")
