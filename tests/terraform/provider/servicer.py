"""Terraform's plugin protocol, version 6, for the resources of the stand-in.

Plans only follow the schema: computed values that are not set are unknown, and a change in `force_new` replaces.
"""

from __future__ import annotations

import json
import traceback
from typing import TYPE_CHECKING, Any

import msgpack
from tf.gen import tfplugin_pb2 as pb
from tf.gen import tfplugin_pb2_grpc

from tests.terraform.provider import accounts, documents, grants, resources
from tests.terraform.provider.api import Api, ApiError, SettingError
from tests.terraform.provider.schemas import DATA, UNKNOWN, Values, planned, schema_message, settle
from tests.terraform.provider.validators import find_problems

if TYPE_CHECKING:
    from collections.abc import Callable

RESOURCES: dict[str, resources.Resource] = {
    resource.type_name: resource
    for resource in (
        resources.Pool(),
        resources.Provider(),
        accounts.ServiceAccount(),
        accounts.ProjectService(),
        grants.ServiceAccountMember(),
        grants.ServiceAccountBinding(),
        grants.ProjectMember(),
        grants.BucketMember(),
        grants.RunServiceMember(),
        grants.AuditConfig(),
        documents.Metric(),
        documents.Alert(),
        documents.OrgPolicy(),
        documents.DenyPolicy(),
    )
}


class Servicer(tfplugin_pb2_grpc.ProviderServicer):  # type: ignore[misc] # generated, untyped
    """Answers Terraform; the protocol defines the names of the methods."""

    def __init__(self) -> None:
        self._api = Api()

    def GetMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802, ANN401
        """Return nothing: Terraform then reads the schema."""
        return pb.GetMetadata.Response()

    def GetProviderSchema(self, request: Any, context: Any) -> Any:  # noqa: N802, ANN401
        """Return the schema."""
        return pb.GetProviderSchema.Response(
            provider=schema_message(DATA["provider"]),
            resource_schemas={name: schema_message(DATA["resource_schemas"][name]) for name in RESOURCES},
        )

    def ValidateProviderConfig(self, request: Any, context: Any) -> Any:  # noqa: N802, ANN401
        """Accept any provider block."""
        return pb.ValidateProviderConfig.Response()

    def ValidateResourceConfig(self, request: Any, context: Any) -> Any:  # noqa: N802, ANN401
        """Refuse what the real provider refuses."""
        found = [_error(text) for text in find_problems(request.type_name, _decoded(request.config))]
        return pb.ValidateResourceConfig.Response(diagnostics=found)

    def ConfigureProvider(self, request: Any, context: Any) -> Any:  # noqa: N802, ANN401
        """Store the settings."""
        self._api = Api(_decoded(request.config) or {})
        return pb.ConfigureProvider.Response()

    def UpgradeResourceState(self, request: Any, context: Any) -> Any:  # noqa: N802, ANN401
        """Return the state as it is; attributes that are new in the schema are null."""
        known = RESOURCES[request.type_name].block
        state = json.loads(request.raw_state.json)
        names = [*known["attributes"], *known.get("block_types", {})]
        return pb.UpgradeResourceState.Response(upgraded_state=_encoded({name: state.get(name) for name in names}))

    def ReadResource(self, request: Any, context: Any) -> Any:  # noqa: N802, ANN401
        """Read."""
        resource = RESOURCES[request.type_name]
        state, errors = _tried(lambda: resource.read(self._api, _decoded(request.current_state)))
        return pb.ReadResource.Response(new_state=_encoded(state), diagnostics=errors, private=request.private)

    def PlanResourceChange(self, request: Any, context: Any) -> Any:  # noqa: N802, ANN401
        """Plan."""
        resource = RESOURCES[request.type_name]
        prior, proposed = _decoded(request.prior_state), _decoded(request.proposed_new_state)
        if proposed is None:
            return pb.PlanResourceChange.Response(planned_state=request.proposed_new_state)
        values = planned(resource.block, proposed, prior)
        resource.plan(self._api, values)
        if prior is not None:
            resource.keep(prior, values)
        changed = [] if prior is None else [name for name in sorted(resource.force_new) if prior[name] != values[name]]
        if changed:
            values = planned(resource.block, _decoded(request.config), None)
            resource.plan(self._api, values)
        return pb.PlanResourceChange.Response(
            planned_state=_encoded(values),
            requires_replace=[pb.AttributePath(steps=[_step(name)]) for name in changed],
            legacy_type_system=True,
        )

    def ApplyResourceChange(self, request: Any, context: Any) -> Any:  # noqa: N802, ANN401
        """Create, update or delete."""
        resource = RESOURCES[request.type_name]
        prior, values = _decoded(request.prior_state), _decoded(request.planned_state)

        def change() -> Values | None:
            if values is None:
                resource.delete(self._api, prior)
                return None
            if prior is None:
                return resource.create(self._api, values)
            return resource.update(self._api, prior, values)

        state, errors = _tried(change)
        shown = prior if errors else settle(state)
        return pb.ApplyResourceChange.Response(new_state=_encoded(shown), diagnostics=errors, legacy_type_system=True)

    def ImportResourceState(self, request: Any, context: Any) -> Any:  # noqa: N802, ANN401
        """Import a pool or a provider by its full name."""
        resource = RESOURCES[request.type_name]
        if not isinstance(resource, resources.Pool):
            return pb.ImportResourceState.Response(
                diagnostics=[_error("the stand-in imports pools and providers only")]
            )
        names = dict.fromkeys(resource.block["attributes"])
        blocks: Values = {name: None if name == "timeouts" else [] for name in resource.block.get("block_types", {})}
        state = {**names, **blocks, **resource.imported(request.id)}
        imported = pb.ImportResourceState.ImportedResource(type_name=request.type_name, state=_encoded(state))
        return pb.ImportResourceState.Response(imported_resources=[imported])

    def StopProvider(self, request: Any, context: Any) -> Any:  # noqa: N802, ANN401
        """Do nothing: every call is short."""
        return pb.StopProvider.Response()


def _tried(action: Callable[[], Values | None]) -> tuple[Values | None, list[Any]]:
    """Run an action; return its result and the messages for the user."""
    try:
        return action(), []
    except (ApiError, SettingError) as error:
        return None, [_error(str(error).removeprefix("googleapi: Error 0: "))]
    except Exception:  # noqa: BLE001 - Terraform shows our own mistake, not a broken pipe
        return None, [_error(traceback.format_exc())]


def _error(text: str) -> Any:  # noqa: ANN401 - a generated class
    return pb.Diagnostic(severity=pb.Diagnostic.ERROR, summary=text)


def _step(name: str) -> Any:  # noqa: ANN401 - a generated class
    return pb.AttributePath.Step(attribute_name=name)


def _decoded(value: Any) -> Any:  # noqa: ANN401 - any value of Terraform's
    if not value.msgpack:
        return json.loads(value.json) if value.json else None
    return msgpack.unpackb(value.msgpack, ext_hook=lambda _code, _data: UNKNOWN)


def _encoded(value: Any) -> Any:  # noqa: ANN401 - any value of Terraform's
    return pb.DynamicValue(msgpack=msgpack.packb(value, default=lambda _: msgpack.ExtType(0, b"\x00")))
