"""Permissions on buckets and objects, and the errors of Cloud Storage, which have a shape of their own."""

from refresher.emulator.authentication import ADMINISTRATOR, ANONYMOUS, CLOUD_PLATFORM, authenticate
from refresher.emulator.cloud import Cloud
from refresher.emulator.errors import Refusal
from refresher.emulator.http import Call
from refresher.emulator.permissions import Resource, has_permission
from refresher.emulator.storage_state import Bucket, StoredObject
from refresher.emulator.tokens import PREFIX, Bearer

SERVICE = "storage.googleapis.com"
_SCOPE = "https://www.googleapis.com/auth/devstorage."
READ_SCOPES = (CLOUD_PLATFORM, f"{_SCOPE}read_only", f"{_SCOPE}read_write", f"{_SCOPE}full_control",
               "https://www.googleapis.com/auth/cloud-platform.read-only")  # fmt: skip
WRITE_SCOPES = (CLOUD_PLATFORM, f"{_SCOPE}read_write", f"{_SCOPE}full_control")
CONTROL_SCOPES = (CLOUD_PLATFORM, f"{_SCOPE}full_control")


def refusal(status: int, reason: str, message: str) -> Refusal:
    """Return an error in the shape of the JSON API."""
    error = {"message": message, "domain": "global", "reason": reason}
    return Refusal(status, {"error": {"code": status, "message": message, "errors": [error]}}, reason)


def invalid(message: str) -> Refusal:
    """Return the refusal of an invalid argument."""
    return refusal(400, "invalid", message)


def unknown_path() -> Refusal:
    """Return the refusal of a path that the JSON API does not have, as for an object's name with an unencoded slash."""
    return Refusal(404, {"error": "Not Found"}, "no_method", text="Not Found")


def condition_not_met() -> Refusal:
    """Return the refusal of a precondition."""
    return refusal(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")


def authorize(cloud: Cloud, call: Call, permission: str, bucket_name: str, object_name: str | None = None) -> Bucket:
    """Check the caller's permission on a bucket or on an object in it; return the bucket.

    Raises:
        Refusal: 401 for an anonymous caller, 403 with Google's text for a caller without the permission, 404 if the
            bucket does not exist.
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
    """Check the caller's permission on a project's buckets; return the project's id.

    Raises:
        Refusal: As for `authorize`.
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
    """Return the refusal of a missing permission: 403, or 401 for an anonymous caller."""
    who = "Anonymous caller" if caller.kind == "anonymous" else caller.name
    message = (
        f"{who} does not have {permission} access to the Google Cloud {'Storage ' if what != 'project' else ''}{what}. "
        f"Permission '{permission}' denied on resource (or it may not exist)."
    )
    if caller.kind == "anonymous":
        return refusal(401, "required", message)
    return refusal(403, "forbidden", message)


def find_object(bucket: Bucket, bucket_name: str, name: str) -> StoredObject:
    """Return an object.

    Raises:
        Refusal: It does not exist.
    """
    found = bucket.objects.get(name)
    if found is None:
        raise refusal(404, "notFound", f"No such object: {bucket_name}/{name}")
    return found


def authenticate_caller(cloud: Cloud, call: Call, permission: str, *, administrable: bool) -> Bearer:
    """Return the caller: anonymous without a token; if administrable, the administrator for a token of another kind.

    Raises:
        Refusal: The token is unknown, or its scopes do not suffice.
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
