"""bigquery.googleapis.com, enough to see who the caller is: datasets, and queries that `SELECT` literals.

https://cloud.google.com/bigquery/docs/reference/rest. The only SQL is of the form `SELECT 1 AS n, 'a', SESSION_USER()`.
Jobs are done at once, and a job's name contains its result, so that no job is stored. bq first reads the discovery
document (https://developers.google.com/discovery/v1/reference/apis), which lists exactly what is here.
"""

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

from refresher.emulator.authentication import CLOUD_PLATFORM, authenticate
from refresher.emulator.cloud import Cloud
from refresher.emulator.errors import Refusal
from refresher.emulator.http import Call, Reply, Route, read_object, read_text
from refresher.emulator.permissions import Resource, has_permission
from refresher.emulator.tokens import Bearer

SERVICE = "bigquery.googleapis.com"
SCOPES = (CLOUD_PLATFORM, "https://www.googleapis.com/auth/bigquery")
KIND = "datasets"
_SELECT = re.compile(r"\s*(?:#[^\n]*\n|--[^\n]*\n|\s)*select\s+(?P<columns>.*?)\s*;?\s*", re.IGNORECASE | re.DOTALL)
_COLUMN = re.compile(
    r"\s*(?:(?P<integer>-?\d{1,18})|'(?P<text>[^']*)'|\"(?P<quoted>[^\"]*)\"|(?P<truth>true|false)|(?P<user>session_user\(\)))"
    r"(?:\s+(?:as\s+)?`?(?P<name>[a-z_]\w*)`?)?\s*(?:,|$)",
    re.IGNORECASE,
)


def list_datasets(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """List the datasets of a project."""
    project = _authorize(cloud, call, names["project"], "bigquery.datasets.get")[1]
    known = cloud.state.documents.get(KIND, {})
    found = [document for name, document in known.items() if name.startswith(f"{project}/")]
    listed = [
        {"kind": "bigquery#dataset", **{field: found_[field] for field in ("id", "datasetReference")}}
        for found_ in found
    ]
    return Reply(document={"kind": "bigquery#datasetList"} | ({"datasets": listed} if listed else {}))


def insert_dataset(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Create a dataset."""
    project = _authorize(cloud, call, names["project"], "bigquery.datasets.create")[1]
    body = call.json()
    dataset = read_text(read_object(body, "datasetReference"), "datasetId")
    if not re.fullmatch(r"\w{1,1024}", dataset):
        raise refusal(400, "invalid", "Invalid dataset ID.")
    reference = {"projectId": project, "datasetId": dataset}
    document = {**body, "kind": "bigquery#dataset", "id": f"{project}:{dataset}", "datasetReference": reference}
    cloud.state.documents.setdefault(KIND, {})[f"{project}/{dataset}"] = document
    return Reply(document=document)


def run_query(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Return the result of a query at once."""
    caller, project = _authorize(cloud, call, names["project"], "bigquery.jobs.create")
    result = _evaluate(read_text(call.json(), "query"), caller)
    return Reply(document={"kind": "bigquery#queryResponse", **_build_answer(project, result)})


def insert_job(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Create a query job, which is done at once."""
    caller, project = _authorize(cloud, call, names["project"], "bigquery.jobs.create")
    configuration = read_object(call.json(), "configuration")
    result = _evaluate(read_text(read_object(configuration, "query"), "query"), caller)
    return Reply(document=_describe_job(project, _encode_result(result), configuration))


def get_job(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Show that a job is done."""
    _, project = _authorize(cloud, call, names["project"], "bigquery.jobs.create")
    _decode_result(names["job"])
    return Reply(document=_describe_job(project, names["job"], {"jobType": "QUERY", "query": {}}))


def get_results(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Return the rows of a job."""
    _, project = _authorize(cloud, call, names["project"], "bigquery.jobs.create")
    result = _decode_result(names["job"])
    return Reply(document={"kind": "bigquery#getQueryResultsResponse", **_build_answer(project, result)})


def refusal(status: int, reason: str, message: str) -> Refusal:
    """Return an error in BigQuery's shape."""
    error = {"message": message, "domain": "global", "reason": reason}
    code = {400: "INVALID_ARGUMENT", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}[status]
    return Refusal(status, {"error": {"code": status, "message": message, "errors": [error], "status": code}}, reason)


def _authorize(cloud: Cloud, call: Call, name: str, permission: str) -> tuple[Bearer, str]:
    caller = authenticate(cloud, call, service=SERVICE, scopes=SCOPES)
    found = cloud.state.find_project(name)
    project = found[0] if found is not None else name
    resource = Resource(name=f"projects/{project}", service=SERVICE, project=project)
    if found is None or not has_permission(cloud, caller, permission, resource):
        message = f"Access Denied: Project {name}: User does not have {permission} permission in project {name}."
        raise refusal(403, "accessDenied", message)
    return caller, project


def _evaluate(sql: str, caller: Bearer) -> list[dict[str, str]]:
    """Evaluate a query. The result is one row, with a name, type and value per column."""
    found = _SELECT.fullmatch(sql) if len(sql) < 10_000 else None  # noqa: PLR2004 - characters
    columns: list[dict[str, str]] = []
    at = 0
    text = found["columns"] if found is not None else ""
    while at < len(text):
        column = _COLUMN.match(text, at)
        if column is None or column.end() == at:
            break
        columns.append(_evaluate_column(column, len(columns), caller))
        at = column.end()
    if not columns or at < len(text):
        raise refusal(400, "invalidQuery", "The emulator supports only SELECT of literals and SESSION_USER().")
    return columns


def _evaluate_column(column: re.Match[str], number: int, caller: Bearer) -> dict[str, str]:
    name = column["name"] or f"f{number}_"
    if column["integer"] is not None:
        return {"name": name, "type": "INTEGER", "value": column["integer"]}
    if column["truth"] is not None:
        return {"name": name, "type": "BOOLEAN", "value": column["truth"].lower()}
    value = caller.name if column["user"] else column["text"] if column["text"] is not None else column["quoted"]
    return {"name": name, "type": "STRING", "value": value}


def _encode_result(result: list[dict[str, str]]) -> str:
    return "job_" + base64.urlsafe_b64encode(json.dumps(result).encode()).decode().rstrip("=")


def _decode_result(job: str) -> list[dict[str, str]]:
    try:
        result = json.loads(base64.urlsafe_b64decode(job.removeprefix("job_") + "==="))
        return [{field: str(cell[field]) for field in ("name", "type", "value")} for cell in result]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise refusal(404, "notFound", "Not found: Job") from None


def _build_answer(project: str, result: list[dict[str, str]]) -> dict[str, Any]:
    schema = [{"name": cell["name"], "type": cell["type"], "mode": "NULLABLE"} for cell in result]
    return {
        "schema": {"fields": schema},
        "jobReference": {"projectId": project, "jobId": _encode_result(result), "location": "US"},
        "totalRows": "1",
        "rows": [{"f": [{"v": cell["value"]} for cell in result]}],
        "totalBytesProcessed": "0",
        "jobComplete": True,
        "cacheHit": False,
    }


def _describe_job(project: str, job: str, configuration: dict[str, Any]) -> dict[str, Any]:
    times = {"creationTime": "0", "startTime": "0", "endTime": "0"}
    return {
        "kind": "bigquery#job",
        "id": f"{project}:US.{job}",
        "jobReference": {"projectId": project, "jobId": job, "location": "US"},
        "configuration": {"jobType": "QUERY", **configuration},
        "status": {"state": "DONE"},
        "statistics": times | {"query": {"statementType": "SELECT", "totalBytesProcessed": "0"}},
    }


def show_discovery(_cloud: Cloud, call: Call, _: Mapping[str, str]) -> Reply:
    """Describe the API, as bq reads it before any other call."""
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
                resource: {"methods": {name: _describe_method(resource, name, *rest) for name, *rest in methods}}
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
"""The methods of the API: name, HTTP method, path, schemas of request and response, and optional parameters."""

_SCHEMAS = {schema for methods in _METHODS.values() for method in methods for schema in method[3:5] if schema}


def _describe_method(
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
    if (resource, name) == ("jobs", "insert"):  # bq passes a file, or None, with every job
        protocols = {"simple": {"multipart": True, "path": "/upload/bigquery/v2/projects/{projectId}/jobs"}}
        document |= {"supportsMediaUpload": True, "mediaUpload": {"accept": ["*/*"], "protocols": protocols}}
    return document


_PROJECT = "/bigquery/v2/projects/{project}"

ROUTES = (
    Route("bigquery.datasets.list", "GET", f"{_PROJECT}/datasets", list_datasets),
    Route("bigquery.datasets.insert", "POST", f"{_PROJECT}/datasets", insert_dataset, changes=True),
    Route("bigquery.jobs.query", "POST", f"{_PROJECT}/queries", run_query),
    Route("bigquery.jobs.insert", "POST", f"{_PROJECT}/jobs", insert_job),
    Route("bigquery.jobs.get", "GET", f"{_PROJECT}/jobs/{{job}}", get_job),
    Route("bigquery.jobs.getQueryResults", "GET", f"{_PROJECT}/queries/{{job}}", get_results),
    Route("bigquery.discovery", "GET", "/discovery/v1/apis/bigquery/v2/rest", show_discovery),
    Route("bigquery.discovery", "GET", "/$discovery/rest", show_discovery),
)
