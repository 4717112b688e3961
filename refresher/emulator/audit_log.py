"""Cloud Audit Logs: entries about exchanges, impersonation and refusals, for Cloud Logging.

https://cloud.google.com/iam/docs/audit-logging/examples-workload-identity. Data Access logs are written only where a
project's audit configuration asks for them, Admin Activity logs always. Queries for entries are in
`refresher.emulator.cloud_logging`.
"""

import json
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from refresher.emulator.cloud import Cloud
from refresher.emulator.errors import Refusal
from refresher.emulator.http import ENCODED_SLASH, Call

_STS = "sts.googleapis.com"
_IAM_CREDENTIALS = "iamcredentials.googleapis.com"
_KMS = "cloudkms.googleapis.com"
_STORAGE = "storage.googleapis.com"
_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 412: 9, 429: 8}
"""google.rpc.Code by HTTP status."""

_ACCOUNT_METHODS = {
    "iam.serviceAccounts.setIamPolicy": "SetIAMPolicy",
    **{
        f"iam.serviceAccounts.{verb}": f"{verb.capitalize()}ServiceAccount"
        for verb in ("create", "patch", "update", "delete", "undelete", "disable", "enable")
    },
    **{
        f"iam.serviceAccounts.keys.{verb}": f"{verb.capitalize()}ServiceAccountKey"
        for verb in ("create", "upload", "delete", "disable", "enable")
    },
}
"""Methods of `google.iam.admin.v1.IAM` (https://cloud.google.com/iam/docs/audit-logging) by operation."""

_METHOD = re.compile(r":[A-Za-z]+$")


@dataclass(frozen=True, slots=True)
class _Audited:
    service: str
    method: str
    log_type: str


def _admin_read(service: str, method: str) -> _Audited:
    return _Audited(service, method, "ADMIN_READ")


_AUDITED = {
    "sts.token": _admin_read(_STS, "google.identity.sts.v1.SecurityTokenService.ExchangeToken"),
    "iamcredentials.generateAccessToken": _admin_read(_IAM_CREDENTIALS, "GenerateAccessToken"),
    "iamcredentials.generateIdToken": _admin_read(_IAM_CREDENTIALS, "GenerateIdToken"),
    "iamcredentials.signJwt": _admin_read(_IAM_CREDENTIALS, "SignJwt"),
    "iamcredentials.signBlob": _admin_read(_IAM_CREDENTIALS, "SignBlob"),
    "cloudkms.asymmetricSign": _Audited(_KMS, "AsymmetricSign", "DATA_READ"),
    "cloudkms.getPublicKey": _Audited(_KMS, "GetPublicKey", "DATA_READ"),
    "storage.objects.get": _Audited(_STORAGE, "storage.objects.get", "DATA_READ"),
    "storage.objects.list": _Audited(_STORAGE, "storage.objects.list", "DATA_READ"),
    "storage.objects.insert": _Audited(_STORAGE, "storage.objects.create", "DATA_WRITE"),
    "storage.objects.delete": _Audited(_STORAGE, "storage.objects.delete", "DATA_WRITE"),
}
_ACTIVITY = ("iam.", "cloudresourcemanager.", "serviceusage.", "orgpolicy.", "storage.buckets.")


def record(cloud: Cloud, operation: str, call: Call, *, changes: bool, refusal: Refusal | None) -> None:
    """Write the entry that the project's audit configuration asks for about an answered request."""
    audited = _AUDITED.get(operation)
    if audited is None and changes and operation.startswith(_ACTIVITY):
        service = (
            "storage.googleapis.com"
            if operation.startswith("storage.")
            else f"{operation.partition('.')[0]}.googleapis.com"
        )
        method = operation.partition(".")[2]
        if operation in _ACCOUNT_METHODS:
            method = f"google.iam.admin.v1.{_ACCOUNT_METHODS[operation]}"
        audited = _Audited(service, method, "ADMIN_WRITE")
    if audited is None:
        return
    project, resource_name = _find_resource(cloud, call)
    if project is None or not _is_wanted(cloud, project, audited, call.facts.get("principal", "")):
        return
    cloud.audit_log.add(_build_entry(cloud, call, audited, project, resource_name, refusal))


def _find_resource(cloud: Cloud, call: Call) -> tuple[str | None, str]:
    """Return the project that a request belongs to, and the name of the resource."""
    facts = call.facts
    if "provider" in facts:
        found = cloud.state.find_project(facts["provider"].split("/")[1])
        return (found[0] if found else None), facts["provider"]
    if "service_account" in facts:
        account = cloud.state.find_service_account(facts["service_account"])
        name = f"projects/-/serviceAccounts/{account.unique_id if account else facts['service_account']}"
        return (account.project if account else None), name
    if "bucket" in facts:
        bucket = cloud.state.buckets.get(facts["bucket"])
        name = f"projects/_/buckets/{facts['bucket']}"
        return (bucket.project if bucket else None), f"{name}/objects/{facts['object']}" if "object" in facts else name
    if "key_version" in facts:
        found = cloud.state.find_project(facts["key_version"].split("/")[1])
        return (found[0] if found else None), facts["key_version"]
    _, _, name = call.path.partition("/projects/")
    if not name:
        return None, ""
    project = name.partition("/")[0]
    found = cloud.state.find_project(project) or cloud.state.find_project(project.rpartition(":")[0])
    resource = _METHOD.sub("", name) if call.method == "POST" else name
    return (found[0] if found else None), f"projects/{resource}".replace(ENCODED_SLASH, "%2F")


def _is_wanted(cloud: Cloud, project: str, audited: _Audited, principal: str) -> bool:
    if audited.log_type == "ADMIN_WRITE":
        return True
    found = cloud.state.projects.get(project)
    service = "iam.googleapis.com" if audited.service == _IAM_CREDENTIALS else audited.service
    for config in found.policy.audit_configs if found is not None else ():
        if config.get("service") in (service, "allServices"):
            for log in config.get("auditLogConfigs", ()):
                exempted = (str(member).partition(":")[2] for member in log.get("exemptedMembers", ()))
                if log.get("logType") == audited.log_type and principal not in exempted:
                    return True
    return False


def _build_entry(
    cloud: Cloud, call: Call, audited: _Audited, project: str, resource_name: str, refusal: Refusal | None
) -> dict[str, Any]:
    log = "activity" if audited.log_type == "ADMIN_WRITE" else "data_access"
    time = f"{datetime.fromtimestamp(cloud.now(), UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    payload: dict[str, Any] = {
        "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
        "serviceName": audited.service,
        "methodName": audited.method,
        "resourceName": resource_name,
        "authenticationInfo": _describe_caller(call, audited),
        "requestMetadata": {"callerIp": "127.0.0.1", "callerSuppliedUserAgent": call.headers.get("user-agent", "")},
        "status": _describe_status(refusal),
    }
    if audited.service == _STS and "principal" in call.facts:
        payload["metadata"] = {
            "@type": "type.googleapis.com/google.identity.sts.v1.AuditData",
            "mapped_principal": call.facts["principal"],
        }
    return {
        "protoPayload": payload,
        "insertId": secrets.token_hex(8),
        "resource": _describe_resource(cloud, call, audited, project),
        "timestamp": time,
        "severity": "ERROR" if refusal is not None else "INFO" if log == "data_access" else "NOTICE",
        "logName": f"projects/{project}/logs/cloudaudit.googleapis.com%2F{log}",
        "receiveTimestamp": time,
    }


def _describe_caller(call: Call, audited: _Audited) -> dict[str, Any]:
    if audited.service == _STS:
        return {"principalSubject": call.facts["subject"]} if "subject" in call.facts else {}
    principal = call.facts.get("principal", "")
    if principal.startswith("principal://"):
        return {"principalSubject": principal}
    told: dict[str, Any] = {"principalEmail": principal}
    if "delegation" in call.facts:
        told["principalSubject"] = f"serviceAccount:{principal}"
        told["serviceAccountDelegationInfo"] = [_delegation(member) for member in json.loads(call.facts["delegation"])]
    return told


def _delegation(member: str) -> dict[str, Any]:
    """Describe an identity that acts as a service account: one of Google by its e-mail, another by its subject.

    https://cloud.google.com/logging/docs/reference/audit/auditlog/rest/Shared.Types/AuditLog#ServiceAccountDelegationInfo
    """
    kind, _, email = member.partition(":")
    if kind in ("serviceAccount", "user"):
        return {"firstPartyPrincipal": {"principalEmail": email}}
    return {"principalSubject": member}


def _describe_status(refusal: Refusal | None) -> dict[str, Any]:
    if refusal is None:
        return {}
    error = refusal.document.get("error")
    text = error.get("message") if isinstance(error, dict) else refusal.document.get("error_description", error)
    return {"code": _CODES.get(refusal.status, 13), "message": str(text)}


def _describe_resource(cloud: Cloud, call: Call, audited: _Audited, project: str) -> dict[str, Any]:
    account = cloud.state.find_service_account(call.facts.get("service_account", ""))
    if account is not None:
        labels = {"email_id": account.email, "unique_id": account.unique_id, "project_id": project}
        return {"type": "service_account", "labels": labels}
    if "bucket" in call.facts:
        return {"type": "gcs_bucket", "labels": {"bucket_name": call.facts["bucket"], "project_id": project}}
    if "key_version" in call.facts:
        _, _, _, location, _, ring, _, key, _, version = call.facts["key_version"].split("/")
        key_labels = {"location": location, "key_ring_id": ring, "crypto_key_id": key, "crypto_key_version_id": version}
        return {"type": "cloudkms_cryptokeyversion", "labels": {"project_id": project, **key_labels}}
    labels = {"service": audited.service, "method": audited.method, "project_id": project}
    return {"type": "audited_resource", "labels": labels}
