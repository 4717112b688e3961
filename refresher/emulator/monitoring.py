"""monitoring.googleapis.com: alert policies and notification channels, stored and shown. Nothing ever alerts.

https://cloud.google.com/monitoring/api/ref_v3/rest.
"""

import secrets
from collections.abc import Mapping
from typing import Any

from refresher.emulator import documents
from refresher.emulator.authentication import authenticate_administrator, project_resource, require_permission
from refresher.emulator.cloud import Cloud
from refresher.emulator.errors import api_refusal
from refresher.emulator.fields import apply_mask, find_project, split_mask
from refresher.emulator.http import Call, Reply, Route, read_list

SERVICE = "monitoring.googleapis.com"
KINDS = {
    "alertPolicies": "displayName documentation userLabels conditions combiner enabled notificationChannels severity "
    "alertStrategy",
    "notificationChannels": "type displayName description labels userLabels enabled",
}
"""The fields that can be changed, by kind of resource."""


def create(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Create a resource. Its conditions get names of their own."""
    project = _authorize(cloud, call, names, "create")
    kind = names["kind"]
    name = f"projects/{project}/{kind}/{secrets.randbelow(10**18):019d}"
    return Reply(document=documents.add(cloud, kind, name, _complete(name, call.json())))


def get(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Show a resource."""
    return Reply(document=documents.find(cloud, names["kind"], _name(cloud, call, names, "get")))


def list_(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """List the resources of a project."""
    project = _authorize(cloud, call, names, "list")
    found = documents.list_all(cloud, names["kind"], f"projects/{project}/")
    return Reply(document={names["kind"]: found, "totalSize": len(found)} if found else {})


def patch(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Change the fields of the mask; one that is not in the body is cleared. Without a mask, replace everything."""
    name = _name(cloud, call, names, "update")
    known, body = documents.find(cloud, names["kind"], name), call.json()
    mask = split_mask(call.query.get("updateMask", ""))
    if mask != ["*"] and any(path.partition(".")[0] not in KINDS[names["kind"]].split() for path in mask):
        raise api_refusal("bad_field", field="updateMask")
    document = body if mask in ([], ["*"]) else apply_mask(known, body, mask)
    return Reply(document=documents.put(cloud, names["kind"], name, _complete(name, document)))


def delete(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Remove a resource."""
    documents.remove(cloud, call, names["kind"], _name(cloud, call, names, "delete"))
    return Reply(document={})


def _authorize(cloud: Cloud, call: Call, names: Mapping[str, str], verb: str) -> str:
    if names["kind"] not in KINDS:
        raise api_refusal("no_method")
    caller = authenticate_administrator(cloud, call, service=SERVICE)
    permission = f"monitoring.{names['kind']}.{verb}"
    require_permission(cloud, caller, permission, project_resource(cloud, names["project"], service=SERVICE))
    return find_project(cloud, names["project"])[0]


def _name(cloud: Cloud, call: Call, names: Mapping[str, str], verb: str) -> str:
    return f"projects/{_authorize(cloud, call, names, verb)}/{names['kind']}/{names['id']}"


def _complete(name: str, body: dict[str, Any]) -> dict[str, Any]:
    document = {**body, "name": name}
    conditions = read_list(document, "conditions")
    if conditions:
        document["conditions"] = [
            {"name": f"{name}/conditions/{number}", **condition}
            for number, condition in enumerate(conditions)
            if isinstance(condition, dict)
        ]
    return document


_ALL = "/v3/projects/{project}/{kind}"
_ONE = f"{_ALL}/{{id}}"

ROUTES = (
    Route("monitoring.create", "POST", _ALL, create, changes=True),
    Route("monitoring.list", "GET", _ALL, list_),
    Route("monitoring.get", "GET", _ONE, get),
    Route("monitoring.patch", "PATCH", _ONE, patch, changes=True),
    Route("monitoring.delete", "DELETE", _ONE, delete, changes=True),
)
