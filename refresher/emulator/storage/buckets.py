"""Buckets: create, read, change, delete, and their IAM policies.

https://cloud.google.com/storage/docs/json_api/v1/buckets.
"""

import re
from collections.abc import Mapping
from typing import Any

from refresher.emulator import policy_changes
from refresher.emulator.cloud import Cloud
from refresher.emulator.http import Call, Reply, Route, read_text
from refresher.emulator.permissions import Resource, has_permission
from refresher.emulator.roles import BUCKETS
from refresher.emulator.storage.access import (
    SERVICE,
    authenticate_caller,
    authorize,
    authorize_project,
    invalid,
    refusal,
)
from refresher.emulator.storage.resources import describe_bucket, merge_patch
from refresher.emulator.storage_state import Bucket

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_GIVEN = ("location", "storageClass", "labels", "lifecycle", "versioning", "iamConfiguration", "website", "cors")


def insert(cloud: Cloud, call: Call, _: Mapping[str, str]) -> Reply:
    """Create a bucket. Its creator only has the roles that the project grants."""
    body = call.json()
    project = authorize_project(cloud, call, "storage.buckets.create", call.query.get("project", ""))
    name = read_text(body, "name")
    if not _NAME.fullmatch(name):
        raise invalid(f"Invalid bucket name: '{name}'")
    if name in cloud.state.buckets:
        raise refusal(
            409, "conflict", "Your previous request to create the named bucket succeeded and you already own it."
        )
    bucket = Bucket(project=project, created=cloud.now(), fields=_read_fields(body))
    cloud.state.buckets[name] = bucket
    return Reply(document=_describe(cloud, call, name, bucket))


def list_(cloud: Cloud, call: Call, _: Mapping[str, str]) -> Reply:
    """List the buckets of a project."""
    project = authorize_project(cloud, call, "storage.buckets.list", call.query.get("project", ""))
    prefix = call.query.get("prefix", "")
    items = [
        _describe(cloud, call, name, bucket)
        for name, bucket in sorted(cloud.state.buckets.items())
        if bucket.project == project and name.startswith(prefix)
    ]
    return Reply(document={"kind": "storage#buckets"} | ({"items": items} if items else {}))


def get(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Show a bucket."""
    bucket = authorize(cloud, call, "storage.buckets.get", names["bucket"])
    return Reply(document=_describe(cloud, call, names["bucket"], bucket))


def patch(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Change the metadata in the body; null clears it."""
    bucket = authorize(cloud, call, "storage.buckets.update", names["bucket"])
    body = call.json()
    bucket.fields = merge_patch(bucket.fields, {name: body[name] for name in _GIVEN if name in body})
    bucket.metageneration += 1
    return Reply(document=_describe(cloud, call, names["bucket"], bucket))


def update(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Replace the metadata of a bucket, which keeps its location."""
    bucket = authorize(cloud, call, "storage.buckets.update", names["bucket"])
    location = {name: bucket.fields[name] for name in ("location",) if name in bucket.fields}
    bucket.fields = _read_fields(call.json()) | location
    bucket.metageneration += 1
    return Reply(document=_describe(cloud, call, names["bucket"], bucket))


def delete(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Remove an empty bucket."""
    bucket = authorize(cloud, call, "storage.buckets.delete", names["bucket"])
    if bucket.objects:
        raise refusal(409, "conflict", "The bucket you tried to delete is not empty.")
    del cloud.state.buckets[names["bucket"]]
    return Reply(status=204)


def layout(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Show that a bucket has no folders, which gcloud asks first."""
    authorize(cloud, call, "storage.objects.list", names["bucket"])
    return Reply(
        document={
            "kind": "storage#storageLayout",
            "bucket": names["bucket"],
            "location": "US",
            "locationType": "multi-region",
            "hierarchicalNamespace": {"enabled": False},
        }
    )


def get_policy(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Show the policy of a bucket."""
    bucket = authorize(cloud, call, "storage.buckets.getIamPolicy", names["bucket"])
    return Reply(document=_describe_policy(names["bucket"], bucket))


def set_policy(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Replace the policy of a bucket; the body is the policy itself."""
    bucket = authorize(cloud, call, "storage.buckets.setIamPolicy", names["bucket"])
    policy_changes.replace_policy(cloud, bucket.policy, {"policy": call.json()}, permissions=BUCKETS)
    return Reply(document=_describe_policy(names["bucket"], bucket))


def test_permissions(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Show which permissions the caller has on a bucket."""
    caller = authenticate_caller(cloud, call, "storage.buckets.get", administrable=True)
    bucket = cloud.state.buckets.get(names["bucket"])
    if bucket is None:
        raise refusal(404, "notFound", "The specified bucket does not exist.")
    name = f"projects/_/buckets/{names['bucket']}"
    resource = Resource(
        name=name, service=SERVICE, kind=f"{SERVICE}/Bucket", project=bucket.project, policy=bucket.policy
    )
    asked = [value for field, value in call.queries if field == "permissions"]
    held = [permission for permission in asked if has_permission(cloud, caller, permission, resource)]
    document: dict[str, Any] = {"kind": "storage#testIamPermissionsResponse"}
    return Reply(document=document | ({"permissions": held} if held else {}))


def _read_fields(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: body[name] for name in _GIVEN if body.get(name) is not None}


def _describe(cloud: Cloud, call: Call, name: str, bucket: Bucket) -> dict[str, Any]:
    project = cloud.state.projects.get(bucket.project)
    return describe_bucket(call, name, bucket, project.number if project is not None else "0")


def _describe_policy(name: str, bucket: Bucket) -> dict[str, Any]:
    resource_id = {"kind": "storage#policy", "resourceId": f"projects/_/buckets/{name}", "version": 1}
    return resource_id | bucket.policy.as_document()


_BUCKETS = "/storage/v1/b"
_BUCKET = f"{_BUCKETS}/{{bucket}}"

ROUTES = (
    Route("storage.buckets.insert", "POST", _BUCKETS, insert, changes=True),
    Route("storage.buckets.list", "GET", _BUCKETS, list_),
    Route("storage.buckets.get", "GET", _BUCKET, get),
    Route("storage.buckets.patch", "PATCH", _BUCKET, patch, changes=True),
    Route("storage.buckets.update", "PUT", _BUCKET, update, changes=True),
    Route("storage.buckets.delete", "DELETE", _BUCKET, delete, changes=True),
    Route("storage.buckets.storageLayout", "GET", f"{_BUCKET}/storageLayout", layout),
    Route("storage.buckets.getIamPolicy", "GET", f"{_BUCKET}/iam", get_policy),
    Route("storage.buckets.setIamPolicy", "PUT", f"{_BUCKET}/iam", set_policy, changes=True),
    Route("storage.buckets.testIamPermissions", "GET", f"{_BUCKET}/iam/testPermissions", test_permissions),
)
