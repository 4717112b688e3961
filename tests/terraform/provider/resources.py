"""The base of the stand-in's resources, and those of federation: pools and providers.

Each makes the same calls as provider 7.45 (recorded), without its waits: the emulator is consistent at once.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.terraform.provider.api import ApiError
from tests.terraform.provider.schemas import UNKNOWN, Values, block_of, choose_value, from_api, to_api

if TYPE_CHECKING:
    from tests.terraform.provider.api import Api

PROTECTED = 'cannot destroy {} without setting deletion_policy="DELETE" and running `terraform apply`'


class Resource:
    """One type of resource.

    Attributes:
        type_name: As in a configuration.
        force_new: The fields that cannot change in place.
        has_project: Whether it is in the provider's project by default.
    """

    type_name = ""
    force_new: frozenset[str] = frozenset()
    has_project = True

    @property
    def block(self) -> Values:
        """The schema of the resource."""
        return block_of(self.type_name)

    def plan(self, api: Api, values: Values) -> None:
        """Fill in the values that the real provider knows before apply."""
        if self.has_project and "project" in self.block["attributes"] and values.get("project") is UNKNOWN:
            values["project"] = api.project or UNKNOWN

    def keep(self, prior: Values, values: Values) -> None:
        """Keep the prior values that the real provider considers equal to the planned ones."""

    def create(self, api: Api, values: Values) -> Values:
        """Create the resource; return its state."""
        raise NotImplementedError

    def read(self, api: Api, values: Values) -> Values | None:
        """Return the present state; None if the resource is gone."""
        raise NotImplementedError

    def update(self, api: Api, prior: Values, values: Values) -> Values:
        """Change the resource in place; return its state."""
        raise NotImplementedError

    def delete(self, api: Api, values: Values) -> None:
        """Delete the resource."""
        raise NotImplementedError

    def found(self, api: Api, values: Values) -> Values:
        """Read what was just written.

        Raises:
            ApiError: It does not exist.
        """
        state = self.read(api, values)
        if state is None:
            raise ApiError(404, f"{self.type_name} was written and is not there")
        return state


class Pool(Resource):
    """`google_iam_workload_identity_pool`: created, changed and deleted through operations; deleted softly."""

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
        """GET; a softly deleted pool is gone."""
        body = api.find("iam_beta", values["id"])
        if body is None or body.get("state") == "DELETED" or not self.is_whole(api, values):
            return None
        state = from_api(self.block, body, values, omit=self.not_sent)
        state["name"] = body["name"]
        state["deletion_policy"] = values.get("deletion_policy") or "DELETE"
        return state

    def update(self, api: Api, prior: Values, values: Values) -> Values:
        """PATCH exactly the changed fields; a change of the deletion policy only sends nothing."""
        mask = self.mask(prior, values)
        if mask:
            operation = api.call(
                "iam_beta", "PATCH", values["id"], query={"updateMask": ",".join(mask)}, body=self.body(values)
            )
            api.finish("iam_beta", operation)
        return self.found(api, values)

    def delete(self, api: Api, values: Values) -> None:
        """DELETE, unless the pool is protected or abandoned."""
        if values.get("deletion_policy") == "PREVENT":
            raise ApiError(0, PROTECTED.format(self.kind))
        if values.get("deletion_policy") != "ABANDON":
            api.finish("iam_beta", api.call("iam_beta", "DELETE", values["id"]))

    def imported(self, identifier: str) -> Values:
        """Return the state at the start of an import, by full name."""
        _, project, _, _, _, pool, *_ = identifier.split("/")
        return {"id": identifier, "project": project, "workload_identity_pool_id": pool}

    def identifier(self, values: Values) -> str:
        """Return the resource name, with the project as it is configured."""
        return (
            f"projects/{values['project']}/locations/global/workloadIdentityPools/{values['workload_identity_pool_id']}"
        )

    def parameter(self) -> str:
        """Return the query parameter with the id of a new resource."""
        return "workloadIdentityPoolId"

    def body(self, values: Values) -> Values:
        """Return the body to send."""
        return to_api(self.block, values, omit=self.not_sent)

    def mask(self, prior: Values, values: Values) -> list[str]:
        """Return the update mask."""
        names = {"display_name": "displayName"}
        return [
            names.get(name, name)
            for name in self.masked
            if choose_value(prior.get(name), values.get(name)) != prior[name]
        ]

    def is_whole(self, api: Api, values: Values) -> bool:
        """Read the attestation rules, without which the real provider considers a pool gone."""
        return api.find("iam_beta", f"{values['id']}:listAttestationRules") is not None


class Provider(Pool):
    """`google_iam_workload_identity_pool_provider`; the tests only use the OIDC kind."""

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
        """Return the state at the start of an import, by full name."""
        return {
            **super().imported(identifier),
            "workload_identity_pool_provider_id": identifier.rpartition("/")[2],
        }

    def identifier(self, values: Values) -> str:
        """Return the resource name, with the project as it is configured."""
        return f"{super().identifier(values)}/providers/{values['workload_identity_pool_provider_id']}"

    def parameter(self) -> str:
        """Return the query parameter with the id of a new resource."""
        return "workloadIdentityPoolProviderId"

    def mask(self, prior: Values, values: Values) -> list[str]:
        """Return the update mask; always with the whole OIDC block, in snake case."""
        names = {
            "display_name": "displayName",
            "description": "description",
            "disabled": "disabled",
            "attribute_mapping": "attributeMapping",
            "attribute_condition": "attributeCondition",
        }
        mask = [names[name] for name in names if choose_value(prior.get(name), values.get(name)) != prior[name]]
        if prior["oidc"] != values["oidc"]:
            mask += ["oidc.allowed_audiences", "oidc.issuer_uri", "oidc.jwks_json"]
        return mask

    def is_whole(self, api: Api, values: Values) -> bool:
        """Read nothing else."""
        return True


def _same(one: Any, other: Any) -> bool:  # noqa: ANN401 - JSON texts
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False
