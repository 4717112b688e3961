"""Who the caller is: the Authorization header, the quota project, and the checks that come before every rule.

Google's services accept tokens of this cloud. The admin services are open: there, any bearer token that does not look
like a Google token authenticates the administrator of the whole cloud, so that a tool can be pointed here with
`access_token = "anything"`.
"""

import json
from collections.abc import Iterable

from refresher.emulator.cloud import Cloud
from refresher.emulator.errors import api_refusal
from refresher.emulator.http import Call
from refresher.emulator.permissions import Resource, has_permission
from refresher.emulator.roles import USE_PROJECT
from refresher.emulator.tokens import PREFIX, Bearer

CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
IAM = "https://www.googleapis.com/auth/iam"
ADMINISTRATOR = Bearer(kind="administrator", name="administrator@emulator.invalid", expires_at=0, scopes=())
ANONYMOUS = Bearer(kind="anonymous", name="", expires_at=0, scopes=())


def authenticate(cloud: Cloud, call: Call, *, service: str, scopes: Iterable[str] = (CLOUD_PLATFORM, IAM)) -> Bearer:
    """Return the caller whose token is in the Authorization header.

    Raises:
        Refusal: I10 if the token is unknown, I3 if its scopes do not suffice, I12 if the caller may not use its quota
            project.
    """
    bearer = cloud.recognise(call.bearer_token() or "")
    if bearer is None:
        raise api_refusal("I10" if "authorization" in call.headers else "unauthenticated", service=service)
    call.facts["principal"] = bearer.name
    if bearer.delegation:
        call.facts["delegation"] = json.dumps(bearer.delegation)
    if not any(scope in bearer.scopes for scope in scopes):
        raise api_refusal("I3", service=service)
    _check_quota_project(cloud, call, bearer)
    return bearer


def authenticate_administrator(
    cloud: Cloud, call: Call, *, service: str, scopes: Iterable[str] = (CLOUD_PLATFORM, IAM)
) -> Bearer:
    """Return the caller of an admin service: the owner of a token of this cloud, or the administrator.

    Raises:
        Refusal: As for `authenticate`; I10 for an unknown token that looks like a Google token.
    """
    token = call.bearer_token()
    if not token or token.startswith((PREFIX, "eyJ")):
        return authenticate(cloud, call, service=service, scopes=scopes)
    call.facts["principal"] = ADMINISTRATOR.name
    return ADMINISTRATOR


def require_permission(cloud: Cloud, caller: Bearer, permission: str, resource: Resource) -> None:
    """Check that a caller has a permission on a resource.

    Raises:
        Refusal: T9 if not.
    """
    if not has_permission(cloud, caller, permission, resource):
        shown = f" '//{resource.service}/{resource.name}'"
        raise api_refusal("T9", service=resource.service, permission=permission, resource=shown)


def project_resource(cloud: Cloud, project: str, *, service: str = "cloudresourcemanager.googleapis.com") -> Resource:
    """Describe a project, found by id or number, as the resource of a permission check."""
    found = cloud.state.find_project(project)
    name = found[0] if found is not None else project
    return Resource(name=f"projects/{name}", service=service, project=name)


def check_perimeter(cloud: Cloud, project: str, service: str) -> None:
    """Check that no service perimeter of a project blocks a service.

    Raises:
        Refusal: E17 if one does.
    """
    found = cloud.state.find_project(project)
    if found is not None and service in found[1].perimeter:
        raise api_refusal("E17", service=service, identifier="emulator")


def check_service(cloud: Cloud, project: str, service: str) -> None:
    """Check that an API is enabled in a project.

    Raises:
        Refusal: SERVICE_DISABLED if not.
    """
    found = cloud.state.find_project(project)
    if found is not None and service not in found[1].services:
        raise api_refusal("service_disabled", service=service, project=found[1].number)


def _check_quota_project(cloud: Cloud, call: Call, bearer: Bearer) -> None:
    project = call.headers.get("x-goog-user-project")
    if project and not has_permission(cloud, bearer, USE_PROJECT, project_resource(cloud, project)):
        raise api_refusal("I12", service="serviceusage.googleapis.com", project=project)
