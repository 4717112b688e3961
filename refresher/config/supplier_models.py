"""The kinds of suppliers as frozen models: what each key means, and what its value may be (contract, "Configuration").

There is no `from __future__ import annotations` here: pydantic reads the annotations when a class is created.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from refresher.settings.fields import Choice
from refresher.settings.model import Settings
from refresher.settings.problems import Problem
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
    Flag,
    RequestedLifetime,
    SignedLifetime,
    SuppliedLifetime,
)
from refresher.tokens import ACCESS_TOKEN_TYPE, JWT_TYPE


class SupplierSettings(Settings):
    """The settings that all kinds share, and what each kind declares; the checks know no kind by its name.

    A kind overrides what is different for it, and checks between its own keys in `check`.

    Attributes:
        kind: Name of the kind; each kind narrows it to one literal.
        provider: Name of the provider that accepts its tokens; None for the only one.
        needs_subject: Whether the kind mints the subject that it is asked for, so that an identity must have one.
        is_audience_bound: Whether each token is minted for the provider's audience, so that no other pool accepts it.
        token_type: URN of what it supplies (RFC 8693, section 3).
    """

    needs_subject: ClassVar[bool] = False
    is_audience_bound: ClassVar[bool] = False
    token_type: ClassVar[str] = JWT_TYPE

    kind: str
    provider: Name | None = Field(default=None, description="Which of `providers`. Default: the only one.")

    @property
    def needs_source_service_account(self) -> bool:
        """Whether its tokens are of the identity's `source_service_account`, so that an identity must have one."""
        return False

    @property
    def configured_lifetime(self) -> timedelta | None:
        """From `iat` to `exp` as configured; None where the supplier alone knows it."""
        return None

    def subject_source(self, *, has_subject: bool = True) -> tuple[object, ...] | None:  # noqa: ARG002 - for kinds that override it
        """Return what chooses the subject where the supplier alone knows it.

        Equal results mean one subject. The elements are declared keys: text, numbers, None, and paths of this machine,
        which are compared by the file that they lead to.

        Args:
            has_subject: Whether the identity concerned has a configured subject.

        Returns:
            None where each identity gets a subject of its own.
        """
        return None

    def file_paths(self) -> tuple[tuple[str, Path], ...]:
        """Return key and path of every file that the configuration names and that the supplier reads or runs."""
        return tuple(
            (key, path)
            for key in type(self).model_fields
            if key in self.model_fields_set and isinstance(path := getattr(self, key), Path)
        )


class SignerSettings(Settings):
    """A signing key that never comes to the worker."""

    kms: KeyVersionName = Field(
        description="Version of a key in Cloud KMS with the algorithm EC_SIGN_P256_SHA256, by its resource name."
    )


class SelfIssuedSettings(SupplierSettings):
    """Subject tokens signed with our own key; the provider holds the public half."""

    needs_subject = True

    kind: Annotated[Literal["self_issued"], Choice()] = Field(description="Signed with our own key.")
    issuer: Issuer = Field(description="The `iss` claim: https, a domain you own or one below .invalid.")
    keys: AbsolutePath | None = Field(
        default=None,
        description="The keys directory, created by `refresher keys new`; relative to the file that names it.",
    )
    signer: SignerSettings | None = Field(default=None, description="Instead of `keys`: a key that is elsewhere.")
    lifetime: SuppliedLifetime = Field(
        default=timedelta(hours=1),
        description="Lifetime of each subject token, 2s to 24h. Default: 1h.",
        json_schema_extra={"default": "1h"},
    )
    claims: Mapping[ClaimName, ClaimValue] = Field(
        default={}, description="Further constant claims, to be mapped to attributes."
    )
    credentials: AbsolutePath | None = Field(
        default=None,
        description="google-auth credentials file that asks the `signer`. Default: the metadata server.",
    )

    @property
    def configured_lifetime(self) -> timedelta:
        """From `iat` to `exp`."""
        return self.lifetime

    def check(self) -> Iterator[Problem]:
        """Check that there is one key, and that credentials are used."""
        given = self.node.keys() & {"keys", "signer"}
        if len(given) != 1:
            remedy = "delete one of them" if given else "add keys: DIRECTORY, or signer: {kms: …}"
            yield self.problem("needs one of keys and signer", remedy)
        elif "credentials" in self.node and "signer" not in given:
            clause = "is not used by a supplier that signs with its own keys"
            yield self.problem(clause, "delete it", "credentials", at_key=True)


class GoogleIdTokenSettings(SupplierSettings):
    """Google-signed ID tokens as subject tokens."""

    kind: Annotated[Literal["google_id_token"], Choice()] = Field(description="Signed by Google for a service account.")
    via: Annotated[Literal["metadata_server", "generate_id_token"], Choice()] = Field(
        default="metadata_server",
        description="The machine's own account, or generateIdToken for each identity's source_service_account.",
    )
    credentials: AbsolutePath | None = Field(
        default=None,
        description="google-auth credentials file that calls generateIdToken. Default: the metadata server.",
    )

    is_audience_bound = True

    @property
    def needs_source_service_account(self) -> bool:
        """Whether generateIdToken is called, for an account of each identity."""
        return self.via == "generate_id_token"

    def check(self) -> Iterator[Problem]:
        """Check that credentials are used."""
        if "credentials" in self.node and self.via == "metadata_server" and "via" not in self.broken:
            clause = "is not used by a supplier that asks the metadata server"
            yield self.problem(clause, "delete it, or add via: generate_id_token", "credentials", at_key=True)

    def subject_source(self, *, has_subject: bool = True) -> tuple[object, ...] | None:  # noqa: ARG002 - the kind knows none
        """Return what stands for the machine's account; None where each identity has a source service account."""
        return None if self.needs_source_service_account else (self.kind,)


class GoogleAccessTokenSettings(SupplierSettings):
    """The literal source access token as subject token, which the real STS refuses for workload pools."""

    kind: Annotated[Literal["google_access_token"], Choice()] = Field(
        description="An opaque access token; see accept_unsupported."
    )
    accept_unsupported: Flag = Field(
        default=False,
        json_schema_extra={"const": True, "default": None},
        description="Must be true: the real STS refuses opaque access tokens for workload pools.",
    )
    credentials: AbsolutePath | None = Field(
        default=None, description="google-auth credentials file. Default: the metadata server."
    )

    token_type = ACCESS_TOKEN_TYPE

    def check(self) -> Iterator[Problem]:
        """Check that the user knows that Google refuses these tokens."""
        if not self.accept_unsupported and "accept_unsupported" not in self.broken:
            clause = "is not true, and the real STS refuses opaque access tokens for workload pools"
            remedy = "use google_id_token instead, or accept it with accept_unsupported: true"
            yield self.problem(clause, remedy, "accept_unsupported")

    def subject_source(self, *, has_subject: bool = True) -> tuple[object, ...] | None:  # noqa: ARG002 - one account for all
        """Return the credentials: their access token is the token of every identity."""
        return (self.kind, self.credentials)


class FileSettings(SupplierSettings):
    """A subject token that another program keeps fresh in a file."""

    kind: Annotated[Literal["file"], Choice()] = Field(description="Read from a file that another program renews.")
    path: AbsolutePath = Field(description="The file; relative to the file that names it.")
    issuer: Issuer | None = Field(default=None, description="The `iss` that its tokens must carry. Default: any.")

    def subject_source(self, *, has_subject: bool = True) -> tuple[object, ...] | None:  # noqa: ARG002 - one token for all
        """Return the file."""
        return (self.kind, self.path)


class CommandSettings(SupplierSettings):
    """A subject token that a program prints."""

    kind: Annotated[Literal["command"], Choice()] = Field(description="Printed by a program.")
    argv: Argv = Field(
        description="Absolute path of the program and its arguments; {identity}, {subject}, {audience} are filled in."
    )
    timeout: CommandTimeout = Field(
        default=timedelta(seconds=10),
        description="How long it may take, 1s to 2m. Default: 10s.",
        json_schema_extra={"default": "10s"},
    )
    environment: tuple[VariableName, ...] = Field(
        default=(), description="Names of the daemon's variables that it gets, in addition to PATH, HOME and LANG."
    )
    issuer: Issuer | None = Field(default=None, description="The `iss` that its tokens must carry. Default: any.")

    def subject_source(self, *, has_subject: bool = True) -> tuple[object, ...] | None:
        """Return the command line, the program by its directory and the name it is called by.

        None if an argument differs with the identity.
        """
        text = "\0".join(self.argv)
        if "{identity}" in text or ("{subject}" in text and has_subject):
            return None
        program = Path(self.argv[0])
        return (self.kind, program.parent, program.name, *self.argv[1:])

    def file_paths(self) -> tuple[tuple[str, Path], ...]:
        """Return the program."""
        return (("argv", Path(self.argv[0])),)


class SignJwtSettings(SupplierSettings):
    """Subject tokens that a service account signs: Google holds the key."""

    needs_subject = True

    kind: Annotated[Literal["sign_jwt"], Choice()] = Field(
        description="Signed by Google with a key of a service account."
    )
    issuer: Issuer = Field(
        description="The `iss` claim: a URL of your own that serves the document of `refresher discovery`."
    )
    service_account: ServiceAccountEmail = Field(description="The account that signs.")
    lifetime: SignedLifetime = Field(
        default=timedelta(hours=1),
        description="Lifetime of each subject token, 2s to 12h. Default: 1h.",
        json_schema_extra={"default": "1h"},
    )
    claims: Mapping[ClaimName, ClaimValue] = Field(
        default={}, description="Further constant claims, to be mapped to attributes."
    )
    credentials: AbsolutePath | None = Field(
        default=None, description="google-auth credentials file that calls signJwt. Default: the metadata server."
    )

    @property
    def configured_lifetime(self) -> timedelta:
        """From `iat` to `exp`."""
        return self.lifetime


class ClientCredentialsSettings(SupplierSettings):
    """JWT access tokens that an OpenID provider issues to a client (RFC 6749, section 4.4)."""

    kind: Annotated[Literal["client_credentials"], Choice()] = Field(
        description="Issued by an OpenID provider to a client."
    )
    issuer: Issuer = Field(description="The `iss` that its tokens carry; its discovery document names the token URL.")
    token_url: TokenUrl | None = Field(default=None, description="The token endpoint. Default: discovered.")
    client_id: ClientText = Field(description="The client, as the issuer knows it.")
    authentication: Annotated[Literal["client_secret_basic", "client_secret_post", "private_key_jwt"], Choice()] = (
        Field(
            default="client_secret_basic",
            description="How the client proves who it is: by a secret, or by a key of its own (RFC 7523).",
        )
    )
    secret_file: AbsolutePath | None = Field(
        default=None, description="The secret, or the private key in PEM; no other user may read it."
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

    def check(self) -> Iterator[Problem]:
        """Check that there is one secret."""
        given = self.node.keys() & {"secret_file", "secret_variable"}
        if len(given) != 1:
            remedy = "delete one of them" if given else "add one of them"
            yield self.problem("needs one of secret_file and secret_variable", remedy)

    def subject_source(self, *, has_subject: bool = True) -> tuple[object, ...] | None:  # noqa: ARG002 - of the client
        """Return the client: its token is the token of every identity."""
        return (self.kind, self.issuer, self.client_id)


_MOUNTED = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its own token and its cluster's authority."""


class KubernetesSettings(SupplierSettings):
    """Tokens of Kubernetes service accounts, requested by the daemon's own (TokenRequest API)."""

    needs_subject = True

    kind: Annotated[Literal["kubernetes"], Choice()] = Field(
        description="Issued for the service account that the identity's subject names."
    )
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
        description="Lifetime of each subject token, 10m to 24h; the API server may shorten it. Default: 1h.",
        json_schema_extra={"default": "1h"},
    )
    issuer: Issuer | None = Field(default=None, description="The `iss` that its tokens must carry. Default: any.")

    @property
    def configured_lifetime(self) -> timedelta:
        """From `iat` to `exp`."""
        return self.lifetime


KINDS: dict[str, type[SupplierSettings]] = {
    "self_issued": SelfIssuedSettings,
    "google_id_token": GoogleIdTokenSettings,
    "google_access_token": GoogleAccessTokenSettings,
    "file": FileSettings,
    "command": CommandSettings,
    "sign_jwt": SignJwtSettings,
    "client_credentials": ClientCredentialsSettings,
    "kubernetes": KubernetesSettings,
}
"""The kinds by their names, in the order in which messages list them."""
