"""What a resource of the stand-in is, and those that are more than a document: pools, providers, accounts, services.

Each makes the calls that provider 7.45 was seen to make, without its waits: the emulator is consistent at once.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.terraform.provider.api import ApiError
from tests.terraform.provider.schemas import UNKNOWN, Values, block_of, from_api, kept, to_api

if TYPE_CHECKING:
    from tests.terraform.provider.api import Api

PROTECTED = 'cannot destroy {} without setting deletion_policy="DELETE" and running `terraform apply`'


class Resource:
    """One type of resource.

    Attributes:
        type_name: As in a configuration.
        force_new: What cannot change in place.
        has_project: Whether it lies in the provider's project if it names none.
    """

    type_name = ""
    force_new: frozenset[str] = frozenset()
    has_project = True

    @property
    def block(self) -> Values:
        """Its schema."""
        return block_of(self.type_name)

    def plan(self, api: Api, values: Values) -> None:
        """Fill in what the real provider knows before apply."""
        if self.has_project and "project" in self.block["attributes"] and values.get("project") is UNKNOWN:
            values["project"] = api.project or UNKNOWN

    def create(self, api: Api, values: Values) -> Values:
        """Make it; give its state."""
        raise NotImplementedError

    def read(self, api: Api, values: Values) -> Values | None:
        """Give its state anew; None if it is gone."""
        raise NotImplementedError

    def update(self, api: Api, prior: Values, values: Values) -> Values:
        """Change it in place; give its state."""
        raise NotImplementedError

    def delete(self, api: Api, values: Values) -> None:
        """Remove it."""
        raise NotImplementedError

    def found(self, api: Api, values: Values) -> Values:
        """Read what was just written.

        Raises:
            ApiError: It is not there.
        """
        state = self.read(api, values)
        if state is None:
            raise ApiError(404, f"{self.type_name} was written and is not there")
        return state


class Pool(Resource):
    """`google_iam_workload_identity_pool`: created, changed and deleted through operations, deleted softly."""

    type_name = "google_iam_workload_identity_pool"
    force_new = frozenset({"workload_identity_pool_id", "project"})
    kind = "IAMBetaWorkloadIdentityPool"
    masked = ("display_name", "description", "disabled", "mode")
    not_sent = frozenset({"id", "name", "project", "deletion_policy", "workload_identity_pool_id"})

    def create(self, api: Api, values: Values) -> Values:
        """POST, then wait."""
        identifier = self.identifier(values)
        body = self.body(values)
        parent, _, name = identifier.rpartition("/")
        operation = api.call("iam_beta", "POST", parent, query={f"{self.parameter()}": name}, body=body)
        api.finish("iam_beta", operation)
        return self.found(api, {**values, "id": identifier})

    def read(self, api: Api, values: Values) -> Values | None:
        """GET; what is softly deleted is gone."""
        body = api.find("iam_beta", values["id"])
        if body is None or body.get("state") == "DELETED" or not self.is_whole(api, values):
            return None
        state = from_api(self.block, body, values, omit=self.not_sent)
        state["name"] = body["name"]
        state["deletion_policy"] = values.get("deletion_policy") or "DELETE"
        return state

    def update(self, api: Api, prior: Values, values: Values) -> Values:
        """PATCH exactly what differs; a change of the deletion policy alone sends nothing."""
        mask = self.mask(prior, values)
        if mask:
            operation = api.call(
                "iam_beta", "PATCH", values["id"], query={"updateMask": ",".join(mask)}, body=self.body(values)
            )
            api.finish("iam_beta", operation)
        return self.found(api, values)

    def delete(self, api: Api, values: Values) -> None:
        """DELETE unless it is protected or to be abandoned."""
        if values.get("deletion_policy") == "PREVENT":
            raise ApiError(0, PROTECTED.format(self.kind))
        if values.get("deletion_policy") != "ABANDON":
            api.finish("iam_beta", api.call("iam_beta", "DELETE", values["id"]))

    def imported(self, identifier: str) -> Values:
        """Give the state that an import begins with, by full name."""
        _, project, _, _, _, pool, *_ = identifier.split("/")
        return {"id": identifier, "project": project, "workload_identity_pool_id": pool}

    def identifier(self, values: Values) -> str:
        """Give the resource name, with the project as it is configured."""
        return (
            f"projects/{values['project']}/locations/global/workloadIdentityPools/{values['workload_identity_pool_id']}"
        )

    def parameter(self) -> str:
        """Give the query parameter that names a new one."""
        return "workloadIdentityPoolId"

    def body(self, values: Values) -> Values:
        """Give what is sent."""
        return to_api(self.block, values, omit=self.not_sent)

    def mask(self, prior: Values, values: Values) -> list[str]:
        """Give the update mask."""
        names = {"display_name": "displayName"}
        return [names.get(name, name) for name in self.masked if kept(prior.get(name), values.get(name)) != prior[name]]

    def is_whole(self, api: Api, values: Values) -> bool:
        """Ask for the attestation rules, without which the real provider takes a pool for gone."""
        return api.find("iam_beta", f"{values['id']}:listAttestationRules") is not None


class Provider(Pool):
    """`google_iam_workload_identity_pool_provider`, of the OIDC kind in all that is tested."""

    type_name = "google_iam_workload_identity_pool_provider"
    force_new = frozenset({"workload_identity_pool_id", "workload_identity_pool_provider_id", "project"})
    kind = "IAMBetaWorkloadIdentityPoolProvider"
    not_sent = Pool.not_sent | {"workload_identity_pool_provider_id"}

    def read(self, api: Api, values: Values) -> Values | None:
        """GET; key sets are compared as JSON."""
        state = super().read(api, values)
        if state is not None:
            for old, new in zip(values.get("oidc") or [], state["oidc"], strict=False):
                if old.get("jwks_json") and new["jwks_json"] and _same(old["jwks_json"], new["jwks_json"]):
                    new["jwks_json"] = old["jwks_json"]
        return state

    def imported(self, identifier: str) -> Values:
        """Give the state that an import begins with, by full name."""
        return {
            **super().imported(identifier),
            "workload_identity_pool_provider_id": identifier.rpartition("/")[2],
        }

    def identifier(self, values: Values) -> str:
        """Give the resource name, with the project as it is configured."""
        return f"{super().identifier(values)}/providers/{values['workload_identity_pool_provider_id']}"

    def parameter(self) -> str:
        """Give the query parameter that names a new one."""
        return "workloadIdentityPoolProviderId"

    def mask(self, prior: Values, values: Values) -> list[str]:
        """Give the update mask; of the OIDC block always all of it, in snake case."""
        names = {
            "display_name": "displayName",
            "description": "description",
            "disabled": "disabled",
            "attribute_mapping": "attributeMapping",
            "attribute_condition": "attributeCondition",
        }
        mask = [names[name] for name in names if kept(prior.get(name), values.get(name)) != prior[name]]
        if prior["oidc"] != values["oidc"]:
            mask += ["oidc.allowed_audiences", "oidc.issuer_uri", "oidc.jwks_json"]
        return mask

    def is_whole(self, api: Api, values: Values) -> bool:
        """Ask nothing further."""
        return True


class ServiceAccount(Resource):
    """`google_service_account`."""

    type_name = "google_service_account"
    force_new = frozenset({"account_id", "project"})

    def plan(self, api: Api, values: Values) -> None:
        """Know the e-mail beforehand."""
        super().plan(api, values)
        account, project = values.get("account_id"), values.get("project")
        if isinstance(account, str) and isinstance(project, str):
            email = f"{account}@{project}.iam.gserviceaccount.com"
            values["email"], values["member"] = email, f"serviceAccount:{email}"

    def create(self, api: Api, values: Values) -> Values:
        """POST, then read until it is seen."""
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
            "display_name": kept(values.get("display_name"), body.get("displayName")),
            "description": kept(values.get("description"), body.get("description")),
            "disabled": kept(values.get("disabled"), body.get("disabled")),
            "deletion_policy": values.get("deletion_policy") or "DELETE",
        }

    def update(self, api: Api, prior: Values, values: Values) -> Values:
        """PATCH with the mask in the body; disabling is a call of its own."""
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
        """DELETE."""
        api.call("iam_beta", "DELETE", values["id"])

    def _body(self, values: Values) -> Values:
        texts = {"displayName": values.get("display_name"), "description": values.get("description")}
        return {name: text for name, text in texts.items() if text}


class ProjectService(Resource):
    """`google_project_service`: adopted if it is enabled already, left alone at the end unless told otherwise."""

    type_name = "google_project_service"
    force_new = frozenset({"service", "project"})

    def create(self, api: Api, values: Values) -> Values:
        """List, and enable what is not there."""
        if not self._is_enabled(api, values):
            path = f"projects/{values['project']}/services/{values['service']}:enable"
            operation = api.call("service_usage", "POST", path, body={})
            api.finish("service_usage", operation)
        return self.found(api, {**values, "id": f"{values['project']}/{values['service']}"})

    def read(self, api: Api, values: Values) -> Values | None:
        """Look the project up, then list."""
        if api.find("resource_manager", f"projects/{values['project']}") is None or not self._is_enabled(api, values):
            return None
        return {**values, "deletion_policy": values.get("deletion_policy") or "DELETE"}

    def update(self, api: Api, prior: Values, values: Values) -> Values:
        """Only flags can change, which are nobody's but Terraform's."""
        return values

    def delete(self, api: Api, values: Values) -> None:
        """Disable only if asked to."""
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


def _same(one: Any, other: Any) -> bool:  # noqa: ANN401 - JSON texts
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False
