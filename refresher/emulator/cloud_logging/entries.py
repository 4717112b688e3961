"""`entries:list`: query the audit log.

https://cloud.google.com/logging/docs/reference/v2/rest/v2/entries/list.
"""

from collections.abc import Mapping
from typing import Any

from refresher.emulator.authentication import authenticate_administrator, project_resource
from refresher.emulator.cloud import Cloud
from refresher.emulator.cloud_logging.filters import FilterError, Matches, parse_filter
from refresher.emulator.errors import api_refusal
from refresher.emulator.fields import find_project
from refresher.emulator.http import Call, Reply, Route, read_text, read_texts
from refresher.emulator.permissions import has_permission
from refresher.emulator.tokens import Bearer

SERVICE = "logging.googleapis.com"
LARGEST_PAGE = 1000
PATIENCE = 1.0
"""The time limit of a query in seconds."""

_ORDERS = ("", "timestamp asc", "timestamp desc")


def list_(cloud: Cloud, call: Call, _: Mapping[str, str]) -> Reply:
    """Return the entries of the requested projects that match a filter."""
    caller = authenticate_administrator(cloud, call, service=SERVICE)
    body = call.json()
    projects = [name.removeprefix("projects/") for name in read_texts(body, "resourceNames")]
    projects += read_texts(body, "projectIds")
    if not projects:
        raise api_refusal("bad_field", field="resourceNames")
    known = {_authorize(cloud, caller, project) for project in projects}
    if read_text(body, "orderBy") not in _ORDERS:
        raise api_refusal("bad_field", field="orderBy")
    try:
        matches = parse_filter(read_text(body, "filter"))
    except FilterError as error:
        raise api_refusal("invalid", problem=f"Unparseable filter: {error}") from None
    entries = _find_entries(cloud, known, matches)
    if read_text(body, "orderBy").endswith("desc"):
        entries.reverse()
    size = body.get("pageSize") or LARGEST_PAGE
    begin = read_text(body, "pageToken", "0") or "0"
    if isinstance(size, bool) or not isinstance(size, int) or size < 0 or not begin.isdecimal() or len(begin) > 6:  # noqa: PLR2004 - digits
        raise api_refusal("bad_field", field="pageToken")
    page = entries[int(begin) : int(begin) + min(size, LARGEST_PAGE)]
    document: dict[str, object] = {"entries": page} if page else {}
    if int(begin) + len(page) < len(entries):
        document["nextPageToken"] = str(int(begin) + len(page))
    return Reply(document=document)


def _find_entries(cloud: Cloud, projects: set[str], matches: Matches) -> list[dict[str, Any]]:
    """Return the entries of projects that match a filter, oldest first.

    Raises:
        Refusal: It takes too long, as a regular expression can. All other requests have to wait for it.
    """
    deadline = cloud.clock.monotonic() + PATIENCE
    found = []
    for entry in cloud.audit_log.entries():
        if cloud.clock.monotonic() > deadline:
            raise api_refusal("too_slow")
        if entry["logName"].partition("/logs/")[0].removeprefix("projects/") in projects and matches(entry):
            found.append(entry)
    return found


def _authorize(cloud: Cloud, caller: Bearer, project: str) -> str:
    resource = project_resource(cloud, project, service=SERVICE)
    if not has_permission(cloud, caller, "logging.privateLogEntries.list", resource):
        raise api_refusal("I1", permission="logging.privateLogEntries.list", resource="")
    return find_project(cloud, project)[0]


ROUTES = (Route("logging.entries.list", "POST", "/v2/entries:list", list_),)
