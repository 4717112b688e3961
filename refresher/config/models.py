"""The configuration as frozen models: what each key means, and what its value may be (contract, "Configuration").

One value at a time: what spans several (defaults, references, who needs a subject) is checked in
`refresher.config.references`, targets and their directories in `refresher.config.targets`. Relative paths are absolute
by the time they get here. The descriptions become the JSON Schema and the documentation.

There is no `from __future__ import annotations` here: pydantic reads the annotations when a class is made.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from refresher.settings.listening import UnixSocket
from refresher.settings.model import Settings
from refresher.settings.texts import (
    Audience,
    Name,
    Origin,
    Owner,
    Place,
    PoolId,
    ProjectId,
    ProjectNumber,
    Scope,
    ServiceAccount,
    ServiceAccountEmail,
    Subject,
    UniverseDomain,
)
from refresher.settings.values import (
    AbsolutePath,
    FileMode,
    ImpersonatedLifetime,
    ListenAddress,
)
from refresher.suppliers.registry import AnySupplierSettings


class ProviderSettings(Settings):
    """A workload identity pool provider."""

    project_number: ProjectNumber = Field(
        description="Number of the project that owns the pool: digits, never the project id."
    )
    pool: PoolId = Field(description="Id of the workload identity pool.")
    provider: PoolId = Field(description="Id of the provider in the pool.")
    audience: Audience | None = Field(
        default=None,
        description="Token audience; only if the provider lists allowed audiences. Default: the provider's own name.",
    )


class IdentitySettings(Settings):
    """Who a container is."""

    service_account: ServiceAccount | None = Field(
        default=None, description="The target principal, e-mail or unique id. Without it: direct resource access."
    )
    subject: Subject | None = Field(
        default=None, description="The `sub` claim, at most 127 bytes; where the supplier lets us choose it."
    )
    supplier: Name | None = Field(default=None, description="Which of `suppliers`. Default: the only one.")
    lifetime: ImpersonatedLifetime | None = Field(
        default=None, description="Of impersonated tokens, 600s to 43200s. Default: the client's."
    )
    delegates: tuple[ServiceAccountEmail, ...] = Field(
        default=(), description="Impersonation chain, e-mails, caller side first."
    )
    scopes: tuple[Scope, ...] = Field(default=(), description="Of access tokens that we mint. Default: cloud-platform.")
    quota_project: ProjectId | None = Field(default=None, description="Id of the project that pays quota.")
    source_service_account: ServiceAccountEmail | None = Field(
        default=None,
        description="Account that the ID token is for; only with a supplier that goes via generate_id_token.",
    )
    via: Literal["federation", "impersonation"] = Field(
        default="federation",
        description="How further artifacts are minted: by exchanging the subject token, or straight from the worker's "
        "own credentials, which need no pool.",
    )
    credentials: AbsolutePath | None = Field(
        default=None,
        description="google-auth credentials file to impersonate with; only with via: impersonation. Default: the "
        "metadata server.",
    )
    shared_identity: bool = Field(
        default=False,
        description="Says that it is meant when its subject is another identity's too, with another service account.",
    )


class IdTokenSettings(Settings):
    """A Google-signed ID token to publish."""

    audience: Audience = Field(description="The `aud` claim: the URL of the service that is called.")
    include_email: bool = Field(default=False, description="Add the account's e-mail, as IAP wants it.")


class ArtifactSettings(Settings):
    """What else to publish in a credentials directory."""

    access_token: bool = Field(default=False, description="A service-account access token (gcloud, curl, DuckDB).")
    id_tokens: Mapping[Name, IdTokenSettings] = Field(default={}, description="Google-signed ID tokens, by name.")
    boto: bool = Field(default=False, description="A boto file for gsutil.")


class TargetSettings(Settings):
    """Where: one credentials directory for one container. A drop-in holds one of these."""

    identity: Name | None = Field(default=None, description="Which of `identities`. Default: the target's own name.")
    directory: Place | None = Field(
        default=None, description="The credentials directory, below directory_root. Default: directory_root/NAME."
    )
    container_directory: Place | None = Field(
        default=None, description="Where the container mounts it. Default: the same as directory."
    )
    owner: Owner | None = Field(
        default=None, description="Of the files: USER or USER:GROUP, names or numbers of the host. Default: the daemon."
    )
    mode: FileMode = Field(
        default=0o400,
        description='Of the files, octal digits as text. Default: "0400".',
        json_schema_extra={"default": "0400"},
    )
    artifacts: ArtifactSettings = Field(
        default_factory=ArtifactSettings.none_given, description="What else to publish."
    )


class EndpointSettings(Settings):
    """Origins of Google's services: SCHEME://HOST[:PORT], without a path."""

    sts: Origin | None = Field(default=None, description="Security Token Service.")
    iam_credentials: Origin | None = Field(default=None, description="IAM Service Account Credentials API.")
    cloud_kms: Origin | None = Field(default=None, description="Cloud KMS API.")
    metadata: Origin | None = Field(default=None, description="Metadata server.")


class GoogleSettings(Settings):
    """Which Google: only for another universe, a regional STS, or the emulator."""

    universe_domain: UniverseDomain = Field(default="googleapis.com", description="Default: googleapis.com.")
    endpoints: EndpointSettings = Field(
        default_factory=EndpointSettings.none_given, description="Origins other than the universe's own."
    )
    ca_file: AbsolutePath | None = Field(
        default=None,
        description="Further certificates to trust for those endpoints; relative to the file that names it.",
    )
    emulator: bool = Field(
        default=False, description="Needed for any origin outside the universe domain; plain http only on loopback."
    )


class Configuration(Settings):
    """A configuration of refresher, with everything that it includes."""

    version: Literal[1] = Field(description="Of this format: 1.")
    include: tuple[str, ...] = Field(
        default=(), description="Further files, relative to this one; maps are merged, other values must agree."
    )
    providers: Mapping[Name, ProviderSettings] = Field(default={}, description="Workload identity pool providers.")
    project: ProjectId | None = Field(default=None, description="Id; becomes every target's GOOGLE_CLOUD_PROJECT.")
    suppliers: Mapping[Name, AnySupplierSettings] = Field(
        default={}, description="What mints or fetches subject tokens."
    )
    identities: Mapping[Name, IdentitySettings] = Field(default={}, description="Who containers are.")
    directory_root: Place = Field(
        default="/run/refresher",
        description="Every credentials directory lies below it, and nothing of others. Default: /run/refresher.",
    )
    targets: Mapping[Name, TargetSettings] = Field(default={}, description="Where: credentials directories.")
    targets_directory: AbsolutePath | None = Field(
        default=None, description="Directory of drop-ins: NAME.yaml holds one target's body."
    )
    listen: ListenAddress = Field(
        default=UnixSocket(path=Path("/run/refresher.sock")),
        description="unix:/PATH, HOST:PORT, [IPV6]:PORT or none. Default: unix:/run/refresher.sock.",
        json_schema_extra={"default": "unix:/run/refresher.sock"},
    )
    google: GoogleSettings = Field(default_factory=GoogleSettings.none_given, description="Which Google.")
