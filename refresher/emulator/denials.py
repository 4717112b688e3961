"""Deny policies: which permissions they take away, whatever a role grants.

https://cloud.google.com/iam/docs/deny-overview. The policies of a project, and of the organisation that all projects of
the emulator belong to, apply to everything in the project. Which permissions Google supports in them is not known here.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from refresher.emulator.state import ORGANIZATION, State

KIND = "denyPolicies"
"""The kind of the documents of the state that are deny policies."""

SERVICE = "cloudresourcemanager.googleapis.com"

_PREFIXES = (
    ("user:", "principal://goog/subject/"),
    ("serviceAccount:", "principal://iam.googleapis.com/projects/-/serviceAccounts/"),
    ("group:", "principalSet://goog/group/"),
)
"""The beginnings of members of IAM policies, and those of the same principals in deny policies."""

_EVERYONE = "principalSet://goog/public:all"
_PRINCIPAL = re.compile(
    r"(deleted:)?principal(Set)?://(goog|iam\.googleapis\.com|cloudresourcemanager\.googleapis\.com)/.+"
)
_PERMISSION = re.compile(r"(?P<service>[a-z0-9]+)\.googleapis\.com/(?P<resource>[A-Za-z]+|\*)\.(?P<verb>[A-Za-z]+|\*)")


def is_denied(state: State, names: Iterable[str], permission: str, project: str) -> bool:
    """Return whether a deny policy takes a permission away.

    Args:
        state: The state.
        names: Every name under which the caller can be a member of an IAM policy.
        permission: As in roles: `iam.serviceAccounts.getAccessToken`.
        project: The id of the project that owns the resource.
    """
    principals = {_EVERYONE, *map(_translate, names)}
    points = _list_attachment_points(state, project)
    return any(
        _applies(rule.get("denyRule") or {}, principals, permission)
        for name, policy in state.documents.get(KIND, {}).items()
        if name.split("/")[1] in points
        for rule in policy.get("rules") or ()
    )


def is_principal(text: str) -> bool:
    """Return whether a text has the form of a principal in deny policies; members of IAM policies have another."""
    return _PRINCIPAL.fullmatch(text) is not None


def is_permission(text: str) -> bool:
    """Return whether a text has the form of a permission in deny policies, `iam.googleapis.com/roles.list`."""
    return _PERMISSION.fullmatch(text) is not None


def _list_attachment_points(state: State, project: str) -> set[str]:
    """Return the encoded names of what a policy must be attached to, so that it applies to a project."""
    known = state.projects.get(project)
    names = [f"organizations/{ORGANIZATION}", f"projects/{project}"] + ([f"projects/{known.number}"] if known else [])
    return {f"{SERVICE}/{name}".replace("/", "%2F") for name in names}


def _translate(name: str) -> str:
    for prefix, other in _PREFIXES:
        if name.startswith(prefix):
            return other + name.removeprefix(prefix)
    return name


def _applies(rule: Mapping[str, Any], principals: set[str], permission: str) -> bool:
    return (
        _contains(rule.get("deniedPermissions"), permission)
        and not _contains(rule.get("exceptionPermissions"), permission)
        and not principals.isdisjoint(rule.get("deniedPrincipals") or ())
        and principals.isdisjoint(rule.get("exceptionPrincipals") or ())
    )


def _contains(patterns: Iterable[str] | None, permission: str) -> bool:
    """Return whether one of the permissions of a rule, in which a resource or verb may be `*`, is this one."""
    service, _, rest = permission.partition(".")
    resource, _, verb = rest.rpartition(".")
    for pattern in patterns or ():
        found = _PERMISSION.fullmatch(pattern)
        if (
            found is not None
            # the permissions of Resource Manager have another first word in roles
            and found["service"].removeprefix("cloud") == service.removeprefix("cloud")
            and found["resource"] in ("*", resource)
            and found["verb"] in ("*", verb)
        ):
            return True
    return False
