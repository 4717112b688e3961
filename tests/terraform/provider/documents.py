"""Resources that are a document of some API: log metrics, alert policies, organisation and deny policies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tests.terraform.provider.resources import Resource
from tests.terraform.provider.schemas import Values, camel, from_api, to_api

if TYPE_CHECKING:
    from tests.terraform.provider.api import Api

_TRUTHS = ("allow_all", "deny_all", "enforce")


class Document(Resource):
    """One document; subclasses define its path and the names of its parts."""

    service = ""
    not_sent = frozenset({"id", "project", "deletion_policy", "etag"})

    def path(self, values: Values) -> str:
        """Return the path for reading and deleting."""
        raise NotImplementedError

    def read(self, api: Api, values: Values) -> Values | None:
        """GET."""
        body = api.find(self.service, self.path(values))
        if body is None:
            return None
        state = from_api(self.block, body, values, omit=self.not_sent)
        return {**state, "deletion_policy": values.get("deletion_policy") or "DELETE"}

    def delete(self, api: Api, values: Values) -> None:
        """DELETE."""
        api.call(self.service, "DELETE", self.path(values))


class Metric(Document):
    """`google_logging_metric`."""

    type_name = "google_logging_metric"
    service = "logging"
    force_new = frozenset({"name", "project"})

    def path(self, values: Values) -> str:
        """Return the path of the metric, whose slash is encoded."""
        return f"projects/{values['project']}/metrics/{quote(values['name'], safe='')}"

    def create(self, api: Api, values: Values) -> Values:
        """POST."""
        api.call("logging", "POST", f"projects/{values['project']}/metrics", body=self._body(values))
        return self.found(api, {**values, "id": values["name"]})

    def update(self, api: Api, prior: Values, values: Values) -> Values:
        """PUT the whole document."""
        api.call("logging", "PUT", self.path(values), body=self._body(values))
        return self.found(api, values)

    def _body(self, values: Values) -> Values:
        return to_api(self.block, values, omit=self.not_sent)


class Alert(Document):
    """`google_monitoring_alert_policy`, whose name the server chooses."""

    type_name = "google_monitoring_alert_policy"
    service = "monitoring"
    force_new = frozenset({"project"})
    not_sent = Document.not_sent | {"name", "creation_record"}

    def plan(self, api: Api, values: Values) -> None:
        """Set the default."""
        super().plan(api, values)
        values["enabled"] = True if values.get("enabled") is None else values["enabled"]

    def path(self, values: Values) -> str:
        """Return the server's name."""
        return f"v3/{values['id']}"

    def read(self, api: Api, values: Values) -> Values | None:
        """GET; its name is its id."""
        state = super().read(api, values)
        if state is not None:
            body = api.get("monitoring", self.path(values))
            for condition, told in zip(state["conditions"], body["conditions"], strict=True):
                condition["name"] = told.get("name")
        return state and {**state, "name": values["id"], "creation_record": values.get("creation_record") or []}

    def create(self, api: Api, values: Values) -> Values:
        """POST."""
        made = api.call("monitoring", "POST", f"v3/projects/{values['project']}/alertPolicies", body=self._body(values))
        return self.found(api, {**values, "id": made["name"]})

    def update(self, api: Api, prior: Values, values: Values) -> Values:
        """PATCH the changed fields."""
        mask = ",".join(camel(name) for name in values if name not in self.not_sent and prior[name] != values[name])
        api.call("monitoring", "PATCH", self.path(values), query={"updateMask": mask}, body=self._body(values))
        return self.found(api, values)

    def _body(self, values: Values) -> Values:
        return {"enabled": True, **to_api(self.block, values, omit=self.not_sent)}


class OrgPolicy(Document):
    """`google_org_policy_policy`, whose truth values are texts in Terraform and booleans in the API."""

    type_name = "google_org_policy_policy"
    service = "org_policy"
    force_new = frozenset({"name", "parent"})
    not_sent = Document.not_sent | {"name", "parent"}

    def keep(self, prior: Values, values: Values) -> None:
        """Keep the name as it was read, which is short."""
        if values["name"] in (prior["name"], prior["id"]):
            values["name"] = prior["name"]

    def path(self, values: Values) -> str:
        """Return its whole name."""
        return str(values["id"])

    def read(self, api: Api, values: Values) -> Values | None:
        """GET, with booleans as texts; the name in the state is short from now on."""
        body = api.find("org_policy", self.path(values))
        if body is None:
            return None
        for spec in (body.get("spec"), body.get("dryRunSpec")):
            for rule in (spec or {}).get("rules", []):
                for name in map(camel, _TRUTHS):
                    if rule.get(name) is not None:
                        rule[name] = str(rule[name]).upper()
        state = from_api(self.block, body, values, omit=self.not_sent)
        policy = values.get("deletion_policy") or "DELETE"
        return {**state, "name": values["id"].rpartition("/")[2], "etag": body.get("etag"), "deletion_policy": policy}

    def create(self, api: Api, values: Values) -> Values:
        """POST to the parent; the state has the configured name until it is read."""
        body = {"name": values["name"], **self._body(values)}
        api.call("org_policy", "POST", f"{values['parent']}/policies", body=body)
        return {**self.found(api, {**values, "id": values["name"]}), "name": values["name"]}

    def update(self, api: Api, prior: Values, values: Values) -> Values:
        """PATCH the specifications; one that is in the mask and not in the body is removed."""
        names = (("spec", "policy.spec"), ("dry_run_spec", "policy.dryRunSpec"))
        mask = ",".join(path for name, path in names if values.get(name) != prior.get(name))
        body = self._body(values)
        api.call("org_policy", "PATCH", self.path(values), query={"updateMask": mask}, body=body)
        return {**self.found(api, values), "name": values["name"]}

    def _body(self, values: Values) -> Values:
        body: Values = {}
        for name, key in (("spec", "spec"), ("dry_run_spec", "dryRunSpec")):
            if values.get(name):
                body[key] = _specification(values[name][0])
        return body


class DenyPolicy(Document):
    """`google_iam_deny_policy`, at an attachment point whose slashes stay encoded."""

    type_name = "google_iam_deny_policy"
    service = "iam2"
    force_new = frozenset({"name", "parent"})
    not_sent = Document.not_sent | {"name", "parent"}

    def path(self, values: Values) -> str:
        """Return its path."""
        return f"policies/{values['parent']}/denypolicies/{values['name']}"

    def create(self, api: Api, values: Values) -> Values:
        """POST, then wait."""
        path = f"policies/{values['parent']}/denypolicies"
        operation = api.call("iam2", "POST", path, query={"policyId": values["name"]}, body=self._body(values))
        api.finish("iam2", operation)
        return self.found(api, {**values, "id": f"{values['parent']}/{values['name']}"})

    def read(self, api: Api, values: Values) -> Values | None:
        """GET."""
        state = super().read(api, values)
        if state is not None:
            state["etag"] = api.get("iam2", self.path(values)).get("etag")
        return state

    def update(self, api: Api, prior: Values, values: Values) -> Values:
        """PUT the whole document."""
        body = {**self._body(values), "etag": prior.get("etag")}
        api.finish("iam2", api.call("iam2", "PUT", self.path(values), body=body))
        return self.found(api, values)

    def delete(self, api: Api, values: Values) -> None:
        """DELETE, then wait."""
        api.finish("iam2", api.call("iam2", "DELETE", self.path(values)))

    def _body(self, values: Values) -> Values:
        return to_api(self.block, values, omit=self.not_sent)


def _specification(spec: Values) -> Values:
    rules = []
    for rule in spec.get("rules") or []:
        body: dict[str, Any] = {camel(name): _truth(rule.get(name)) for name in _TRUTHS}
        if rule.get("values"):
            found = rule["values"][0]
            body["values"] = {
                camel(name): found[name] for name in ("allowed_values", "denied_values") if found.get(name)
            }
        if rule.get("parameters"):
            body["parameters"] = rule["parameters"]
        rules.append(body)
    known = {"etag": spec.get("etag"), "updateTime": spec.get("update_time")}
    return {
        "inheritFromParent": bool(spec.get("inherit_from_parent")),
        "reset": bool(spec.get("reset")),
        "rules": rules,
        **{name: text for name, text in known.items() if isinstance(text, str)},
    }


def _truth(text: str | None) -> bool | None:
    return None if not text else text.upper() == "TRUE"
