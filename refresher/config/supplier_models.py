"""The kinds of suppliers as frozen models: what each key means, and what its value may be (contract, "Configuration").

There is no `from __future__ import annotations` here: pydantic reads the annotations when a class is made.
"""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from refresher.settings.model import Settings
from refresher.settings.parsing import Parsed, refused
from refresher.settings.texts import (
    ApiServer,
    ClaimName,
    ClientText,
    Issuer,
    KeyVersionName,
    Name,
    ParameterName,
    ServiceAccountEmail,
    TokenUrl,
    VariableName,
)
from refresher.settings.values import (
    AbsolutePath,
    Argv,
    ClaimValue,
    CommandTimeout,
    RequestedLifetime,
    SignedLifetime,
    SuppliedLifetime,
)


def _parse_acceptance(value: object) -> Literal[True]:
    if value is not True:
        raise refused(
            "is not true, and the real STS refuses opaque access tokens for workload pools",
            "use google_id_token instead, or accept it with accept_unsupported: true",
        )
    return True


class _SupplierSettings(Settings):
    provider: Name | None = Field(default=None, description="Which of `providers`. Default: the only one.")


class SignerSettings(Settings):
    """A signing key that never comes to the worker."""

    kms: KeyVersionName = Field(
        description="Version of a key in Cloud KMS with the algorithm EC_SIGN_P256_SHA256, by its resource name."
    )


class SelfIssuedSettings(_SupplierSettings):
    """Subject tokens signed with our own key; the provider holds the public half."""

    kind: Literal["self_issued"] = Field(description="Signed with our own key.")
    issuer: Issuer = Field(description="The `iss` claim: https, a domain you own or one below .invalid.")
    keys: AbsolutePath | None = Field(
        default=None,
        description="The keys directory, made by `refresher keys new`; relative to the file that names it.",
    )
    signer: SignerSettings | None = Field(default=None, description="Instead of `keys`: a key that is elsewhere.")
    lifetime: SuppliedLifetime = Field(
        default=timedelta(hours=1),
        description="Of each subject token, 2s to 24h. Default: 1h.",
        json_schema_extra={"default": "1h"},
    )
    claims: Mapping[ClaimName, ClaimValue] = Field(
        default={}, description="Further constant claims, to be mapped to attributes."
    )
    credentials: AbsolutePath | None = Field(
        default=None,
        description="google-auth credentials file that asks the `signer`. Default: the metadata server.",
    )


class GoogleIdTokenSettings(_SupplierSettings):
    """Google-signed ID tokens as subject tokens."""

    kind: Literal["google_id_token"] = Field(description="Signed by Google for a service account.")
    via: Literal["metadata_server", "generate_id_token"] = Field(
        default="metadata_server",
        description="The machine's own account, or generateIdToken for each identity's source_service_account.",
    )
    credentials: AbsolutePath | None = Field(
        default=None,
        description="google-auth credentials file that calls generateIdToken. Default: the metadata server.",
    )


class GoogleAccessTokenSettings(_SupplierSettings):
    """The literal source access token as subject token, which the real STS refuses for workload pools."""

    kind: Literal["google_access_token"] = Field(description="An opaque access token; see accept_unsupported.")
    accept_unsupported: Annotated[bool, Parsed(_parse_acceptance, {"const": True})] = Field(
        default=False,
        validate_default=True,
        json_schema_extra={"default": None},
        description="Must be true: the real STS refuses opaque access tokens for workload pools.",
    )
    credentials: AbsolutePath | None = Field(
        default=None, description="google-auth credentials file. Default: the metadata server."
    )


class FileSettings(_SupplierSettings):
    """A subject token that somebody else keeps fresh in a file."""

    kind: Literal["file"] = Field(description="Read from a file that somebody else renews.")
    path: AbsolutePath = Field(description="The file; relative to the file that names it.")
    issuer: Issuer | None = Field(default=None, description="The `iss` that its tokens must carry. Default: any.")


class CommandSettings(_SupplierSettings):
    """A subject token that a program prints."""

    kind: Literal["command"] = Field(description="Printed by a program.")
    argv: Argv = Field(
        description="Absolute path of the program and its arguments; {identity}, {subject}, {audience} are filled in."
    )
    timeout: CommandTimeout = Field(
        default=timedelta(seconds=10),
        description="How long it may take, 1s to 2m. Default: 10s.",
        json_schema_extra={"default": "10s"},
    )
    environment: tuple[VariableName, ...] = Field(
        default=(), description="Names of the daemon's variables that it gets, beside PATH, HOME and LANG."
    )
    issuer: Issuer | None = Field(default=None, description="The `iss` that its tokens must carry. Default: any.")


class SignJwtSettings(_SupplierSettings):
    """Subject tokens that a service account signs: Google holds the key."""

    kind: Literal["sign_jwt"] = Field(description="Signed by Google with a key of a service account.")
    issuer: Issuer = Field(
        description="The `iss` claim: a URL of your own that serves the document of `refresher discovery`."
    )
    service_account: ServiceAccountEmail = Field(description="The account that signs.")
    lifetime: SignedLifetime = Field(
        default=timedelta(hours=1),
        description="Of each subject token, 2s to 12h. Default: 1h.",
        json_schema_extra={"default": "1h"},
    )
    claims: Mapping[ClaimName, ClaimValue] = Field(
        default={}, description="Further constant claims, to be mapped to attributes."
    )
    credentials: AbsolutePath | None = Field(
        default=None, description="google-auth credentials file that calls signJwt. Default: the metadata server."
    )


class ClientCredentialsSettings(_SupplierSettings):
    """JWT access tokens of an OpenID provider, had as a client of it (RFC 6749, section 4.4)."""

    kind: Literal["client_credentials"] = Field(description="Given by an OpenID provider to a client.")
    issuer: Issuer = Field(description="The `iss` that its tokens carry; its discovery document names the token URL.")
    token_url: TokenUrl | None = Field(default=None, description="The token endpoint. Default: discovered.")
    client_id: ClientText = Field(description="The client, as the issuer knows it.")
    authentication: Literal["client_secret_basic", "client_secret_post", "private_key_jwt"] = Field(
        default="client_secret_basic",
        description="How the client proves who it is: by a secret, or by a key of its own (RFC 7523).",
    )
    secret_file: AbsolutePath | None = Field(
        default=None, description="The secret, or the private key in PEM; others may not read it."
    )
    secret_variable: VariableName | None = Field(
        default=None, description="Instead of a file: the daemon's variable that holds it."
    )
    key_id: ClientText | None = Field(
        default=None, description="`kid` of the client's key. Default: its RFC 7638 thumbprint."
    )
    parameters: Mapping[ParameterName, ClientText] = Field(
        default={}, description="Further parameters of the request, such as scope, audience or resource."
    )


_MOUNTED = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its own token and its cluster's authority."""


class KubernetesSettings(_SupplierSettings):
    """Tokens of Kubernetes service accounts, requested by the daemon's own (TokenRequest API)."""

    kind: Literal["kubernetes"] = Field(description="Of the service account that the identity's subject names.")
    api_server: ApiServer = Field(
        default="https://kubernetes.default.svc",
        description="Origin of the API server. Default: https://kubernetes.default.svc.",
    )
    ca_file: AbsolutePath = Field(
        default=_MOUNTED / "ca.crt",
        description="Certificates that the API server is trusted by; a change is followed. Default: the pod's own.",
        json_schema_extra={"default": str(_MOUNTED / "ca.crt")},
    )
    token_file: AbsolutePath = Field(
        default=_MOUNTED / "token",
        description="The token that the daemon asks with. Default: the pod's own.",
        json_schema_extra={"default": str(_MOUNTED / "token")},
    )
    lifetime: RequestedLifetime = Field(
        default=timedelta(hours=1),
        description="Of each subject token, 10m to 24h; the API server may shorten it. Default: 1h.",
        json_schema_extra={"default": "1h"},
    )
    issuer: Issuer | None = Field(default=None, description="The `iss` that its tokens must carry. Default: any.")


SupplierSettings = (
    SelfIssuedSettings
    | GoogleIdTokenSettings
    | GoogleAccessTokenSettings
    | FileSettings
    | CommandSettings
    | SignJwtSettings
    | ClientCredentialsSettings
    | KubernetesSettings
)
