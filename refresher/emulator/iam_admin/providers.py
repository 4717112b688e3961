"""Workload identity pool providers: create, read, update, delete softly, undelete.

https://cloud.google.com/iam/docs/reference/rest/v1/projects.locations.workloadIdentityPools.providers. The rules for
their settings are in `refresher.emulator.iam_admin.provider_rules`.
"""

import json
from collections.abc import Mapping
from typing import Any

from refresher.emulator.cloud import Cloud
from refresher.emulator.errors import Refusal, api_refusal
from refresher.emulator.fields import apply_mask, read_mask
from refresher.emulator.http import Call, Reply, Route, read_flag, read_object, read_text, read_texts
from refresher.emulator.iam_admin.fields import check_id, drop_empty, read_names, show_deletion
from refresher.emulator.iam_admin.operations import start_operation
from refresher.emulator.iam_admin.pools import POOL, authorize, find_pool
from refresher.emulator.iam_admin.provider_rules import KINDS, check_provider, read_key_set
from refresher.emulator.org_policy import allows_value
from refresher.emulator.quotas import POOL_WRITES
from refresher.emulator.state import Provider, is_gone, pool_name

CONSTRAINT = "iam.workloadIdentityPoolProviders"
_MASK: dict[str, tuple[str, ...]] = {
    "displayName": ("display_name",),
    "description": ("description",),
    "disabled": ("disabled",),
    "attributeMapping": ("mapping",),
    "attributeCondition": ("condition",),
    "oidc": ("issuer", "allowed_audiences", "jwks"),
    "oidc.issuerUri": ("issuer",),
    "oidc.allowedAudiences": ("allowed_audiences",),
    "oidc.jwksJson": ("jwks",),
    **dict.fromkeys(("aws", "aws.accountId", "saml", "saml.idpMetadataXml", "x509", "x509.trustStore"), ("settings",)),
}
"""The attribute that each path of an update mask changes."""


def create(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Create a provider. The id of a deleted provider cannot be used again for 30 days (T7)."""
    number = authorize(cloud, call, names["project"], "iam.workloadIdentityPoolProviders.create")
    cloud.quotas.spend(POOL_WRITES, number, cloud.now())
    provider_id = call.query.get("workloadIdentityPoolProviderId", "")
    check_id(provider_id, field="workloadIdentityPoolProviderId")
    pool = find_pool(cloud, number, names["pool"])
    if pool.deleted_at is not None:
        raise api_refusal("not_found")
    if pool.mode not in ("", "FEDERATION_ONLY"):
        raise api_refusal("precondition", problem="Providers can only be in pools of the mode FEDERATION_ONLY.")
    provider = _read_provider(call.json())
    _check_org_policy(cloud, number, provider)
    taken = pool.providers.get(provider_id)
    if taken is not None and not is_gone(taken.deleted_at, cloud.now()):
        raise api_refusal("T7")
    pool.providers[provider_id] = provider
    return Reply(document=start_operation(cloud, _name(number, names["pool"], provider_id)))


def get(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Show a provider; a deleted one for 30 days."""
    number = authorize(cloud, call, names["project"], "iam.workloadIdentityPoolProviders.get")
    provider = _find(cloud, number, names["pool"], names["provider"])
    return Reply(document=_describe(provider, _name(number, names["pool"], names["provider"])))


def list_(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """List the providers of a pool."""
    number = authorize(cloud, call, names["project"], "iam.workloadIdentityPoolProviders.list")
    with_deleted = call.query.get("showDeleted", "").lower() == "true"
    providers = [
        _describe(provider, _name(number, names["pool"], provider_id))
        for provider_id, provider in find_pool(cloud, number, names["pool"]).providers.items()
        if not is_gone(provider.deleted_at, cloud.now()) and (with_deleted or provider.deleted_at is None)
    ]
    return Reply(document={"workloadIdentityPoolProviders": providers} if providers else {})


def update(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Change the fields of the mask; a field that is not in the body is cleared."""
    number = authorize(cloud, call, names["project"], "iam.workloadIdentityPoolProviders.update")
    cloud.quotas.spend(POOL_WRITES, number, cloud.now())
    provider = _find_live(cloud, number, names)
    paths, body = read_mask(call.query.get("updateMask", ""), _MASK), call.json()
    if any(kind in body for kind in KINDS if kind != provider.kind):
        raise api_refusal("immutable")
    wanted = _read_provider(apply_mask(_describe(provider, ""), body, paths))
    _check_org_policy(cloud, number, wanted)
    for path in paths:
        for field in _MASK[path]:
            setattr(provider, field, getattr(wanted, field))
    return Reply(document=start_operation(cloud, _name(number, names["pool"], names["provider"])))


def delete(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Delete a provider; it can be undeleted for 30 days."""
    number = authorize(cloud, call, names["project"], "iam.workloadIdentityPoolProviders.delete")
    cloud.quotas.spend(POOL_WRITES, number, cloud.now())
    _find_live(cloud, number, names).deleted_at = cloud.now()
    return Reply(document=start_operation(cloud, _name(number, names["pool"], names["provider"])))


def undelete(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Undelete a provider."""
    number = authorize(cloud, call, names["project"], "iam.workloadIdentityPoolProviders.undelete")
    provider = _find(cloud, number, names["pool"], names["provider"])
    if provider.deleted_at is None:
        raise api_refusal("precondition", problem="The provider is not deleted.")
    provider.deleted_at = None
    return Reply(document=start_operation(cloud, _name(number, names["pool"], names["provider"])))


def _read_provider(body: Mapping[str, Any]) -> Provider:
    kinds = [kind for kind in KINDS if body.get(kind) is not None]
    if len(kinds) != 1:
        raise api_refusal("invalid", problem="Exactly one of aws, oidc, saml and x509 must be set.")
    settings, mapping = read_object(body, kinds[0]), read_object(body, "attributeMapping")
    condition = read_text(body, "attributeCondition")
    issuer = read_text(settings, "issuerUri") if kinds[0] == "oidc" else ""
    provider = Provider(
        **read_names(body),
        disabled=read_flag(body, "disabled"),
        kind=kinds[0],
        issuer=issuer,
        allowed_audiences=read_texts(settings, "allowedAudiences") if kinds[0] == "oidc" else [],
        mapping=mapping,
        condition=condition,
        settings={} if kinds[0] == "oidc" else settings,
    )
    check_provider(provider)
    provider.jwks = read_key_set(read_text(settings, "jwksJson")) if kinds[0] == "oidc" else None
    return provider


def _check_org_policy(cloud: Cloud, number: str, provider: Provider) -> None:
    value = {"oidc": provider.issuer, "aws": "https://sts.amazonaws.com"}.get(provider.kind, "KEY_UPLOAD")
    project = cloud.state.find_project(number)
    if project is not None and not allows_value(cloud, project[0], CONSTRAINT, value, default=True):
        refused = api_refusal("T1")
        violation = {
            "type": f"constraints/{CONSTRAINT}",
            "subject": f"projects/{number}",
            "description": f"Org Policy violated for value: '{value}'.",
        }
        details = [{"@type": "type.googleapis.com/google.rpc.PreconditionFailure", "violations": [violation]}]
        raise Refusal(refused.status, {"error": refused.document["error"] | {"details": details}}, "T1")


def _describe(provider: Provider, name: str) -> dict[str, Any]:
    settings: dict[str, Any] = provider.settings
    if provider.kind == "oidc":
        settings = drop_empty(
            {
                "issuerUri": provider.issuer,
                "allowedAudiences": provider.allowed_audiences,
                "jwksJson": json.dumps(provider.jwks) if provider.jwks is not None else "",
            }
        )
    return drop_empty(
        {
            "name": name,
            "displayName": provider.display_name,
            "description": provider.description,
            "disabled": provider.disabled,
            "attributeMapping": provider.mapping,
            "attributeCondition": provider.condition,
            provider.kind: settings,
            **show_deletion(provider.deleted_at),
        }
    )


def _find(cloud: Cloud, number: str, pool: str, provider: str) -> Provider:
    found = find_pool(cloud, number, pool).providers.get(provider)
    if found is None or is_gone(found.deleted_at, cloud.now()):
        raise api_refusal("not_found")
    return found


def _find_live(cloud: Cloud, number: str, names: Mapping[str, str]) -> Provider:
    provider = _find(cloud, number, names["pool"], names["provider"])
    if provider.deleted_at is not None:
        raise api_refusal("not_found")
    return provider


def _name(number: str, pool: str, provider: str) -> str:
    return f"{pool_name(number, pool)}/providers/{provider}"


_PROVIDERS = f"{POOL}/providers"
_PROVIDER = f"{_PROVIDERS}/{{provider}}"
_IAM = "iam.workloadIdentityPoolProviders"

ROUTES = (
    Route(f"{_IAM}.create", "POST", _PROVIDERS, create, changes=True),
    Route(f"{_IAM}.list", "GET", _PROVIDERS, list_),
    Route(f"{_IAM}.get", "GET", _PROVIDER, get),
    Route(f"{_IAM}.patch", "PATCH", _PROVIDER, update, changes=True),
    Route(f"{_IAM}.delete", "DELETE", _PROVIDER, delete, changes=True),
    Route(f"{_IAM}.undelete", "POST", f"{_PROVIDER}:undelete", undelete, changes=True),
)
