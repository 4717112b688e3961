"""serviceusage.googleapis.com: which APIs a project has switched on.

https://cloud.google.com/service-usage/docs/reference/rest. Only STS, IAM Credentials and
Cloud KMS refuse to work while they are off.
"""

import re
from collections.abc import Mapping
from typing import Any

from refresher.emulator.authentication import authenticate_administrator, project_resource, require_permission
from refresher.emulator.cloud import Cloud
from refresher.emulator.errors import api_refusal
from refresher.emulator.fields import find_project
from refresher.emulator.http import Call, Reply, Route, read_texts
from refresher.emulator.iam_admin.operations import start_operation
from refresher.emulator.state import SERVICES, Project

SERVICE = "serviceusage.googleapis.com"
MOST_AT_ONCE = 20
_SERVICE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")


def list_(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """List the services of a project, by pages; `filter` is `state:ENABLED` or `state:DISABLED`."""
    project = _authorize(cloud, call, names, "serviceusage.services.list")
    wanted = call.query.get("filter", "").partition(":")[2]
    known = sorted(project.services | set(SERVICES))
    services = [_describe(project, service) for service in known]
    services = [service for service in services if wanted in ("", service["state"])]
    begin, size = _number(call.query.get("pageToken"), 0), _number(call.query.get("pageSize"), 50) or 50
    document: dict[str, Any] = {}
    if services[begin : begin + size]:
        document["services"] = services[begin : begin + size]
    if len(services) > begin + size:
        document["nextPageToken"] = str(begin + size)
    return Reply(document=document)


def get(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Show a service."""
    project = _authorize(cloud, call, names, "serviceusage.services.get")
    return Reply(document=_describe(project, _check_service(names["service"])))


def enable(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Switch a service on."""
    project = _authorize(cloud, call, names, "serviceusage.services.enable")
    project.services.add(_check_service(names["service"]))
    return Reply(document=start_operation(cloud, ""))


def batch_enable(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Switch up to twenty services on."""
    project = _authorize(cloud, call, names, "serviceusage.services.enable")
    services = read_texts(call.json(), "serviceIds")
    if not 0 < len(services) <= MOST_AT_ONCE:
        raise api_refusal("bad_field", field="serviceIds")
    project.services.update(_check_service(service) for service in services)
    return Reply(document=start_operation(cloud, ""))


def disable(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Switch a service off; iam goes with iamcredentials, as Google has it."""
    project = _authorize(cloud, call, names, "serviceusage.services.disable")
    project.services.discard(_check_service(names["service"]))
    return Reply(document=start_operation(cloud, ""))


def _authorize(cloud: Cloud, call: Call, names: Mapping[str, str], permission: str) -> Project:
    caller = authenticate_administrator(cloud, call, service=SERVICE)
    _, found = find_project(cloud, names["project"])
    require_permission(cloud, caller, permission, project_resource(cloud, names["project"], service=SERVICE))
    return found


def _check_service(service: str) -> str:
    if not _SERVICE.fullmatch(service):
        raise api_refusal("not_found")
    return service


def _number(text: str | None, default: int) -> int:
    if not text:
        return default
    if not text.isdecimal() or len(text) > 6:  # noqa: PLR2004 - digits, more than any page has
        raise api_refusal("bad_field", field="pageToken")
    return int(text)


def _describe(project: Project, service: str) -> dict[str, Any]:
    return {
        "name": f"projects/{project.number}/services/{service}",
        "config": {"name": service},
        "state": "ENABLED" if service in project.services else "DISABLED",
        "parent": f"projects/{project.number}",
    }


_SERVICES = "/v1/projects/{project}/services"
_NAME = "serviceusage.services"

ROUTES = (
    Route(f"{_NAME}.list", "GET", _SERVICES, list_),
    Route(f"{_NAME}.get", "GET", f"{_SERVICES}/{{service}}", get),
    Route(f"{_NAME}.enable", "POST", f"{_SERVICES}/{{service}}:enable", enable, changes=True),
    Route(f"{_NAME}.disable", "POST", f"{_SERVICES}/{{service}}:disable", disable, changes=True),
    Route(f"{_NAME}.batchEnable", "POST", f"{_SERVICES}:batchEnable", batch_enable, changes=True),
)
