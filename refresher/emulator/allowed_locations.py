"""Regional access boundaries at iamcredentials.googleapis.com. No account or pool of the emulator has one.

https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/getAllowedLocations and the
same method for pools, with the permissions that these pages list. google-auth asks in the background and ignores a
refusal.
"""

from collections.abc import Mapping

from refresher.emulator.authentication import authenticate, project_resource, require_permission
from refresher.emulator.cloud import Cloud
from refresher.emulator.errors import api_refusal
from refresher.emulator.http import Call, Reply, Route
from refresher.emulator.permissions import account_resource, has_permission, permission_denied
from refresher.emulator.state import pool_name

SERVICE = "iamcredentials.googleapis.com"
_GET_ACCOUNT = "iam.serviceAccounts.get"
_GET_POOL = "iam.workloadIdentityPools.get"
_GET_WORKFORCE = "iam.workforcePools.get"


def show_for_account(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Show where a service account may be used from: anywhere."""
    caller = authenticate(cloud, call, service=SERVICE)
    account = cloud.state.find_service_account(names["account"])
    if account is None or not has_permission(cloud, caller, _GET_ACCOUNT, account_resource(account)):
        raise permission_denied(_GET_ACCOUNT)
    return _reply_unrestricted()


def show_for_pool(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Show where the identities of a workload identity pool may be used from: anywhere."""
    caller = authenticate(cloud, call, service=SERVICE)
    require_permission(
        cloud, caller, _GET_POOL, project_resource(cloud, names["project"], service="iam.googleapis.com")
    )
    project = cloud.state.find_project(names["project"])
    if project is None or pool_name(project[1].number, names["pool"]) not in cloud.state.pools:
        raise api_refusal("not_found")
    return _reply_unrestricted()


def show_for_workforce_pool(cloud: Cloud, call: Call, _: Mapping[str, str]) -> Reply:
    """Refuse: the emulator has no workforce pools, and Google reports a missing pool as a missing permission."""
    authenticate(cloud, call, service=SERVICE)
    raise permission_denied(_GET_WORKFORCE)


def _reply_unrestricted() -> Reply:
    return Reply(document={"encodedLocations": "0x0"})


_NAME = "iamcredentials.allowedLocations"

ROUTES = (
    Route(_NAME, "GET", "/v1/projects/{project}/serviceAccounts/{account}/allowedLocations", show_for_account),
    Route(
        _NAME,
        "GET",
        "/v1/projects/{project}/locations/global/workloadIdentityPools/{pool}/allowedLocations",
        show_for_pool,
    ),
    Route(_NAME, "GET", "/v1/locations/global/workforcePools/{pool}/allowedLocations", show_for_workforce_pool),
)
