"""Service accounts: create, read, update, disable, delete, undelete, and their IAM policies.

https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts. Their keys are in
`refresher.emulator.iam_admin.service_account_keys`.
"""

from collections.abc import Mapping
from itertools import count
from typing import Any

from refresher.emulator import policy_changes
from refresher.emulator.account_emails import compose_email, is_account_id
from refresher.emulator.authentication import authenticate_administrator, project_resource, require_permission
from refresher.emulator.cloud import Cloud
from refresher.emulator.errors import api_refusal
from refresher.emulator.fields import find_project, read_mask
from refresher.emulator.http import Call, Reply, Route, read_object, read_text
from refresher.emulator.iam_admin.fields import Names, drop_empty
from refresher.emulator.members import rename_members
from refresher.emulator.permissions import Resource, account_resource
from refresher.emulator.policies import Policy, is_same_etag
from refresher.emulator.roles import ACCOUNTS
from refresher.emulator.state import ServiceAccount, derive_unique_id, is_gone

SERVICE = "iam.googleapis.com"
_MASK = {"displayName": "display_name", "description": "description"}


def create(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Create a service account."""
    caller = authenticate_administrator(cloud, call, service=SERVICE)
    require_permission(
        cloud, caller, "iam.serviceAccounts.create", project_resource(cloud, names["project"], service=SERVICE)
    )
    project, _ = find_project(cloud, names["project"])
    body = call.json()
    account_id, settings = read_text(body, "accountId"), read_object(body, "serviceAccount")
    if not is_account_id(account_id):
        raise api_refusal("bad_field", field="account_id")
    email = compose_email(account_id, project)
    _check_free(cloud, email)
    account = ServiceAccount(email=email, unique_id=_unused_id(cloud, email), project=project, **_read_texts(settings))
    cloud.state.place_service_account(account)
    call.facts["service_account"] = email
    return Reply(document=_describe(account))


def list_(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """List the service accounts of a project."""
    caller = authenticate_administrator(cloud, call, service=SERVICE)
    require_permission(
        cloud, caller, "iam.serviceAccounts.list", project_resource(cloud, names["project"], service=SERVICE)
    )
    project, _ = find_project(cloud, names["project"])
    accounts = [
        _describe(account)
        for account in cloud.state.service_accounts.values()
        if account.project == project and account.deleted_at is None
    ]
    return Reply(document={"accounts": accounts} if accounts else {})


def get(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Show a service account."""
    account = authorize(cloud, call, names["account"], "iam.serviceAccounts.get")
    return Reply(document=_describe(account))


def patch(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Change the fields of the mask in the body."""
    account = authorize(cloud, call, names["account"], "iam.serviceAccounts.update")
    body = call.json()
    settings = read_object(body, "serviceAccount")
    _check_etag(account, settings)
    values: dict[str, Any] = {**_read_texts(settings)}
    for path in read_mask(read_text(body, "updateMask"), _MASK):
        setattr(account, _MASK[path], values[_MASK[path]])
    return Reply(document=_describe(account))


def update(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Change display name and description; the older method, which gcloud calls."""
    account = authorize(cloud, call, names["account"], "iam.serviceAccounts.update")
    body = call.json()
    _check_etag(account, body)
    _read_texts(body)
    account.display_name = read_text(body, "displayName", account.display_name)
    account.description = read_text(body, "description", account.description)
    return Reply(document=_describe(account))


def disable(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Disable a service account, so that no one can act as it."""
    account = authorize(cloud, call, names["account"], "iam.serviceAccounts.disable")
    account.disabled = True
    return Reply(document={})


def enable(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Enable a service account again."""
    account = authorize(cloud, call, names["account"], "iam.serviceAccounts.enable")
    account.disabled = False
    return Reply(document={})


def delete(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Delete a service account; it can be undeleted for 30 days by its unique id. Its grants remain, and are void."""
    account = authorize(cloud, call, names["account"], "iam.serviceAccounts.delete")
    account.deleted_at = cloud.now()
    rename_members(cloud.state, account)
    return Reply(document={})


def undelete(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Undelete a service account with its grants. That is impossible while another account has its e-mail."""
    caller = authenticate_administrator(cloud, call, service=SERVICE)
    require_permission(
        cloud, caller, "iam.serviceAccounts.undelete", project_resource(cloud, names["project"], service=SERVICE)
    )
    account = cloud.state.find_service_account(names["account"])
    if account is None or account.deleted_at is None or is_gone(account.deleted_at, cloud.now()):
        raise api_refusal("not_found")
    _check_free(cloud, account.email)
    call.facts["service_account"] = account.email
    cloud.state.place_service_account(account)
    account.deleted_at = None
    rename_members(cloud.state, account)
    return Reply(document={"restoredAccount": _describe(account)})


def get_policy(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Show the policy of a service account."""
    account = authorize(cloud, call, names["account"], "iam.serviceAccounts.getIamPolicy")
    return Reply(document=account.policy.as_document())


def set_policy(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Replace the policy of a service account."""
    account = authorize(cloud, call, names["account"], "iam.serviceAccounts.setIamPolicy")
    return policy_changes.replace_policy(cloud, account.policy, call.json(), permissions=ACCOUNTS)


def test_permissions(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Show which permissions the caller has on a service account."""
    caller = authenticate_administrator(cloud, call, service=SERVICE)
    account = _find(cloud, names["account"])
    return policy_changes.test_permissions(cloud, caller, account_resource(account), call.json())


def authorize(cloud: Cloud, call: Call, name: str, permission: str) -> ServiceAccount:
    """Check the caller's permission on an account; return the account.

    Raises:
        Refusal: T9 if the caller lacks the permission, 404 if the account does not exist.
    """
    caller = authenticate_administrator(cloud, call, service=SERVICE)
    account = cloud.state.find_service_account(name)
    if account is None or account.deleted_at is not None:
        nowhere = Resource(name=f"projects/-/serviceAccounts/{name}", policy=Policy())
        require_permission(cloud, caller, permission, nowhere)
        raise api_refusal("no_account")
    call.facts["service_account"] = account.email
    require_permission(cloud, caller, permission, account_resource(account))
    return account


def _find(cloud: Cloud, name: str) -> ServiceAccount:
    account = cloud.state.find_service_account(name)
    if account is None or account.deleted_at is not None:
        raise api_refusal("no_account")
    return account


def _check_free(cloud: Cloud, email: str) -> None:
    taken = cloud.state.service_accounts.get(email)
    if taken is not None and taken.deleted_at is None:
        raise api_refusal("account_exists", account=email.partition("@")[0], project=taken.project)


def _unused_id(cloud: Cloud, email: str) -> str:
    """Return another id than that of any account before, so that no grant of a deleted account applies to a new one."""
    ids = (derive_unique_id(email if not number else f"{email} {number}") for number in count())
    return next(unique_id for unique_id in ids if cloud.state.find_service_account(unique_id) is None)


def _read_texts(settings: Mapping[str, Any]) -> Names:
    display_name, description = read_text(settings, "displayName"), read_text(settings, "description")
    if len(display_name.encode("utf-8", "replace")) > 100 or len(description.encode("utf-8", "replace")) > 256:  # noqa: PLR2004 - bytes, as documented
        raise api_refusal("bad_field", field="service_account")
    return Names(display_name=display_name, description=description)


def _check_etag(account: ServiceAccount, settings: Mapping[str, Any]) -> None:
    etag = read_text(settings, "etag")
    if etag and not is_same_etag(etag, _compute_etag(account)):
        raise api_refusal("conflict")


def _compute_etag(account: ServiceAccount) -> str:
    return Policy(audit_configs=[{"": [account.display_name, account.description, account.unique_id]}]).etag


def _describe(account: ServiceAccount) -> dict[str, Any]:
    return drop_empty(
        {
            "name": f"projects/{account.project}/serviceAccounts/{account.email}",
            "projectId": account.project,
            "uniqueId": account.unique_id,
            "email": account.email,
            "displayName": account.display_name,
            "etag": _compute_etag(account),
            "description": account.description,
            "oauth2ClientId": account.unique_id,
            "disabled": account.disabled,
        }
    )


_ACCOUNTS = "/v1/projects/{project}/serviceAccounts"
ACCOUNT = f"{_ACCOUNTS}/{{account}}"
_IAM = "iam.serviceAccounts"

ROUTES = (
    Route(f"{_IAM}.create", "POST", _ACCOUNTS, create, changes=True),
    Route(f"{_IAM}.list", "GET", _ACCOUNTS, list_),
    Route(f"{_IAM}.get", "GET", ACCOUNT, get),
    Route(f"{_IAM}.patch", "PATCH", ACCOUNT, patch, changes=True),
    Route(f"{_IAM}.update", "PUT", ACCOUNT, update, changes=True),
    Route(f"{_IAM}.delete", "DELETE", ACCOUNT, delete, changes=True),
    Route(f"{_IAM}.undelete", "POST", f"{ACCOUNT}:undelete", undelete, changes=True),
    Route(f"{_IAM}.disable", "POST", f"{ACCOUNT}:disable", disable, changes=True),
    Route(f"{_IAM}.enable", "POST", f"{ACCOUNT}:enable", enable, changes=True),
    Route(f"{_IAM}.getIamPolicy", "POST", f"{ACCOUNT}:getIamPolicy", get_policy),
    Route(f"{_IAM}.setIamPolicy", "POST", f"{ACCOUNT}:setIamPolicy", set_policy, changes=True),
    Route(f"{_IAM}.testIamPermissions", "POST", f"{ACCOUNT}:testIamPermissions", test_permissions),
)
