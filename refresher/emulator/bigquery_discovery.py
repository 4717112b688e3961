"""The discovery document of BigQuery as far as `refresher.emulator.bigquery` goes, which bq reads first of all.

https://developers.google.com/discovery/v1/reference/apis.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from refresher.emulator.calls import Call, Reply, Route

if TYPE_CHECKING:
    from collections.abc import Mapping

    from refresher.emulator.cloud import Cloud


def discovery(_cloud: Cloud, call: Call, _: Mapping[str, str]) -> Reply:
    """Describe the API, as bq reads it before it does anything."""
    origin = f"{call.scheme}://{call.headers.get('host', 'bigquery.googleapis.com')}/"
    return Reply(
        document={
            "kind": "discovery#restDescription",
            "name": "bigquery",
            "version": "v2",
            "rootUrl": origin,
            "servicePath": "bigquery/v2/",
            "basePath": "/bigquery/v2/",
            "baseUrl": f"{origin}bigquery/v2/",
            "batchPath": "batch/bigquery/v2",
            "parameters": {"alt": {"type": "string", "location": "query"}},
            "schemas": {name: {"id": name, "type": "object"} for name in _SCHEMAS},
            "resources": {
                resource: {"methods": {name: _method(resource, name, *rest) for name, *rest in methods}}
                for resource, methods in _METHODS.items()
            },
        }
    )


_METHODS = {
    "datasets": (
        ("list", "GET", "datasets", "", "DatasetList", "all", "filter", "maxResults", "pageToken"),
        ("insert", "POST", "datasets", "Dataset", "Dataset"),
    ),
    "jobs": (
        ("query", "POST", "queries", "QueryRequest", "QueryResponse"),
        ("insert", "POST", "jobs", "Job", "Job"),
        ("get", "GET", "jobs/{jobId}", "", "Job", "location"),
        (
            "getQueryResults", "GET", "queries/{jobId}", "", "GetQueryResultsResponse",
            "location", "maxResults", "pageToken", "startIndex", "timeoutMs",
        ),
    ),
}  # fmt: skip
"""What of the API there is: name, HTTP method, path, schemas of request and response, and optional parameters."""

_SCHEMAS = {schema for methods in _METHODS.values() for method in methods for schema in method[3:5] if schema}


def _method(
    resource: str, name: str, method: str, path: str, request: str, response: str, *optional: str
) -> dict[str, Any]:
    names = ["projectId", *re.findall(r"\{(\w+)\}", path)]
    required = {found: {"type": "string", "required": True, "location": "path"} for found in names}
    document: dict[str, Any] = {
        "id": f"bigquery.{resource}.{name}",
        "path": f"projects/{{projectId}}/{path}",
        "httpMethod": method,
        "parameters": required | {found: {"type": "string", "location": "query"} for found in optional},
        "parameterOrder": names,
        "response": {"$ref": response},
        "scopes": ["https://www.googleapis.com/auth/bigquery"],
    }
    if request:
        document["request"] = {"$ref": request}
    if (resource, name) == ("jobs", "insert"):  # bq hands over a file, or none, with every job
        protocols = {"simple": {"multipart": True, "path": "/upload/bigquery/v2/projects/{projectId}/jobs"}}
        document |= {"supportsMediaUpload": True, "mediaUpload": {"accept": ["*/*"], "protocols": protocols}}
    return document


ROUTES = (
    Route("bigquery.discovery", "GET", "/discovery/v1/apis/bigquery/v2/rest", discovery),
    Route("bigquery.discovery", "GET", "/$discovery/rest", discovery),
)
