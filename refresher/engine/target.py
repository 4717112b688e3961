"""A target as the engine sees it: everything decided, nothing configured any more."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from refresher.publishing.directory import CredentialsDirectory
    from refresher.resources import Impersonation
    from refresher.suppliers.interface import SupplierContext
    from refresher.tokens import ExpectedClaims


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessTokenRequest:
    """An access token of the target principal, with the scopes and the lifetime of its identity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdTokenRequest:
    """A Google-signed ID token of the target principal.

    Attributes:
        audience: The `aud` claim.
        include_email: Whether it tells the account's e-mail.
    """

    audience: str
    include_email: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MintedArtifact:
    """A further artifact that is minted through the whole chain.

    Attributes:
        name: Its file in the credentials directory, `access_token` or `id_tokens/NAME`.
        request: What it is to hold.
    """

    name: str
    request: AccessTokenRequest | IdTokenRequest

    def fingerprint(self, target: Target) -> str:
        """Give what differs for anything else that could be asked for, 16 hex digits."""
        asked = repr((self.request, target.impersonation)).encode()
        return hashlib.sha256(asked).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One credentials directory of one identity.

    Attributes:
        name: Safe in file names, logs and metric labels.
        supplier: Name of the supplier that serves its identity.
        context: For whom a token is supplied; equal contexts of one supplier share a supply.
        expected: What the configuration would mint: any other token in the file is foreign.
        directory: Where its artifacts lie.
        credentials: Bytes of `credentials.json`.
        environment: Bytes of `env`.
        impersonation: The way from its token to its service account.
        token_request: Fingerprint of what its token is supplied from and for whom, where no subject is configured that
            would tell whose a token is; else None.
        boto: Bytes of `boto`; None if it is not asked for.
        minted: Further artifacts that are minted.
    """

    name: str
    supplier: str
    context: SupplierContext
    expected: ExpectedClaims
    directory: CredentialsDirectory
    credentials: bytes
    environment: bytes
    impersonation: Impersonation
    token_request: str | None = None
    boto: bytes | None = None
    minted: tuple[MintedArtifact, ...] = ()

    @property
    def supply_key(self) -> tuple[str, SupplierContext]:
        """What targets that may share a token have in common."""
        return (self.supplier, self.context)
