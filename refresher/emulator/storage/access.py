"""Who may do what to buckets and objects, and how Cloud Storage says no: errors of its own shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

from refresher.emulator.authentication import ADMINISTRATOR, ANONYMOUS, CLOUD_PLATFORM, authenticate
from refresher.emulator.errors import Refusal
from refresher.emulator.permissions import Resource, has_permission
from refresher.emulator.tokens import PREFIX

if TYPE_CHECKING:
    from refresher.emulator.cloud import Cloud
    from refresher.emulator.http import Call
    from refresher.emulator.storage_state import Bucket, StoredObject
    from refresher.emulator.tokens import Bearer

SERVICE = "storage.googleapis.com"
_SCOPE = "https://www.googleapis.com/auth/devstorage."
READ_SCOPES = (CLOUD_PLATFORM, f"{_SCOPE}read_only", f"{_SCOPE}read_write", f"{_SCOPE}full_control",
               "https://www.googleapis.com/auth/cloud-platform.read-only")  # fmt: skip
WRITE_SCOPES = (CLOUD_PLATFORM, f"{_SCOPE}read_write", f"{_SCOPE}full_control")
CONTROL_SCOPES = (CLOUD_PLATFORM, f"{_SCOPE}full_control")


def refusal(status: int, reason: str, message: str) -> Refusal:
    """Give an error in the shape of the JSON API."""
    error = {"message": message, "domain": "global", "reason": reason}
    return Refusal(status, {"error": {"code": status, "message": message, "errors": [error]}}, reason)


def invalid(message: str) -> Refusal:
    """Give the refusal of an argument that cannot be."""
    return refusal(400, "invalid", message)


def condition_not_met() -> Refusal:
    """Give the refusal of a precondition."""
    return refusal(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")


def authorize(cloud: Cloud, call: Call, permission: str, bucket_name: str, object_name: str | None = None) -> Bucket:
    """Check that the caller may do something to a bucket or an object of it; give the bucket.

    Raises:
        Refusal: 401 for nobody, 403 in Google's words for who may not, 404 for a bucket that is not there.
    """
    call.facts["bucket"] = bucket_name
    if object_name is not None:
        call.facts["object"] = object_name
    caller = authenticate_caller(
        cloud, call, permission, administrable=object_name is None and permission.startswith("storage.buckets.")
    )
    bucket = cloud.state.buckets.get(bucket_name)
    if bucket is None:
        raise refusal(404, "notFound", "The specified bucket does not exist.")
    name = f"projects/_/buckets/{bucket_name}"
    kind = f"{SERVICE}/Bucket"
    if object_name is not None:
        name, kind = f"{name}/objects/{object_name}", f"{SERVICE}/Object"
    resource = Resource(name=name, service=SERVICE, kind=kind, project=bucket.project, policy=bucket.policy)
    if not has_permission(cloud, caller, permission, resource):
        raise permission_denied(caller, permission, "object" if object_name is not None else "bucket")
    return bucket


def authorize_project(cloud: Cloud, call: Call, permission: str, project: str) -> str:
    """Check that the caller may do something to a project's buckets; give the project's id.

    Raises:
        Refusal: As `authorize`.
    """
    caller = authenticate_caller(cloud, call, permission, administrable=True)
    found = cloud.state.find_project(project)
    if found is None:
        raise refusal(400, "invalid", f"Invalid project: {project}")
    resource = Resource(name=f"projects/{found[0]}", service=SERVICE, project=found[0])
    if not has_permission(cloud, caller, permission, resource):
        raise permission_denied(caller, permission, "project")
    return found[0]


def permission_denied(caller: Bearer, permission: str, what: str) -> Refusal:
    """Give the refusal of somebody who may not: 403, or 401 for who did not say who he is."""
    who = "Anonymous caller" if caller.kind == "anonymous" else caller.name
    message = (
        f"{who} does not have {permission} access to the Google Cloud {'Storage ' if what != 'project' else ''}{what}. "
        f"Permission '{permission}' denied on resource (or it may not exist)."
    )
    if caller.kind == "anonymous":
        return refusal(401, "required", message)
    return refusal(403, "forbidden", message)


def find_object(bucket: Bucket, bucket_name: str, name: str) -> StoredObject:
    """Give an object.

    Raises:
        Refusal: There is none.
    """
    found = bucket.objects.get(name)
    if found is None:
        raise refusal(404, "notFound", f"No such object: {bucket_name}/{name}")
    return found


def authenticate_caller(cloud: Cloud, call: Call, permission: str, *, administrable: bool) -> Bearer:
    """Give who asks; without a token nobody in particular, and where it is administrable the administrator.

    Raises:
        Refusal: The token is not known, or its scopes do not suffice.
    """
    token = call.bearer_token()
    if not token:
        return ANONYMOUS
    if administrable and not token.startswith((PREFIX, "eyJ")):
        call.facts["principal"] = ADMINISTRATOR.name
        return ADMINISTRATOR
    if cloud.recognise(token) is None:
        raise refusal(401, "authError", "Invalid Credentials")
    is_reading = permission.endswith((".get", ".list"))
    scopes = READ_SCOPES if is_reading else WRITE_SCOPES if ".objects." in permission else CONTROL_SCOPES
    return authenticate(cloud, call, service=SERVICE, scopes=scopes)
