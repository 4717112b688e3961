"""Resources that are one entry of an IAM policy: read, modified and written back under a lock."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from urllib.parse import quote

from tests.terraform.provider.api import ApiError
from tests.terraform.provider.resources import Resource

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.terraform.provider.api import Api
    from tests.terraform.provider.schemas import Values

_LOCK = threading.Lock()
_CONFLICTS = (409, 412)
_MOST_ATTEMPTS = 5


class Grant(Resource):
    """A member of a role on a resource; subclasses define where the policy is."""

    def get_policy(self, api: Api, values: Values) -> Values:
        """Read the policy."""
        raise NotImplementedError

    def set_policy(self, api: Api, values: Values, policy: Values) -> None:
        """Write the policy."""
        raise NotImplementedError

    def where(self, values: Values) -> str:
        """Return the beginning of the id."""
        raise NotImplementedError

    def edit(self, api: Api, values: Values, change: Callable[[Values], None]) -> None:
        """Read, change and write the whole policy, and again if another writer was faster."""
        with _LOCK:
            for attempt in range(1, _MOST_ATTEMPTS + 1):
                policy = self.get_policy(api, values)
                change(policy)
                try:
                    self.set_policy(api, values, policy)
                except ApiError as error:
                    if error.status not in _CONFLICTS:
                        raise
                    if attempt == _MOST_ATTEMPTS:
                        raise ApiError(0, f"Too many conflicts.  Latest error: {error}") from None
                else:
                    return

    def create(self, api: Api, values: Values) -> Values:
        """Add the member."""

        def add(policy: Values) -> None:
            binding = _binding(policy, values)
            if binding is None:
                binding = {"role": values["role"], "members": []}
                if values.get("condition"):
                    binding["condition"] = {name: text for name, text in values["condition"][0].items() if text}
                policy.setdefault("bindings", []).append(binding)
            binding["members"] = sorted({*binding["members"], values["member"]})

        self.edit(api, values, add)
        identifier = f"{self.where(values)}/{values['role']}/{values['member']}"
        return self.found(api, {**values, "id": identifier})

    def read(self, api: Api, values: Values) -> Values | None:
        """Look the member up."""
        policy = self.get_policy(api, values)
        binding = _binding(policy, values)
        if binding is None or values["member"] not in binding["members"]:
            return None
        return {**values, "etag": policy.get("etag")}

    def delete(self, api: Api, values: Values) -> None:
        """Remove the member; a binding without members is removed, too, and so are empty `bindings`."""

        def remove(policy: Values) -> None:
            binding = _binding(policy, values)
            if binding is not None:
                binding["members"] = [member for member in binding["members"] if member != values["member"]]
            policy["bindings"] = [entry for entry in policy.get("bindings", []) if entry["members"]]
            if not policy["bindings"]:
                del policy["bindings"]

        self.edit(api, values, remove)


class ServiceAccountMember(Grant):
    """`google_service_account_iam_member`."""

    type_name = "google_service_account_iam_member"
    force_new = frozenset({"service_account_id", "role", "member", "condition"})

    def get_policy(self, api: Api, values: Values) -> Values:
        """POST without a body."""
        path = f"{values['service_account_id']}:getIamPolicy"
        return api.call("iam_beta", "POST", path, query={"options.requestedPolicyVersion": "3"})

    def set_policy(self, api: Api, values: Values, policy: Values) -> None:
        """POST without a mask."""
        api.call("iam_beta", "POST", f"{values['service_account_id']}:setIamPolicy", body={"policy": _third(policy)})

    def where(self, values: Values) -> str:
        """Return the account."""
        return str(values["service_account_id"])


class ServiceAccountBinding(ServiceAccountMember):
    """`google_service_account_iam_binding`: all members of one role, or an empty role."""

    type_name = "google_service_account_iam_binding"
    force_new = frozenset({"service_account_id", "role", "condition"})

    def create(self, api: Api, values: Values) -> Values:
        """Replace the members of the role."""
        self.edit(api, values, lambda policy: self._replace(policy, values, values["members"]))
        return self.found(api, {**values, "id": f"{self.where(values)}/{values['role']}"})

    def read(self, api: Api, values: Values) -> Values | None:
        """Read the members of the role; without any, the resource stays."""
        policy = self.get_policy(api, values)
        binding = _binding(policy, values)
        members = [] if binding is None else sorted(binding.get("members", []))
        return {**values, "etag": policy.get("etag"), "members": members}

    def update(self, api: Api, prior: Values, values: Values) -> Values:
        """Replace the members of the role."""
        return self.create(api, values)

    def delete(self, api: Api, values: Values) -> None:
        """Remove the role."""
        self.edit(api, values, lambda policy: self._replace(policy, values, None))

    def _replace(self, policy: Values, values: Values, members: list[str] | None) -> None:
        old = _binding(policy, values)
        others = [entry for entry in policy.get("bindings", []) if entry is not old]
        new = {"role": values["role"]} | ({"members": sorted(members)} if members else {})
        policy["bindings"] = others if members is None else [*others, new]
        if not policy["bindings"]:
            del policy["bindings"]


class ProjectMember(Grant):
    """`google_project_iam_member`."""

    type_name = "google_project_iam_member"
    force_new = frozenset({"project", "role", "member", "condition"})

    def get_policy(self, api: Api, values: Values) -> Values:
        """POST with the requested version."""
        return _project_policy(api, values["project"])

    def set_policy(self, api: Api, values: Values, policy: Values) -> None:
        """POST with the mask in the body."""
        _set_project_policy(api, values["project"], _third(policy))

    def where(self, values: Values) -> str:
        """Return the project."""
        return str(values["project"])


class BucketMember(Grant):
    """`google_storage_bucket_iam_member`."""

    type_name = "google_storage_bucket_iam_member"
    force_new = frozenset({"bucket", "role", "member", "condition"})

    def plan(self, api: Api, values: Values) -> None:
        """Show the bucket with the prefix of the real provider."""
        if isinstance(values.get("bucket"), str):
            values["bucket"] = f"b/{values['bucket'].removeprefix('b/')}"

    def get_policy(self, api: Api, values: Values) -> Values:
        """GET."""
        return api.get("storage", f"{self.where(values)}/iam", optionsRequestedPolicyVersion="3")

    def set_policy(self, api: Api, values: Values, policy: Values) -> None:
        """PUT the bare policy."""
        api.call("storage", "PUT", f"{self.where(values)}/iam", body=_third(policy))

    def where(self, values: Values) -> str:
        """Return the bucket."""
        return f"b/{quote(values['bucket'].removeprefix('b/'), safe='')}"


class RunServiceMember(Grant):
    """`google_cloud_run_v2_service_iam_member`."""

    type_name = "google_cloud_run_v2_service_iam_member"
    force_new = frozenset({"project", "location", "name", "role", "member", "condition"})

    def get_policy(self, api: Api, values: Values) -> Values:
        """GET."""
        return api.get("cloud_run_v2", f"{self.where(values)}:getIamPolicy")

    def set_policy(self, api: Api, values: Values, policy: Values) -> None:
        """POST."""
        api.call("cloud_run_v2", "POST", f"{self.where(values)}:setIamPolicy", body={"policy": _third(policy)})

    def where(self, values: Values) -> str:
        """Return the service."""
        name = values["name"].rpartition("/")[2]
        return f"projects/{values['project']}/locations/{values['location']}/services/{name}"


class AuditConfig(Grant):
    """`google_project_iam_audit_config`: the audit logs of one service in a project."""

    type_name = "google_project_iam_audit_config"
    force_new = frozenset({"project", "service"})

    def get_policy(self, api: Api, values: Values) -> Values:
        """POST with the requested version."""
        return _project_policy(api, values["project"])

    def create(self, api: Api, values: Values) -> Values:
        """Replace the audit logs of the service."""
        logs = [
            {"logType": log["log_type"]}
            | ({"exemptedMembers": log["exempted_members"]} if log.get("exempted_members") else {})
            for log in values["audit_log_config"]
        ]
        self._write(api, values, [{"service": values["service"], "auditLogConfigs": logs}])
        return self.found(api, {**values, "id": f"{values['project']}/audit_config/{values['service']}"})

    def read(self, api: Api, values: Values) -> Values | None:
        """Read the audit logs of the service."""
        policy = self.get_policy(api, values)
        found = next((entry for entry in policy.get("auditConfigs", []) if entry["service"] == values["service"]), None)
        if found is None:
            return None
        logs = [
            {"log_type": log["logType"], "exempted_members": log.get("exemptedMembers")}
            for log in found["auditLogConfigs"]
        ]
        return {**values, "etag": policy.get("etag"), "audit_log_config": logs}

    def update(self, api: Api, prior: Values, values: Values) -> Values:
        """Replace."""
        return self.create(api, values)

    def delete(self, api: Api, values: Values) -> None:
        """Remove the audit logs of the service."""
        self._write(api, values, [])

    def _write(self, api: Api, values: Values, configs: list[Values]) -> None:
        with _LOCK:
            policy = self.get_policy(api, values)
            others = [entry for entry in policy.get("auditConfigs", []) if entry["service"] != values["service"]]
            policy["auditConfigs"] = others + configs
            _set_project_policy(api, values["project"], policy)


def _binding(policy: Values, values: Values) -> Values | None:
    """Find the binding of a role and condition."""
    wanted = [text for text in (values.get("condition") or [{}])[0].values() if text]
    for binding in policy.get("bindings", []):
        given = [text for text in binding.get("condition", {}).values() if text]
        if binding["role"] == values["role"] and sorted(given) == sorted(wanted):
            found: Values = binding
            return found
    return None


def _third(policy: Values) -> Values:
    return {name: value for name, value in policy.items() if name in {"bindings", "etag", "auditConfigs"}} | {
        "version": 3
    }


def _project_policy(api: Api, project: str) -> Values:
    body = {"options": {"requestedPolicyVersion": 3}}
    return api.call("resource_manager", "POST", f"projects/{project}:getIamPolicy", body=body)


def _set_project_policy(api: Api, project: str, policy: Values) -> None:
    body = {"policy": policy, "updateMask": "bindings,etag,auditConfigs"}
    api.call("resource_manager", "POST", f"projects/{project}:setIamPolicy", body=body)
