"""The configuration as frozen models: what each key means, and what its value may be (contract, "Configuration").

Each model checks between its own keys. What spans entries (references, subjects, defaults) is checked in
`refresher.config.checks`, owners and groups in `refresher.config.targets`. The descriptions become the JSON Schema
(`configs/schema.json` is a copy of it) and the documentation.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import Field, ValidationInfo
from pydantic_core import core_schema

from refresher.config.google import GoogleSettings
from refresher.settings import fields, values
from refresher.settings.model import ByName, Settings
from refresher.settings.places import Map, Problem, Value
from refresher.suppliers.interface import KINDS, SupplierSettings, load_kind
from refresher.text import quote

_LEAST_PORT = 1024
_FOLDED = str.maketrans("-.", "__")
"""Characters of names that become one in the names of variables."""


class ProviderSettings(Settings):
    """A workload identity pool provider."""

    project_number: fields.ProjectNumber = Field(
        description="Number of the project that owns the pool: digits, never the project id."
    )
    pool: fields.PoolId = Field(description="Id of the workload identity pool.")
    provider: fields.PoolId = Field(description="Id of the provider in the pool.")
    audience: fields.Audience | None = Field(
        default=None,
        description="Token audience; only if the provider lists allowed audiences. Default: the provider's own name.",
    )


class UnknownSupplier(Settings):
    """A supplier whose kind is unknown: that is reported, and of its other keys only the provider is read."""

    kind: Annotated[str, fields.choice_field(KINDS)] = Field(examples=[f"one of {', '.join(KINDS)}"])
    provider: fields.Name | None = None


class SupplierOfKind:
    """Annotation of a supplier: its `kind` decides which model reads it."""

    def __get_pydantic_core_schema__(self, *_: object) -> core_schema.CoreSchema:
        return core_schema.with_info_plain_validator_function(_read_supplier)

    def __get_pydantic_json_schema__(self, _: object, handler: Any) -> dict[str, Any]:  # noqa: ANN401 - pydantic's signature
        kinds = {name: load_kind(name) for name in KINDS}
        for kind in kinds.values():
            kind.model_rebuild()
        choices = {name: kind.__pydantic_core_schema__ for name, kind in kinds.items()}
        written: dict[str, Any] = handler(core_schema.tagged_union_schema(choices, "kind"))
        return written


def _read_supplier(node: Map, info: ValidationInfo) -> Settings:
    written = node.get("kind")
    problems = cast("list[Problem]", info.context)
    if isinstance(written, Value) and written.text in KINDS:
        return load_kind(written.text).read(node, problems)
    part = type(node)(node.place, node.label, node.path)  # a Part if it was refused already
    part |= {key: node[key] for key in ("kind", "provider") if key in node}
    return UnknownSupplier.read(part, problems)


class IdentitySettings(Settings):
    """Who a container is."""

    retired: ClassVar[Mapping[str, tuple[str, str]]] = {
        "provider": (
            "is a key of a supplier, not of an identity",
            "delete it; the identity's supplier names its provider",
        )
    }

    service_account: fields.ServiceAccount | None = Field(
        default=None, description="The target principal, e-mail or unique id. Without it: direct resource access."
    )
    subject: fields.Subject | None = Field(
        default=None,
        description="The `sub` claim, as the supplier writes it. The provider must shorten more than 127 bytes.",
    )
    supplier: fields.Name | None = Field(default=None, description="Which of `suppliers`. Default: the only one.")
    lifetime: values.ImpersonatedLifetime | None = Field(
        default=None, description="Lifetime of impersonated tokens, 600s to 43200s. Default: the client's."
    )
    delegates: tuple[fields.ServiceAccountEmail, ...] = Field(
        default=(), description="Impersonation chain, e-mails, caller side first."
    )
    scopes: tuple[fields.Scope, ...] = Field(
        default=(), description="Scopes of access tokens that we mint. Default: cloud-platform."
    )
    quota_project: fields.ProjectId | None = Field(default=None, description=fields.QUOTA_PROJECT)
    source_service_account: fields.ServiceAccountEmail | None = Field(
        default=None,
        description="Account that the ID token is for; only with a supplier that goes via generate_id_token.",
    )
    via: Annotated[Literal["federation", "impersonation"], fields.Choice()] = Field(
        default="federation",
        description="How the service account is reached: by exchanging the subject token, or by the worker's own "
        "credentials, which need no pool, provider or supplier.",
    )
    credentials: values.AbsolutePath | None = Field(
        default=None,
        description="google-auth credentials file to impersonate with; only with via: impersonation. Default: the "
        "metadata server.",
    )
    canary: values.CanaryInterval | None = Field(
        default=None, description="Least time between two probes of this identity, or off. Default: the main `canary`."
    )
    shared_identity: values.Flag = Field(
        default=False,
        description="Accept that another identity has the same subject and another service account, or that one group "
        "can read the files of both. Needed on both.",
    )

    def check(self) -> Iterator[Problem]:
        """Check that what goes with `via` fits it."""
        if self.via == "federation" and self.credentials is not None and "via" not in self.broken:
            clause, remedy = "is used only with via: impersonation", "delete it, or add via: impersonation"
            yield self.problem(clause, remedy, "credentials", at_key=True)
        if self.via != "impersonation":
            return
        if self.service_account is None and "service_account" not in self.broken:
            clause = "has no service_account, which via: impersonation needs"
            yield self.problem(clause, "add service_account: E-MAIL to it")
        for key in ("subject", "supplier", "source_service_account"):
            if getattr(self, key) is not None:
                clause = "is not used with via: impersonation, which needs no pool"
                yield self.problem(clause, "delete it, or delete via: to exchange tokens at a pool", key, at_key=True)


class IdTokenSettings(Settings):
    """A Google-signed ID token to publish."""

    audience: fields.Audience = Field(description="The `aud` claim: the URL of the service that is called.")
    include_email: values.Flag = Field(default=False, description="Add the account's e-mail, which IAP needs.")


class ArtifactSettings(Settings):
    """The optional artifacts of a credentials directory."""

    access_token: values.Flag = Field(
        default=False, description="A service-account access token (gcloud, curl, DuckDB)."
    )
    id_tokens: ByName[IdTokenSettings] = Field(default={}, description="Google-signed ID tokens, by name.")
    boto: values.Flag = Field(default=False, description="A boto file for gsutil.")

    def check(self) -> Iterator[Problem]:
        """Check that each ID token has a variable of its own, which names its file."""
        seen: dict[str, str] = {}
        for name in self.id_tokens:
            other = seen.setdefault(name.translate(_FOLDED), name)
            if other != name:
                clause = f"gets the same variable as {other}: its name differs only in - . _"
                yield self.problem(clause, "rename one of them", "id_tokens", name, at_key=True)


class MetadataSettings(Settings):
    """The GCE metadata endpoint of one container, in the container's own network namespace."""

    netns: fields.Namespace = Field(
        description="Path of the container's network namespace; or own, for the daemon's (a sidecar in a pod).",
        examples=["/run/netns/NAME"],
    )
    port: values.Port = Field(default=8174, description="Port on 127.0.0.1. Default: 8174.")
    link_local: values.Flag = Field(
        default=False, description="Whether 169.254.169.254:80 answers too, for clients that read no variables."
    )

    def check(self) -> Iterator[Problem]:
        """Check that the port is not one of those that programs of root have."""
        if self.port < _LEAST_PORT:
            yield self.problem(f"is {self.port}, a port of root's programs", "choose one from 1024 on", "port")


class TargetSettings(Settings):
    """Where: the credentials directory of one container. A drop-in holds one of these."""

    retired: ClassVar[Mapping[str, tuple[str, str]]] = {
        "directory": (
            "is no longer a key: the directory of target NAME is always directory_root/NAME",
            "delete it and mount that directory; to keep the path that the container sees, set container_directory",
        )
    }

    identity: fields.Name | None = Field(
        default=None, description="Which of `identities`. Default: the target's own name."
    )
    container_directory: fields.Place | None = Field(
        default=None,
        description="Where the container mounts the credentials directory. Default: directory_root/NAME.",
    )
    owner: fields.Owner | None = Field(
        default=None,
        description="Owner of the files: :GROUP, USER or USER:GROUP, names or numbers. Default: the daemon.",
    )
    mode: values.FileMode | None = Field(
        default=None, description="Mode of the files, octal digits as for chmod. Default: 0400; with a group 0440."
    )
    artifacts: ArtifactSettings = Field(
        default_factory=ArtifactSettings.make_default, description="Optional artifacts to publish."
    )
    environment: Annotated[Literal["files", "metadata", "both"], fields.Choice()] = Field(
        default="files",
        description="Which variables `env` holds: those that name the files, those that name the metadata endpoint, or "
        "both. Default: files.",
    )
    metadata: MetadataSettings | None = Field(
        default=None, description="The GCE metadata endpoint inside the container's network namespace."
    )

    def check(self) -> Iterator[Problem]:
        """Check that there is a metadata endpoint if the variables name it."""
        if self.environment != "files" and self.metadata is None and "metadata" not in self.broken:
            clause = f"is {self.environment}, and the target has no metadata endpoint"
            remedy = "add metadata: {netns: /run/netns/NAME} to the target, or delete environment:"
            yield self.problem(clause, remedy, "environment")


def _read_version(value: Value) -> int:
    if value.text != "1" or not value.is_plain:
        is_number = value.is_plain and value.text.isdigit()
        raise fields.refuse(f"is {value.text[:8] if is_number else quote(value.text)}", "use 1")
    return 1


class Configuration(Settings):
    """A configuration of refresher, with everything that it includes."""

    version: Annotated[int, fields.NodeField(_read_version, {"type": "integer", "const": 1})] = Field(
        description="Configuration format version; must be 1.", examples=[1]
    )
    include: tuple[values.Text, ...] = Field(
        default=(), description="Further files, relative to this one; maps are merged, other values must agree."
    )
    providers: ByName[ProviderSettings] = Field(default={}, description="Workload identity pool providers.")
    project: fields.ProjectId | None = Field(
        default=None, description="Id; becomes every target's GOOGLE_CLOUD_PROJECT."
    )
    suppliers: ByName[Annotated[SupplierSettings, SupplierOfKind()]] = Field(
        default={}, description="What mints or fetches subject tokens."
    )
    identities: ByName[IdentitySettings] = Field(default={}, description="Identities that containers can act as.")
    directory_root: fields.Place = Field(
        default="/run/refresher",
        description="Holds the credentials directory of every target, directory_root/NAME. Default: /run/refresher.",
    )
    targets: ByName[TargetSettings] = Field(default={}, description="Where: the credentials directories, by name.")
    targets_directory: values.AbsolutePath | None = Field(
        default=None, description="Directory of drop-ins: NAME.yaml holds one target's body."
    )
    canary: values.CanaryInterval = Field(
        default="5m",
        validate_default=True,
        description="Least time between two probes of an identity, 1m to 24h, or off: a probe exchanges its token and "
        "impersonates, to see whether Google still accepts it. Default: 5m.",
    )
    listen: values.ListenAddress = Field(
        default="unix:/run/refresher-status/http.sock",
        validate_default=True,
        description="Where the daemon answers HTTP (status page, probes, metrics): unix:/PATH, HOST:PORT, [IPV6]:PORT "
        "or none. Default: unix:/run/refresher-status/http.sock.",
    )
    listen_group: fields.Group | None = Field(
        default=None, description="Group that may ask at a unix socket of `listen`. Default: the daemon's own."
    )
    google: GoogleSettings = Field(
        default_factory=GoogleSettings.make_default, description="Google endpoints and universe."
    )


def build_schema() -> str:
    """Return the schema (draft 2020-12), always the same text for the same models, with a newline at the end."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_as_written(Configuration.model_json_schema()),
        "title": "refresher configuration",
    }
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _as_written(node: dict[str, Any]) -> dict[str, Any]:
    """Return only what a user may write: pydantic adds None for a key left out, and titles from the names of keys."""
    kept = {key: value for key, value in node.items() if not (key == "title" and isinstance(value, str))}
    if kept.get("default", 0) is None:
        del kept["default"]
    variants = [variant for variant in kept.pop("anyOf", []) if variant != {"type": "null"}]
    if len(variants) == 1:
        kept = {**variants[0], **kept}
    elif variants:
        kept["anyOf"] = variants
    return {key: _as_written(value) if isinstance(value, dict) else value for key, value in kept.items()}
