"""What a kind of supplier is: what it is configured with, what it declares of itself, and what it supplies.

A kind is one file in this package and one line in `KINDS`. Its settings answer every question
that the checks and the composition root ask, so that neither knows a kind by name. A supplier mints or fetches; when
it is asked is decided in `refresher.policy`, whether a token is worth publishing in `refresher.engine.refresh`, where
it goes in `refresher.publishing`.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from pydantic import Field

from refresher.errors import SupplyError
from refresher.resources import Endpoints
from refresher.settings.fields import ClaimName, Issuer, Name
from refresher.settings.model import Settings
from refresher.settings.values import ClaimValue
from refresher.tokens import JWT_TYPE, AccessToken, ExpectedClaims, SubjectToken, UnreadableTokenError, peek

if TYPE_CHECKING:
    from refresher.google.call import Transport
    from refresher.google.chain import IamCredentials
    from refresher.google.source_credentials import SourceCredential


@dataclass(frozen=True, slots=True, kw_only=True)
class SupplierContext:
    """For whom a token is wanted (google-auth's word for the same thing).

    Attributes:
        identity: The identity's name, for messages; safe to log.
        subject: The `sub` the token must carry; None where the supplier alone knows it.
        audience: The token audience: the `aud` the provider accepts.
        source_service_account: E-mail of the account that a Google-signed token is for; None where it has no account.
    """

    identity: str
    subject: str | None
    audience: str
    source_service_account: str | None = None


class Supplier(Protocol):
    """Mints or fetches subject tokens.

    It keeps no token: sharing among the targets of one identity is the engine's. One supplier serves many identities
    and many threads at once.
    """

    def supply(self, context: SupplierContext, now: datetime) -> SubjectToken:
        """Return a token for one identity, as fresh as it can be obtained.

        Args:
            context: For whom.
            now: The wall clock's time, aware, UTC; becomes `iat` where the supplier mints.

        Raises:
            SupplyError: No token is available. `retryable` shows whether that may pass by itself.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What building a supplier may need of the world.

    Attributes:
        endpoints: Where Google's services are.
        transport: Returns the transport that all share, created when it is first needed; a `ConfigurationError` shows
            that `google.ca_file` or the proxy of the environment can't be used.
        trust: Returns a transport that trusts the certificates in a file, as they are at each call; messages name the
            file's key.
        environment: The daemon's own variables.
        random: Returns a new unguessable text, for `jti`.
    """

    endpoints: Endpoints
    transport: Callable[[], "Transport"]
    trust: Callable[[Path, str], "Transport"]
    environment: Mapping[str, str]
    random: Callable[[], str]
    _opened: "dict[Path | None, SourceCredential]" = field(default_factory=dict, init=False, repr=False)

    def open_credentials(self, path: Path | None) -> "SourceCredential":
        """Return the worker's own Google credentials, the same for all: of a file, or of the metadata server (None)."""
        from refresher.google.source_credentials import open_credentials

        if path not in self._opened:
            opened = open_credentials(path, self.transport(), metadata=self.endpoints.metadata)
            self._opened.setdefault(path, opened)  # two threads may come here at once
        return self._opened[path]

    def open_iam_credentials(self, access_token: AccessToken) -> "IamCredentials":
        """Return the IAM Credentials API, asked with an access token."""
        from refresher.google.chain import IamCredentials

        return IamCredentials(transport=self.transport(), endpoints=self.endpoints, access_token=access_token.value)


KINDS = {
    "self_issued": "SelfIssuedSettings",
    "google_id_token": "GoogleIdTokenSettings",
    "google_access_token": "GoogleAccessTokenSettings",
    "file": "FileSettings",
    "command": "CommandSettings",
    "sign_jwt": "SignJwtSettings",
    "client_credentials": "ClientCredentialsSettings",
    "kubernetes": "KubernetesSettings",
}
"""Each kind, which is its module too, and its settings model; in the order of messages and of the documentation."""


def load_kind(kind: str) -> "type[SupplierSettings]":
    """Return the settings model of a kind; its module is imported now, since most kinds are not configured."""
    found: type[SupplierSettings] = getattr(import_module(f"refresher.suppliers.{kind}"), KINDS[kind])
    return found


def read_token(text: str, problem: str, remedy: str, *, retryable: bool = True) -> SubjectToken:
    """Return the JWT that a supplier obtained, or raise a `SupplyError` that adds to the problem what it is instead."""
    try:
        return peek(text)
    except UnreadableTokenError as error:
        raise SupplyError(f"{problem}: {error}", remedy, retryable=retryable) from error


class SupplierSettings(Settings):
    """The settings that all kinds share, and what each kind declares.

    Attributes:
        kind: Name of the kind; each kind narrows it to one literal, by which pydantic distinguishes kinds.
        provider: Name of the provider that accepts its tokens; None for the only one.
        needs_subject: Whether the kind mints the subject that it is asked for, so that an identity must have one.
        composes_subject: Whether it writes `sub` itself, so that no provider has to shorten it.
        is_audience_bound: Whether each token is minted for the provider's audience, so that no other pool accepts it.
        token_type: URN of what it supplies (RFC 8693, section 3).
        uploads_keys: Whether its public keys have to be uploaded (`published_jwks`); else Google discovers them.
        lifetime_range: Least and longest life that may be asked for token by token; None where it isn't ours to choose.
    """

    kind: str
    provider: Name | None = Field(default=None, description="Which of `providers`. Default: the only one.")

    needs_subject: ClassVar[bool] = False
    composes_subject: ClassVar[bool] = False
    is_audience_bound: ClassVar[bool] = False
    token_type: ClassVar[str] = JWT_TYPE
    uploads_keys: ClassVar[bool] = False
    lifetime_range: ClassVar[tuple[timedelta, timedelta] | None] = None

    @property
    def needs_source_service_account(self) -> bool:
        """Whether its tokens are of the identity's `source_service_account`, so that an identity must have one."""
        return False

    @property
    def is_local(self) -> bool:
        """Whether it supplies without a call to another machine or program."""
        return False

    @property
    def configured_lifetime(self) -> timedelta | None:
        """From `iat` to `exp` as configured by `lifetime`; None where the supplier alone knows it."""
        lifetime: timedelta | None = getattr(self, "lifetime", None)
        return lifetime

    @property
    def keys_directory(self) -> Path | None:
        """The directory of the signing keys that the supplier signs with; None if it has no keys of its own."""
        return None

    @property
    def keys_url(self) -> str | None:
        """Where the keys that verify its tokens are published; None to discover that at the issuer."""
        return None

    def subject_source(self, *, has_subject: bool = True) -> tuple[object, ...] | None:
        """Return what chooses the subject where the supplier alone knows it; None if each identity gets one of its own.

        Equal results mean one subject. The elements are declared keys in a canonical form: text, numbers, None, and
        `Path` for what lies on this machine. `has_subject` is whether the identity has a configured subject.
        """
        return None

    def file_paths(self) -> tuple[tuple[str, Path], ...]:
        """Return key and path of every file that the configuration names and that the supplier reads or runs."""
        return tuple(
            (key, path)
            for key in type(self).model_fields
            if key in self.model_fields_set and isinstance(path := getattr(self, key), Path)
        )

    @abstractmethod
    def expect_claims(
        self, subject: str | None, audiences: frozenset[str], key_ids: frozenset[str] | None
    ) -> ExpectedClaims:
        """Return which claims a token of one identity must have to be what the configuration would supply.

        Args:
            subject: The identity's; None if it has none.
            audiences: Token audiences that the provider accepts.
            key_ids: Ids of the keys in `keys_directory` that are still published; None where they are unknown.
        """

    @abstractmethod
    def build(self, workshop: Workshop) -> Supplier:
        """Build the supplier; imports what it needs, and raises a `RefresherError` if something is missing."""

    def build_with_next_key(self, kid: str, workshop: Workshop) -> Supplier:
        """Build the supplier as it will be once a key that waits in its `keys_directory` is activated.

        It is a `KeysError` if no such key waits there.
        """
        raise NotImplementedError

    def published_jwks(self, workshop: Workshop, versions: Sequence[int], now: datetime) -> dict[str, Any]:
        """Return the JWKS that has to be uploaded to its provider; only where `uploads_keys` is true.

        `versions` are those of the key to publish; empty for the one that signs.

        Raises:
            UsageError: `versions` are given, and its keys have none.
            KeysError: The keys directory can't be used.
            SupplyError: The service that holds the key refused, or did not answer.
        """
        raise NotImplementedError

    def discovery_document(self) -> dict[str, Any] | None:
        """Return what its issuer has to serve (OpenID Connect Discovery 1.0, section 3); None if nothing fixed."""
        return None


class FetchingSettings(SupplierSettings):
    """What kinds share that fetch tokens of another issuer: these are compared with what is configured, no more."""

    issuer: Issuer | None = Field(default=None, description="The `iss` that its tokens must carry. Default: any.")

    def expect_claims(
        self, subject: str | None, audiences: frozenset[str], key_ids: frozenset[str] | None
    ) -> ExpectedClaims:
        return ExpectedClaims(issuer=self.issuer, subject=subject, audiences=audiences)


class MintingSettings(SupplierSettings):
    """What kinds share that compose the claims of their tokens (RFC 7519, section 4.1), whatever signs them.

    They are what Google's STS asks for: `iss`, `sub`, `aud`, `iat`, `exp` in whole seconds; `jti` makes each token
    unique. `nbf` is left out: what STS does with it is not known.
    """

    issuer: Issuer = Field(description="The `iss` claim: https, a domain you own or one below .invalid.")
    lifetime: timedelta
    claims: Mapping[ClaimName, ClaimValue] = Field(
        default={}, description="Constant claims to add, to be mapped to attributes."
    )

    needs_subject: ClassVar[bool] = True
    composes_subject: ClassVar[bool] = True

    def expect_claims(
        self, subject: str | None, audiences: frozenset[str], key_ids: frozenset[str] | None
    ) -> ExpectedClaims:
        return ExpectedClaims(
            issuer=self.issuer,
            subject=subject,
            audiences=audiences,
            key_ids=key_ids,
            maximum_lifetime=self.lifetime,
            constants=self.claims,
        )

    def compose_claims(self, context: SupplierContext, now: datetime, random: Callable[[], str]) -> dict[str, Any]:
        """Return the claims of a token for one identity, issued now; without a subject it is a `SupplyError`."""
        if context.subject is None:
            name = context.identity
            raise SupplyError(f"identity {name} has no subject", f"set identities.{name}.subject")
        issued_at = int(now.timestamp())
        return {
            **self.claims,
            "iss": self.issuer,
            "sub": context.subject,
            "aud": context.audience,
            "iat": issued_at,
            "exp": issued_at + int(self.lifetime.total_seconds()),
            "jti": random(),
        }
