"""Custom roles of a project: create, read, update, delete softly, undelete.

https://cloud.google.com/iam/docs/reference/rest/v1/projects.roles. Whether a permission exists is not checked.
"""

import re
from collections.abc import Mapping
from typing import Any

from refresher.emulator.authentication import authenticate_administrator, project_resource, require_permission
from refresher.emulator.cloud import Cloud
from refresher.emulator.errors import api_refusal
from refresher.emulator.fields import find_project, read_mask
from refresher.emulator.http import Call, Reply, Route, read_object, read_text, read_texts
from refresher.emulator.iam_admin.fields import drop_empty
from refresher.emulator.policies import Policy, is_same_etag
from refresher.emulator.roles import ROLES
from refresher.emulator.state import Role, is_gone

SERVICE = "iam.googleapis.com"
_ROLE_ID = re.compile(r"[a-zA-Z0-9_.]{3,64}")
_EMPTY: dict[str, Any] = {"title": "", "description": "", "includedPermissions": [], "stage": "ALPHA"}
STAGES = ("ALPHA", "BETA", "GA", "DEPRECATED", "DISABLED", "EAP")


def create(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Create a role."""
    project = _authorize(cloud, call, names, "iam.roles.create")
    body = call.json()
    role_id = read_text(body, "roleId")
    if not _ROLE_ID.fullmatch(role_id):
        raise api_refusal("bad_field", field="role_id")
    name = f"projects/{project}/roles/{role_id}"
    taken = cloud.state.roles.get(name)
    if taken is not None and not is_gone(taken.deleted_at, cloud.now()):
        problem = f"A role named {role_id} in projects/{project} already exists."
        raise api_refusal("T7") if taken.deleted_at is None else api_refusal("precondition", problem=problem)
    cloud.state.roles[name] = _update(Role(stage="ALPHA"), read_object(body, "role"))
    return Reply(document=_describe(name, cloud.state.roles[name]))


def list_(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """List the roles of a project."""
    project = _authorize(cloud, call, names, "iam.roles.list")
    prefix = f"projects/{project}/roles/"
    roles = [
        _describe(name, role)
        for name, role in cloud.state.roles.items()
        if name.startswith(prefix) and role.deleted_at is None
    ]
    return Reply(document={"roles": roles} if roles else {})


def get(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Show a role, even a deleted one."""
    return Reply(document=_describe(*_find(cloud, names, _authorize(cloud, call, names, "iam.roles.get"))))


def patch(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Change the fields of the mask, and clear those that the body lacks; without a mask, change those that it has."""
    name, role = _find(cloud, names, _authorize(cloud, call, names, "iam.roles.update"))
    body = call.json()
    _check_etag(role, body)
    mask = call.query.get("updateMask", "")
    changes = {path: body.get(path) or _EMPTY[path] for path in read_mask(mask, _EMPTY)} if mask else body
    return Reply(document=_describe(name, _update(role, changes)))


def delete(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Delete a role. From now on it grants nothing. It can be undeleted for a while."""
    name, role = _find(cloud, names, _authorize(cloud, call, names, "iam.roles.delete"))
    _check_etag(role, call.query)
    role.deleted_at = cloud.now()
    return Reply(document=_describe(name, role))


def undelete(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Undelete a role."""
    name, role = _find(cloud, names, _authorize(cloud, call, names, "iam.roles.undelete"))
    role.deleted_at = None
    return Reply(document=_describe(name, role))


def query_testable_permissions(cloud: Cloud, call: Call, _: Mapping[str, str]) -> Reply:
    """List the permissions that the emulator checks. A custom role may include any other, which allows nothing."""
    authenticate_administrator(cloud, call, service=SERVICE)
    known = sorted({name for names in ROLES.values() for name in names if "*" not in name})
    return Reply(document={"permissions": [{"name": name, "stage": "GA"} for name in known]})


def _authorize(cloud: Cloud, call: Call, names: Mapping[str, str], permission: str) -> str:
    caller = authenticate_administrator(cloud, call, service=SERVICE)
    require_permission(cloud, caller, permission, project_resource(cloud, names["project"], service=SERVICE))
    return find_project(cloud, names["project"])[0]


def _find(cloud: Cloud, names: Mapping[str, str], project: str) -> tuple[str, Role]:
    name = f"projects/{project}/roles/{names['role']}"
    role = cloud.state.roles.get(name)
    if role is None or is_gone(role.deleted_at, cloud.now()):
        raise api_refusal("not_found")
    return name, role


def _update(role: Role, body: Mapping[str, Any]) -> Role:
    stage = read_text(body, "stage", role.stage)
    if stage not in STAGES:
        raise api_refusal("bad_field", field="role.stage")
    role.title = read_text(body, "title", role.title)
    role.description = read_text(body, "description", role.description)
    role.stage = stage
    if "includedPermissions" in body:
        role.permissions = read_texts(body, "includedPermissions")
    return role


def _check_etag(role: Role, given: Mapping[str, Any]) -> None:
    etag = read_text(given, "etag")
    if etag and not is_same_etag(etag, _compute_etag(role)):
        raise api_refusal("conflict")


def _compute_etag(role: Role) -> str:
    return Policy(audit_configs=[{"": [role.title, role.description, role.stage, *role.permissions]}]).etag


def _describe(name: str, role: Role) -> dict[str, Any]:
    return drop_empty(
        {
            "name": name,
            "title": role.title,
            "description": role.description,
            "includedPermissions": role.permissions,
            "stage": role.stage if role.stage != "ALPHA" else "",  # documented: this stage is not included
            "etag": _compute_etag(role),
            "deleted": role.deleted_at is not None,
        }
    )


_ROLES = "/v1/projects/{project}/roles"
_ROLE = f"{_ROLES}/{{role}}"

ROUTES = (
    Route("iam.roles.create", "POST", _ROLES, create, changes=True),
    Route("iam.roles.list", "GET", _ROLES, list_),
    Route("iam.roles.get", "GET", _ROLE, get),
    Route("iam.roles.patch", "PATCH", _ROLE, patch, changes=True),
    Route("iam.roles.delete", "DELETE", _ROLE, delete, changes=True),
    Route("iam.permissions.query", "POST", "/v1/permissions:queryTestablePermissions", query_testable_permissions),
    Route("iam.roles.undelete", "POST", f"{_ROLE}:undelete", undelete, changes=True),
)
