"""The permissions of roles: the predefined roles that matter here, as data, and the custom roles of the state.

https://cloud.google.com/iam/docs/roles-permissions. Permissions that no rule of the emulator checks are left out. Other
predefined roles can be granted, but allow nothing. Of the services whose roles are all listed, an unknown name is
refused, as at Google; of other services, any name is taken for a role.
"""

import re

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
    "roles/iam.serviceAccountCreator": (
        "iam.serviceAccounts.create",
        "iam.serviceAccounts.get",
        "iam.serviceAccounts.list",
    ),
    "roles/iam.serviceAccountDeleter": (
        "iam.serviceAccounts.delete",
        "iam.serviceAccounts.get",
        "iam.serviceAccounts.list",
    ),
    "roles/iam.serviceAccountKeyAdmin": (
        "iam.serviceAccountKeys.*",
        "iam.serviceAccounts.get",
        "iam.serviceAccounts.list",
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
    "roles/iam.roleViewer": ("iam.roles.get", "iam.roles.list", "resourcemanager.projects.get"),
    "roles/iam.denyAdmin": ("iam.denypolicies.*",),
    "roles/iam.denyReviewer": ("iam.denypolicies.get", "iam.denypolicies.list"),
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
    "roles/orgpolicy.policyViewer": ("orgpolicy.constraints.list", "orgpolicy.policies.list", "orgpolicy.policy.get"),
    "roles/logging.admin": ("logging.*", "resourcemanager.projects.get"),
    "roles/logging.configWriter": ("logging.logMetrics.*", "resourcemanager.projects.get"),
    "roles/logging.viewer": ("logging.logEntries.list", "logging.logMetrics.get", "logging.logMetrics.list"),
    "roles/logging.privateLogViewer": ("logging.logEntries.list", "logging.privateLogEntries.list"),
    "roles/monitoring.admin": ("monitoring.*", "resourcemanager.projects.get"),
    "roles/monitoring.editor": ("monitoring.*",),
    "roles/monitoring.alertPolicyEditor": ("monitoring.alertPolicies.*",),
    "roles/monitoring.alertPolicyViewer": ("monitoring.alertPolicies.get", "monitoring.alertPolicies.list"),
    "roles/monitoring.notificationChannelEditor": ("monitoring.notificationChannels.*",),
    "roles/run.admin": ("run.*", "resourcemanager.projects.get"),
    "roles/run.developer": ("run.services.get", "run.services.list", "run.services.getIamPolicy"),
    "roles/run.invoker": ("run.routes.invoke",),
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
    "roles/storage.legacyObjectOwner": ("storage.objects.get", "storage.objects.update"),
    "roles/storage.legacyBucketWriter": (
        "storage.buckets.get",
        "storage.objects.create",
        "storage.objects.delete",
        "storage.objects.list",
    ),
    "roles/storage.bucketViewer": ("storage.buckets.get", "storage.buckets.list"),
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


_OTHERS = {
    "cloudkms": """admin autokeyAdmin autokeyUser cryptoKeyDecrypter cryptoKeyDecrypterViaDelegation cryptoKeyEncrypter
        cryptoKeyEncrypterDecrypter cryptoKeyEncrypterDecrypterViaDelegation cryptoKeyEncrypterViaDelegation
        cryptoOperator decapsulator ekmConnectionsAdmin expertRawAesCbc expertRawAesCtr expertRawPKCS1 importer
        keyAccessJustificationsEnrollmentConfigAdmin keyAccessJustificationsEnrollmentConfigViewer orgServiceAgent
        protectedResourcesViewer serviceAgent verifier viewer""",
    "iam": """admin databasesAdmin dataScientist devOps editor infrastructureAdmin mlEngineer networkAdmin
        oauthClientAdmin oauthClientViewer operationViewer organizationRoleAdmin organizationRoleViewer
        principalAccessBoundaryAdmin principalAccessBoundaryUser principalAccessBoundaryViewer securityAuditor
        serviceAccountApiKeyBindingAdmin siteReliabilityEngineer supportUser viewer workforcePoolAdmin
        workforcePoolEditor workforcePoolViewer""",
    "logging": "bucketWriter fieldAccessor linkViewer logWriter serviceAgent sqlAlertWriter viewAccessor",
    "monitoring": """alertViewer cloudConsoleIncidentEditor cloudConsoleIncidentViewer dashboardEditor dashboardViewer
        metricsScopesAdmin metricsScopesViewer metricWriter notificationChannelViewer notificationServiceAgent
        servicesEditor servicesViewer snoozeEditor snoozeViewer uptimeCheckConfigEditor uptimeCheckConfigViewer
        viewer""",
    "orgpolicy": "",
    "resourcemanager": """folderAdmin folderCreator folderEditor folderIamAdmin folderMover folderViewer lienModifier
        organizationAdmin organizationCreator organizationViewer projectCreator projectDeleter projectMover tagAdmin
        tagHoldAdmin tagUser tagViewer""",
    "run": """builder editor jobsExecutor jobsExecutorWithOverrides serviceAgent servicesInvoker sourceDeveloper
        sourceViewer viewer""",
    "serviceusage": "apiKeysAdmin apiKeysViewer",
    "storage": """editor expressModeServiceInput expressModeServiceOutput expressModeUserAccess folderAdmin hmacKeyAdmin
        insightsCollectorService viewer""",
}
"""The roles that allow nothing here, of the services whose roles are all listed."""

_NAMES = frozenset(f"roles/{service}.{name}" for service, names in _OTHERS.items() for name in names.split())
_BASIC = ("roles/owner", "roles/editor", "roles/viewer", "roles/browser", "roles/admin", "roles/writer", "roles/reader")
_CUSTOM = re.compile(r"(projects|organizations)/[^/]+/roles/[a-zA-Z0-9_.]{3,64}")
_PREDEFINED = re.compile(r"roles/(?P<service>[a-zA-Z0-9_]+)\.[a-zA-Z0-9_.]+")

ACCOUNTS = "iam.serviceAccounts."
POOLS = "iam.workloadIdentityPool"
BUCKETS = "storage."
KEYS = "cloudkms."
RUN_SERVICES = "run."


def is_role(state: State, role: str) -> bool:
    """Return whether a role exists. A seed can contain a role that Google has added since this list was written."""
    custom = state.roles.get(role)
    if custom is not None:
        return custom.deleted_at is None
    found = _PREDEFINED.fullmatch(role)
    if found is not None:
        return role in ROLES or role in _NAMES or found["service"] not in _OTHERS
    return role in _BASIC or (_CUSTOM.fullmatch(role) is not None and role.startswith("organizations/"))


def is_grantable(role: str, permissions: str) -> bool:
    """Return whether a role can be granted on a resource: whether it includes a permission of this kind of resource.

    Args:
        role: A role that exists.
        permissions: The common beginning of the permissions, such as `ACCOUNTS`; empty for a project.
    """
    if role in _BASIC:
        return permissions != BUCKETS  # only a project grants them on its buckets
    entries = ROLES.get(role)
    if entries is not None:
        return any(
            entry.startswith(("*", permissions)) or permissions.startswith(entry.removesuffix("*")) for entry in entries
        )
    found = _PREDEFINED.fullmatch(role)
    if not permissions or found is None or found["service"] not in _OTHERS:
        return True
    return permissions.startswith(f"{found['service']}.")


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
