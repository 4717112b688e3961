"""Service accounts, and the enabled services of projects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.terraform.provider.api import ApiError
from tests.terraform.provider.resources import PROTECTED, Resource
from tests.terraform.provider.schemas import UNKNOWN, Values, choose_value

if TYPE_CHECKING:
    from tests.terraform.provider.api import Api


class ServiceAccount(Resource):
    """`google_service_account`."""

    type_name = "google_service_account"
    force_new = frozenset({"account_id", "project"})

    def plan(self, api: Api, values: Values) -> None:
        """Compute the e-mail of a new account before apply, which like the real provider's is wrong for DOMAIN:NAME."""
        super().plan(api, values)
        account, project = values.get("account_id"), values.get("project")
        is_new = values.get("name") is UNKNOWN
        if is_new and isinstance(account, str) and isinstance(project, str):
            email = f"{account}@{project}.iam.gserviceaccount.com"
            values["email"], values["member"] = email, f"serviceAccount:{email}"

    def create(self, api: Api, values: Values) -> Values:
        """POST, then read until the account is visible."""
        body = {"accountId": values["account_id"], "serviceAccount": self._body(values)}
        made = api.call("iam_beta", "POST", f"projects/{values['project']}/serviceAccounts", body=body)
        return self.found(api, {**values, "id": made["name"]})

    def read(self, api: Api, values: Values) -> Values | None:
        """GET."""
        body = api.find("iam_beta", values["id"])
        if body is None:
            return None
        return {
            **values,
            "account_id": body["email"].partition("@")[0],
            "project": body["projectId"],
            "name": body["name"],
            "email": body["email"],
            "member": f"serviceAccount:{body['email']}",
            "unique_id": body["uniqueId"],
            "display_name": choose_value(values.get("display_name"), body.get("displayName")),
            "description": choose_value(values.get("description"), body.get("description")),
            "disabled": choose_value(values.get("disabled"), body.get("disabled")),
            "deletion_policy": values.get("deletion_policy") or "DELETE",
        }

    def update(self, api: Api, prior: Values, values: Values) -> Values:
        """PATCH with the mask in the body; disabling is a separate call."""
        mask = [name for name in ("description", "display_name") if prior.get(name) != values.get(name)]
        if mask:
            etag = api.get("iam_beta", values["id"]).get("etag")
            account = {**self._body(values), "etag": etag}
            body = {"serviceAccount": account, "updateMask": ",".join(mask)}
            api.call("iam_beta", "PATCH", values["id"], body=body)
        if bool(prior.get("disabled")) != bool(values.get("disabled")):
            verb = "disable" if values.get("disabled") else "enable"
            api.call("iam_beta", "POST", f"{values['id']}:{verb}", body={})
        return self.found(api, values)

    def delete(self, api: Api, values: Values) -> None:
        """DELETE, unless the account is protected or abandoned."""
        if values.get("deletion_policy") == "PREVENT":
            raise ApiError(0, PROTECTED.format("ServiceAccount"))
        if values.get("deletion_policy") != "ABANDON":
            api.call("iam_beta", "DELETE", values["id"])

    def _body(self, values: Values) -> Values:
        texts = {"displayName": values.get("display_name"), "description": values.get("description")}
        return {name: text for name, text in texts.items() if text}


class ProjectService(Resource):
    """`google_project_service`: adopted if it is enabled already, and not disabled at the end by default."""

    type_name = "google_project_service"
    force_new = frozenset({"service", "project"})

    def create(self, api: Api, values: Values) -> Values:
        """List, and enable the service if it is not enabled."""
        if not self._is_enabled(api, values):
            path = f"projects/{values['project']}/services/{values['service']}:enable"
            operation = api.call("service_usage", "POST", path, body={})
            api.finish("service_usage", operation)
        return self.found(api, {**values, "id": f"{values['project']}/{values['service']}"})

    def read(self, api: Api, values: Values) -> Values | None:
        """Read the project, then list."""
        if api.find("resource_manager", f"projects/{values['project']}") is None or not self._is_enabled(api, values):
            return None
        return {**values, "deletion_policy": values.get("deletion_policy") or "DELETE"}

    def update(self, api: Api, prior: Values, values: Values) -> Values:
        """Change nothing: only flags of Terraform itself can change."""
        return values

    def delete(self, api: Api, values: Values) -> None:
        """Disable the service only on request."""
        if values.get("disable_on_destroy"):
            path = f"projects/{values['project']}/services/{values['service']}:disable"
            api.finish("service_usage", api.call("service_usage", "POST", path, body={}))

    def _is_enabled(self, api: Api, values: Values) -> bool:
        query = {"filter": "state:ENABLED", "pageSize": "200", "fields": "services/name,nextPageToken"}
        path = f"projects/{values['project']}/services"
        names: set[str] = set()
        token: str | None = ""
        while token is not None:
            page = api.get("service_usage", path, **query, **({"pageToken": token} if token else {}))
            names |= {service["name"].rpartition("/")[2] for service in page.get("services", [])}
            token = page.get("nextPageToken") or None
        return values["service"] in names
