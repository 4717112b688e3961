"""The permissions of roles: the predefined roles that matter here, as data, and the custom roles of the state.

https://cloud.google.com/iam/docs/roles-permissions. Permissions that no rule of the emulator checks are left out, and
so are most predefined roles: they can be granted, but allow nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from refresher.emulator.state import State

GET_ACCESS_TOKEN = "iam.serviceAccounts.getAccessToken"  # noqa: S105 - a permission
GET_OPEN_ID_TOKEN = "iam.serviceAccounts.getOpenIdToken"  # noqa: S105 - a permission
IMPLICIT_DELEGATION = "iam.serviceAccounts.implicitDelegation"
SIGN_BLOB = "iam.serviceAccounts.signBlob"
SIGN_JWT = "iam.serviceAccounts.signJwt"
USE_PROJECT = "serviceusage.services.use"

IMPERSONATION = frozenset({GET_ACCESS_TOKEN, GET_OPEN_ID_TOKEN, IMPLICIT_DELEGATION, SIGN_BLOB, SIGN_JWT})
"""The permissions to act as a service account; no basic role includes any of them."""

_READ_OBJECTS = ("storage.objects.get", "storage.objects.list")
_VIEW = ("*.get", "*.list", "*.getIamPolicy", "*.getAttestationRules", "logging.privateLogEntries.list")

ROLES: dict[str, tuple[str, ...]] = {
    "roles/owner": ("*",),
    "roles/editor": ("*.get", "*.list", "*.create", "*.update", "*.delete", "bigquery.jobs.create", USE_PROJECT),
    "roles/viewer": _VIEW,
    "roles/browser": ("resourcemanager.projects.get", "resourcemanager.projects.getIamPolicy"),
    "roles/iam.workloadIdentityUser": (GET_ACCESS_TOKEN, GET_OPEN_ID_TOKEN, "iam.serviceAccounts.get"),
    "roles/iam.serviceAccountTokenCreator": (*IMPERSONATION, "iam.serviceAccounts.get"),
    "roles/iam.serviceAccountOpenIdTokenCreator": (GET_OPEN_ID_TOKEN,),
    "roles/iam.serviceAccountUser": ("iam.serviceAccounts.actAs", "iam.serviceAccounts.get"),
    "roles/iam.serviceAccountAdmin": (
        "iam.serviceAccounts.create",
        "iam.serviceAccounts.delete",
        "iam.serviceAccounts.disable",
        "iam.serviceAccounts.enable",
        "iam.serviceAccounts.get",
        "iam.serviceAccounts.getIamPolicy",
        "iam.serviceAccounts.list",
        "iam.serviceAccounts.setIamPolicy",
        "iam.serviceAccounts.undelete",
        "iam.serviceAccounts.update",
        "resourcemanager.projects.get",
    ),
    "roles/iam.serviceAccountViewer": ("iam.serviceAccounts.get", "iam.serviceAccounts.list"),
    "roles/iam.workloadIdentityPoolAdmin": (
        "iam.workloadIdentityPools.*",
        "iam.workloadIdentityPoolProviders.*",
        "resourcemanager.projects.get",
    ),
    "roles/iam.workloadIdentityPoolViewer": (
        "iam.workloadIdentityPools.get",
        "iam.workloadIdentityPools.list",
        "iam.workloadIdentityPools.getAttestationRules",
        "iam.workloadIdentityPoolProviders.get",
        "iam.workloadIdentityPoolProviders.list",
    ),
    "roles/iam.roleAdmin": ("iam.roles.*", "resourcemanager.projects.get"),
    "roles/iam.denyAdmin": ("iam.denypolicies.*",),
    "roles/iam.securityAdmin": ("*.getIamPolicy", "*.setIamPolicy", "*.list", "resourcemanager.projects.get"),
    "roles/iam.securityReviewer": ("*.getIamPolicy", "*.list", "resourcemanager.projects.get"),
    "roles/resourcemanager.projectIamAdmin": (
        "resourcemanager.projects.get",
        "resourcemanager.projects.getIamPolicy",
        "resourcemanager.projects.setIamPolicy",
    ),
    "roles/serviceusage.serviceUsageAdmin": ("serviceusage.*", "resourcemanager.projects.get"),
    "roles/serviceusage.serviceUsageConsumer": ("serviceusage.services.get", "serviceusage.services.list", USE_PROJECT),
    "roles/serviceusage.serviceUsageViewer": ("serviceusage.services.get", "serviceusage.services.list"),
    "roles/orgpolicy.policyAdmin": ("orgpolicy.*",),
    "roles/orgpolicy.policyViewer": ("orgpolicy.policies.list", "orgpolicy.policy.get"),
    "roles/logging.admin": ("logging.*", "resourcemanager.projects.get"),
    "roles/logging.configWriter": ("logging.logMetrics.*", "resourcemanager.projects.get"),
    "roles/logging.viewer": ("logging.logEntries.list", "logging.logMetrics.get", "logging.logMetrics.list"),
    "roles/logging.privateLogViewer": ("logging.logEntries.list", "logging.privateLogEntries.list"),
    "roles/monitoring.admin": ("monitoring.*", "resourcemanager.projects.get"),
    "roles/monitoring.editor": ("monitoring.*",),
    "roles/storage.admin": ("storage.*", "resourcemanager.projects.get"),
    "roles/storage.objectAdmin": ("storage.objects.*",),
    "roles/storage.objectUser": (
        "storage.objects.create",
        "storage.objects.delete",
        "storage.objects.update",
        *_READ_OBJECTS,
    ),
    "roles/storage.objectViewer": _READ_OBJECTS,
    "roles/storage.objectCreator": ("storage.objects.create",),
    "roles/storage.legacyObjectReader": ("storage.objects.get",),
    "roles/storage.legacyBucketReader": ("storage.buckets.get", "storage.objects.list"),
    "roles/storage.legacyBucketOwner": (
        "storage.buckets.*",
        "storage.objects.create",
        "storage.objects.list",
        "storage.objects.delete",
    ),
    "roles/cloudkms.signer": ("cloudkms.cryptoKeyVersions.useToSign",),
    "roles/cloudkms.publicKeyViewer": ("cloudkms.cryptoKeyVersions.viewPublicKey",),
    "roles/cloudkms.signerVerifier": (
        "cloudkms.cryptoKeyVersions.useToSign",
        "cloudkms.cryptoKeyVersions.useToVerify",
        "cloudkms.cryptoKeyVersions.viewPublicKey",
    ),
    "roles/bigquery.admin": ("bigquery.*",),
    "roles/bigquery.user": ("bigquery.jobs.create", "bigquery.datasets.get", "bigquery.datasets.create"),
    "roles/bigquery.jobUser": ("bigquery.jobs.create",),
    "roles/bigquery.dataViewer": ("bigquery.datasets.get",),
}


def includes(state: State, role: str, permission: str) -> bool:
    """Return whether a role includes a permission; a deleted role includes nothing."""
    predefined = ROLES.get(role)
    if predefined is not None:
        is_basic = role in ("roles/owner", "roles/editor", "roles/viewer")
        return not (is_basic and permission in IMPERSONATION) and any(
            _covers(entry, permission) for entry in predefined
        )
    custom = state.roles.get(role)
    return custom is not None and custom.deleted_at is None and permission in custom.permissions


def _covers(entry: str, permission: str) -> bool:
    if entry == "*":
        return True
    if entry.startswith("*."):
        return permission.endswith(entry[1:])
    return permission.startswith(entry[:-1]) if entry.endswith(".*") else permission == entry
