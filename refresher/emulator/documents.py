"""Documents that are only kept and shown again: log metrics, alert policies, organisation policies, deny policies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from refresher.emulator.errors import api_refusal
from refresher.emulator.policies import Policy

if TYPE_CHECKING:
    from refresher.emulator.cloud import Cloud


def put(cloud: Cloud, kind: str, name: str, document: dict[str, Any]) -> dict[str, Any]:
    """Keep a document, in place of one of the same name, and give it."""
    cloud.state.documents.setdefault(kind, {})[name] = document
    return document


def find(cloud: Cloud, kind: str, name: str) -> dict[str, Any]:
    """Give a document.

    Raises:
        Refusal: There is none.
    """
    found = cloud.state.documents.get(kind, {}).get(name)
    if found is None:
        raise api_refusal("not_found")
    return found


def add(cloud: Cloud, kind: str, name: str, document: dict[str, Any]) -> dict[str, Any]:
    """Keep a new document and give it.

    Raises:
        Refusal: T7 if there is one of that name.
    """
    if name in cloud.state.documents.get(kind, {}):
        raise api_refusal("T7")
    return put(cloud, kind, name, document)


def remove(cloud: Cloud, kind: str, name: str) -> None:
    """Forget a document.

    Raises:
        Refusal: There is none.
    """
    find(cloud, kind, name)
    del cloud.state.documents[kind][name]


def list_all(cloud: Cloud, kind: str, prefix: str) -> list[dict[str, Any]]:
    """Give the documents whose names begin with a text."""
    return [document for name, document in cloud.state.documents.get(kind, {}).items() if name.startswith(prefix)]


def compute_etag(document: dict[str, Any]) -> str:
    """Tell whether two documents are the same, whatever their own etags say."""
    content = {name: value for name, value in document.items() if name not in ("etag", "updateTime")}
    return Policy(audit_configs=[content]).etag


def check_etag(known: dict[str, Any], given: object) -> None:
    """Check that a change was made to what is there.

    Raises:
        Refusal: It was made to something else.
    """
    if given and given != known.get("etag"):
        raise api_refusal("conflict")
