"""Log-based metrics, stored and shown. They never count anything.

https://cloud.google.com/logging/docs/reference/v2/rest/v2/projects.metrics.
"""

from collections.abc import Mapping
from typing import Any

from refresher.emulator import documents
from refresher.emulator.authentication import authenticate_administrator, project_resource, require_permission
from refresher.emulator.cloud import Cloud
from refresher.emulator.cloud_logging.filters import FilterError, parse_filter
from refresher.emulator.errors import api_refusal
from refresher.emulator.fields import find_project, format_time
from refresher.emulator.http import Call, Reply, Route, read_text

SERVICE = "logging.googleapis.com"
KIND = "metrics"


def create(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Create a metric."""
    project = _authorize(cloud, call, names, "create")
    body = call.json()
    metric = read_text(body, "name")
    if not metric:
        raise api_refusal("bad_field", field="metric.name")
    return Reply(document=documents.add(cloud, KIND, f"projects/{project}/{metric}", _complete(cloud, body)))


def get(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Show a metric."""
    return Reply(document=documents.find(cloud, KIND, _name(cloud, call, names, "get")))


def list_(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """List the metrics of a project."""
    found = documents.list_all(cloud, KIND, f"projects/{_authorize(cloud, call, names, 'list')}/")
    return Reply(document={"metrics": found} if found else {})


def put(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Replace a metric, or create it."""
    name = _name(cloud, call, names, "update")
    return Reply(document=documents.put(cloud, KIND, name, _complete(cloud, {**call.json(), "name": names["metric"]})))


def delete(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Remove a metric."""
    documents.remove(cloud, call, KIND, _name(cloud, call, names, "delete"))
    return Reply(document={})


def _authorize(cloud: Cloud, call: Call, names: Mapping[str, str], verb: str) -> str:
    caller = authenticate_administrator(cloud, call, service=SERVICE)
    permission = f"logging.logMetrics.{verb}"
    require_permission(cloud, caller, permission, project_resource(cloud, names["project"], service=SERVICE))
    return find_project(cloud, names["project"])[0]


def _name(cloud: Cloud, call: Call, names: Mapping[str, str], verb: str) -> str:
    return f"projects/{_authorize(cloud, call, names, verb)}/{names['metric']}"


def _complete(cloud: Cloud, body: dict[str, Any]) -> dict[str, Any]:
    try:
        parse_filter(read_text(body, "filter"))
    except FilterError as error:
        raise api_refusal("invalid", problem=f"Unparseable filter: {error}") from None
    now = format_time(cloud.now())
    return {"createTime": now, **body, "updateTime": now}


_METRICS = "/v2/projects/{project}/metrics"
_METRIC = f"{_METRICS}/{{metric}}"
_NAME = "logging.metrics"

ROUTES = (
    Route(f"{_NAME}.create", "POST", _METRICS, create, changes=True),
    Route(f"{_NAME}.list", "GET", _METRICS, list_),
    Route(f"{_NAME}.get", "GET", _METRIC, get),
    Route(f"{_NAME}.update", "PUT", _METRIC, put, changes=True),
    Route(f"{_NAME}.delete", "DELETE", _METRIC, delete, changes=True),
)
