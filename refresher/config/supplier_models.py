"""The kinds of suppliers as frozen models: what each key means, and what its value may be (contract, "Configuration").

There is no `from __future__ import annotations` here: pydantic reads the annotations when a class is made.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from refresher.files import read_state
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
    Text,
)


class SupplierSettings(Settings):
    """What all kinds of suppliers share, and what the checks between entries ask of each.

    The checks know no kind by its name: a kind overrides what is different for it, and checks its own keys in `check`.
    """

    needs_subject: ClassVar[bool] = False
    """Whether the supplier mints the subject that it is asked for, so that an identity must have one."""

    kind: Text
    provider: Name | None = Field(default=None, description="Which of `providers`. Default: the only one.")

    @property
    def needs_source_service_account(self) -> bool:
        """Whether each identity must name the service account that its token is for; else none may."""
        return False

    @property
    def token_lifetime(self) -> timedelta | None:
        """How long its tokens live, where the key `lifetime` decides it; else None."""
        return None

    def list_warnings(self) -> Iterable[Problem]:
        """Return what is allowed and yet worth a warning."""
        return ()

    def subject_source(self, *, subject: str | None, pool: object) -> tuple[object, ...] | None:  # noqa: ARG002 - for kinds that override it
        """Return what chooses the subject where the supplier alone knows it.

        Two identities for which one kind returns equal sources have one subject, and Google cannot tell them apart.

        Args:
            subject: The identity's; None if it has none.
            pool: Stands for the pool that takes the tokens; part of the source where a token is for one pool alone.

        Returns:
            None where each identity gets a subject of its own.
        """
        return None

    def file_paths(self) -> Iterable[tuple[str, Path]]:
        """Return the files that the supplier reads, each with the key that names it; defaults are left out."""
        return ()


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

    @property
    def token_lifetime(self) -> timedelta:
        """The configured lifetime."""
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

    def file_paths(self) -> Iterator[tuple[str, Path]]:
        """Return the credentials file; the keys directory has checks of its own."""
        if self.credentials is not None:
            yield "credentials", self.credentials


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

    @property
    def needs_source_service_account(self) -> bool:
        """Whether generateIdToken is called, for an account of each identity."""
        return self.via == "generate_id_token"

    def check(self) -> Iterator[Problem]:
        """Check that credentials are used."""
        if "credentials" in self.node and self.via == "metadata_server" and "via" not in self.broken:
            clause = "is not used by a supplier that asks the metadata server"
            yield self.problem(clause, "delete it, or add via: generate_id_token", "credentials", at_key=True)

    def subject_source(self, *, subject: str | None, pool: object) -> tuple[object, ...] | None:  # noqa: ARG002 - the kind knows none
        """Return the pool: the machine's account is one subject in it."""
        return None if self.needs_source_service_account else (pool,)

    def file_paths(self) -> Iterator[tuple[str, Path]]:
        """Return the credentials file."""
        if self.credentials is not None:
            yield "credentials", self.credentials


class GoogleAccessTokenSettings(SupplierSettings):
    """The literal source access token as subject token, which the real STS refuses for workload pools."""

    kind: Annotated[Literal["google_access_token"], Choice()] = Field(description="An opaque access token; see accept_unsupported.")
    accept_unsupported: Flag = Field(
        default=False,
        json_schema_extra={"const": True, "default": None},
        description="Must be true: the real STS refuses opaque access tokens for workload pools.",
    )
    credentials: AbsolutePath | None = Field(
        default=None, description="google-auth credentials file. Default: the metadata server."
    )

    def check(self) -> Iterator[Problem]:
        """Check that the user knows that Google refuses these tokens."""
        if not self.accept_unsupported and "accept_unsupported" not in self.broken:
            clause = "is not true, and the real STS refuses opaque access tokens for workload pools"
            remedy = "use google_id_token instead, or accept it with accept_unsupported: true"
            yield self.problem(clause, remedy, "accept_unsupported")

    def list_warnings(self) -> Iterator[Problem]:
        """Warn in any case."""
        clause = "issues access tokens, which the real STS refuses for workload pools"
        yield self.problem(clause, "use google_id_token")

    def subject_source(self, *, subject: str | None, pool: object) -> tuple[object, ...] | None:  # noqa: ARG002 - one account for all
        """Return the credentials file, or what stands for the metadata server."""
        return (None if self.credentials is None else _identify(self.credentials),)

    def file_paths(self) -> Iterator[tuple[str, Path]]:
        """Return the credentials file."""
        if self.credentials is not None:
            yield "credentials", self.credentials


class FileSettings(SupplierSettings):
    """A subject token that another program keeps fresh in a file."""

    kind: Annotated[Literal["file"], Choice()] = Field(description="Read from a file that another program renews.")
    path: AbsolutePath = Field(description="The file; relative to the file that names it.")
    issuer: Issuer | None = Field(default=None, description="The `iss` that its tokens must carry. Default: any.")

    def subject_source(self, *, subject: str | None, pool: object) -> tuple[object, ...] | None:  # noqa: ARG002 - one token for all
        """Return the file."""
        return (_identify(self.path),)

    def file_paths(self) -> Iterator[tuple[str, Path]]:
        """Return the file."""
        yield "path", self.path


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

    def subject_source(self, *, subject: str | None, pool: object) -> tuple[object, ...] | None:  # noqa: ARG002 - the program is not told
        """Return the command line, unless it tells the program which identity the token is for."""
        written = "\0".join(self.argv)
        if "{identity}" in written or ("{subject}" in written and subject is not None):
            return None
        program, *arguments = self.argv
        place, name = os.path.split(program)  # a program may do something else when it is called by another name
        return (_identify(place), name, *map(_identify, arguments))

    def file_paths(self) -> Iterator[tuple[str, Path]]:
        """Return the program."""
        yield "argv", Path(self.argv[0])


class SignJwtSettings(SupplierSettings):
    """Subject tokens that a service account signs: Google holds the key."""

    needs_subject = True

    kind: Annotated[Literal["sign_jwt"], Choice()] = Field(description="Signed by Google with a key of a service account.")
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

    @property
    def token_lifetime(self) -> timedelta:
        """The configured lifetime."""
        return self.lifetime

    def file_paths(self) -> Iterator[tuple[str, Path]]:
        """Return the credentials file."""
        if self.credentials is not None:
            yield "credentials", self.credentials


class ClientCredentialsSettings(SupplierSettings):
    """JWT access tokens that an OpenID provider issues to a client (RFC 6749, section 4.4)."""

    kind: Annotated[Literal["client_credentials"], Choice()] = Field(description="Issued by an OpenID provider to a client.")
    issuer: Issuer = Field(description="The `iss` that its tokens carry; its discovery document names the token URL.")
    token_url: TokenUrl | None = Field(default=None, description="The token endpoint. Default: discovered.")
    client_id: ClientText = Field(description="The client, as the issuer knows it.")
    authentication: Annotated[
        Literal["client_secret_basic", "client_secret_post", "private_key_jwt"], Choice()
    ] = Field(
        default="client_secret_basic",
        description="How the client proves who it is: by a secret, or by a key of its own (RFC 7523).",
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

    def subject_source(self, *, subject: str | None, pool: object) -> tuple[object, ...] | None:  # noqa: ARG002 - of the client
        """Return the issuer and the client."""
        return self.issuer, self.client_id

    def file_paths(self) -> Iterator[tuple[str, Path]]:
        """Return the file with the secret."""
        if self.secret_file is not None:
            yield "secret_file", self.secret_file


_MOUNTED = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its own token and its cluster's authority."""


class KubernetesSettings(SupplierSettings):
    """Tokens of Kubernetes service accounts, requested by the daemon's own (TokenRequest API)."""

    needs_subject = True

    kind: Annotated[Literal["kubernetes"], Choice()] = Field(description="Of the service account that the identity's subject names.")
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

    @property
    def token_lifetime(self) -> timedelta:
        """The configured lifetime."""
        return self.lifetime

    def file_paths(self) -> Iterator[tuple[str, Path]]:
        """Return the files that are configured: the pod's own are only in the pod."""
        if "ca_file" in self.model_fields_set:
            yield "ca_file", self.ca_file
        if "token_file" in self.model_fields_set:
            yield "token_file", self.token_file


def _identify(value: str | Path) -> object:
    """Return what a file is, by whatever path or link it is reached, and the text of anything else."""
    text = str(value)
    if not text.startswith("/"):
        return text
    state = read_state(text)
    return os.path.normpath(text) if state is None else (state.device, state.inode)


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
