"""cloudresourcemanager.googleapis.com: projects and their IAM policies with audit configurations.

https://cloud.google.com/resource-manager/reference/rest. A seed creates projects, this API does not. Folders and
organisations are not emulated.
"""

from collections.abc import Mapping
from typing import Any

from refresher.emulator import policy_changes
from refresher.emulator.authentication import (
    ANONYMOUS,
    authenticate_administrator,
    project_resource,
    require_permission,
)
from refresher.emulator.cloud import Cloud
from refresher.emulator.fields import find_project
from refresher.emulator.http import Call, Reply, Route
from refresher.emulator.permissions import Resource, has_permission
from refresher.emulator.state import ORGANIZATION, Project

SERVICE = "cloudresourcemanager.googleapis.com"


def get(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Describe a project by its id or number. A missing project is refused like a missing permission (T9)."""
    return Reply(document=_describe(*_get(cloud, call, names)))


def get_v3(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Describe a project in the newer form."""
    project, found = _get(cloud, call, names)
    return Reply(
        document={"name": f"projects/{found.number}", "projectId": project, "displayName": project, "state": "ACTIVE"}
    )


def list_(cloud: Cloud, call: Call, _: Mapping[str, str]) -> Reply:
    """List the projects that the caller may see."""
    caller = authenticate_administrator(cloud, call, service=SERVICE)
    projects = [
        _describe(name, project)
        for name, project in cloud.state.projects.items()
        if has_permission(cloud, caller, "resourcemanager.projects.get", project_resource(cloud, name))
    ]
    return Reply(document={"projects": projects} if projects else {})


def get_policy(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Show the policy of a project."""
    project = _authorize(cloud, call, names, "resourcemanager.projects.getIamPolicy")
    return Reply(document=project.policy.as_document())


def set_policy(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Replace the policy of a project."""
    project = _authorize(cloud, call, names, "resourcemanager.projects.setIamPolicy")
    return policy_changes.replace_policy(cloud, project.policy, call.json(), auditable=True)


def test_permissions(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Show which permissions the caller has on a project."""
    caller = authenticate_administrator(cloud, call, service=SERVICE)
    project, _ = find_project(cloud, names["project"])
    return policy_changes.test_permissions(cloud, caller, _resource(project), call.json())


def _get(cloud: Cloud, call: Call, names: Mapping[str, str]) -> tuple[str, Project]:
    caller = authenticate_administrator(cloud, call, service=SERVICE)
    name, permission = names["project"], "resourcemanager.projects.get"
    found = cloud.state.find_project(name)
    asked = Resource(
        name=f"projects/{name}", service=SERVICE, kind=f"{SERVICE}/Project", project=found[0] if found else ""
    )
    require_permission(cloud, caller if found else ANONYMOUS, permission, asked)
    return find_project(cloud, name)


def _authorize(cloud: Cloud, call: Call, names: Mapping[str, str], permission: str) -> Project:
    caller = authenticate_administrator(cloud, call, service=SERVICE)
    project, found = find_project(cloud, names["project"])
    require_permission(cloud, caller, permission, _resource(project))
    return found


def _resource(project: str) -> Resource:
    return Resource(name=f"projects/{project}", service=SERVICE, kind=f"{SERVICE}/Project", project=project)


def _describe(name: str, project: Project) -> dict[str, Any]:
    return {
        "projectNumber": project.number,
        "projectId": name,
        "lifecycleState": "ACTIVE",
        "name": name,
        "createTime": "2026-01-01T00:00:00.000Z",
        "parent": {"type": "organization", "id": ORGANIZATION},
    }


def _policy_routes(project: str) -> tuple[Route, ...]:
    return (
        Route(f"{_NAME}.getIamPolicy", "POST", f"{project}:getIamPolicy", get_policy),
        Route(f"{_NAME}.setIamPolicy", "POST", f"{project}:setIamPolicy", set_policy, changes=True),
        Route(f"{_NAME}.testIamPermissions", "POST", f"{project}:testIamPermissions", test_permissions),
    )


_PROJECT = "/v1/projects/{project}"
_NAME = "cloudresourcemanager.projects"

ROUTES = (
    Route(f"{_NAME}.get", "GET", _PROJECT, get),
    Route(f"{_NAME}.get", "GET", "/v3/projects/{project}", get_v3),
    Route(f"{_NAME}.list", "GET", "/v1/projects", list_),
    *_policy_routes("/v1/projects/{project}"),
    *_policy_routes("/v3/projects/{project}"),
)
