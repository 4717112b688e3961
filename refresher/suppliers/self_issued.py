"""Subject tokens signed with a key of our own, on this machine or in Cloud KMS: the `self_issued` supplier.

A token is a JWT (RFC 7519) with `kid` in its header; the provider holds the public half of the key as an uploaded JWKS.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from refresher.errors import SupplyError, UsageError
from refresher.resources import VERIFY_REMEDY, own_principal
from refresher.settings.fields import Choice, KeyVersionName
from refresher.settings.model import Settings
from refresher.settings.places import Problem
from refresher.settings.values import SUPPLIED_RANGE, AbsolutePath, SuppliedLifetime
from refresher.suppliers.interface import MintingSettings, Supplier, SupplierContext, Workshop
from refresher.tokens import SubjectToken, UnverifiedClaims, compose_jwt

if TYPE_CHECKING:
    from refresher.google.cloud_kms import KmsKey
    from refresher.google.source_credentials import SourceCredential
    from refresher.keys.jose import SigningKey


class SignerSettings(Settings):
    """A signing key that never comes to the worker."""

    kms: KeyVersionName = Field(
        description="Version of a key in Cloud KMS with the algorithm EC_SIGN_P256_SHA256, by its resource name."
    )


class SelfIssuedSettings(MintingSettings):
    """Subject tokens signed with our own key; the provider holds the public half."""

    kind: Annotated[Literal["self_issued"], Choice()] = Field(description="Signed with our own key.")
    keys: AbsolutePath | None = Field(
        default=None,
        description="The keys directory, created by `refresher keys new`; relative to the file that names it.",
    )
    signer: SignerSettings | None = Field(default=None, description="Instead of `keys`: a key outside this machine.")
    lifetime: SuppliedLifetime = Field(
        default="1h", validate_default=True, description="Lifetime of each subject token, 2s to 24h. Default: 1h."
    )
    credentials: AbsolutePath | None = Field(
        default=None,
        description="google-auth credentials file that calls the `signer`. Default: the metadata server.",
    )

    uploads_keys: ClassVar[bool] = True
    lifetime_range = SUPPLIED_RANGE

    def check(self) -> Iterator[Problem]:
        given = self.node.keys() & {"keys", "signer"}
        if len(given) != 1:
            remedy = "delete one of them" if given else "add keys: DIRECTORY, or signer: {kms: …}"
            yield self.problem("needs one of keys and signer", remedy)
        elif "credentials" in self.node and "signer" not in given:
            clause = "is not used by a supplier that signs with its own keys"
            yield self.problem(clause, "delete it", "credentials", at_key=True)

    @property
    def is_local(self) -> bool:
        return self.signer is None

    @property
    def keys_directory(self) -> Path | None:
        return self.keys

    def file_paths(self) -> tuple[tuple[str, Path], ...]:
        """Return the credentials file; the keys directory is checked key by key."""
        return tuple(found for found in super().file_paths() if found[0] != "keys")

    def build(self, workshop: Workshop) -> Supplier:
        if self.keys is None:
            return SelfIssuedSupplier(self, KmsSigner(*self._open_kms(workshop)).open, workshop.random)
        from refresher.keys.directory import load_signing_key

        key = load_signing_key(self.keys)
        return SelfIssuedSupplier(self, lambda _now: key, workshop.random)

    def build_with_next_key(self, kid: str, workshop: Workshop) -> Supplier:
        from refresher.keys.directory import load_next_key

        key = load_next_key(self.keys or Path(), kid)
        return SelfIssuedSupplier(self, lambda _now: key, workshop.random)

    def published_jwks(self, workshop: Workshop, versions: Sequence[int], now: datetime) -> dict[str, Any]:
        if self.keys is None:
            key, source = self._open_kms(workshop)
            access_token = source.access_token(now).value
            parent = key.version.rpartition("/")[0]
            keys = [replace(key, version=f"{parent}/{version}") for version in versions] or [key]
            return {"keys": [fetch_public_jwk(each, access_token) for each in keys]}
        if versions:
            raise UsageError("a keys directory has no key versions", "omit --version")
        from refresher.keys.directory import read_jwks

        return read_jwks(self.keys)

    def _open_kms(self, workshop: Workshop) -> "tuple[KmsKey, SourceCredential]":
        """Return the key in Cloud KMS, and the credentials it is asked with."""
        from refresher.google.cloud_kms import KmsKey

        key = KmsKey(
            version=self.signer.kms if self.signer else "",
            transport=workshop.transport(),
            endpoints=workshop.endpoints,
            caller=own_principal(self.credentials),
        )
        return key, workshop.open_credentials(self.credentials)


class SelfIssuedSupplier:
    """Mints subject tokens; safe to use from several threads.

    `open_key` returns what signs a token that is issued at a time, `random` a new `jti`.
    """

    def __init__(
        self, settings: MintingSettings, open_key: Callable[[datetime], "SigningKey"], random: Callable[[], str]
    ) -> None:
        self._settings = settings
        self._open_key = open_key
        self._random = random

    def supply(self, context: SupplierContext, now: datetime) -> SubjectToken:
        """Mint a token; a `SupplyError` shows that the identity has no subject, or that Cloud KMS does not sign."""
        key, claims = self._open_key(now), self._settings.compose_claims(context, now, self._random)
        expires_at = datetime.fromtimestamp(claims["exp"], UTC)
        return SubjectToken(
            value=compose_jwt({"alg": key.algorithm, "kid": key.kid, "typ": "JWT"}, claims, key.sign),
            issued_at=datetime.fromtimestamp(claims["iat"], UTC),
            expires_at=expires_at,
            unverified_claims=UnverifiedClaims(
                issuer=claims["iss"],
                subject=context.subject,
                audience=(context.audience,),
                expires_at=expires_at,
                key_id=key.kid,
                algorithm=key.algorithm,
                other=self._settings.claims,
            ),
        )


class KmsSigner:
    """A key in Cloud KMS, and the worker's own credentials with which it is asked; safe to use from several threads."""

    def __init__(self, key: "KmsKey", source: "SourceCredential") -> None:
        self._key = key
        self._source = source
        self._kid: str | None = None

    def open(self, now: datetime) -> "SigningKey":
        """Return what signs one token, or raise a `SupplyError`."""
        access_token = self._source.access_token(now).value
        if self._kid is None:  # a version's key never changes; threads that come together each ask once
            self._kid = fetch_public_jwk(self._key, access_token)["kid"]
        return _KmsSigningKey(self._key, self._kid, access_token)


@dataclass(slots=True)
class _KmsSigningKey:
    """A key version with the access token of one supply."""

    key: "KmsKey"
    kid: str
    access_token: str
    algorithm: str = "ES256"

    def sign(self, message: bytes) -> bytes:
        from refresher.keys.jose import convert_signature

        signature = self.key.sign(hashlib.sha256(message).digest(), self.access_token)
        try:
            return convert_signature(signature)
        except ValueError as error:
            problem = f"Cloud KMS returned no ES256 signature of {self.key.version}: {error}"
            raise SupplyError(problem, VERIFY_REMEDY, retryable=True) from None


def fetch_public_jwk(key: "KmsKey", access_token: str) -> dict[str, str]:
    """Return the public half of a key version as a JWK whose `kid` is its thumbprint (RFC 7638).

    It is a `SupplyError` if Google refused, or did not answer, or not as it should; or the key is of another kind.
    """
    from refresher.keys.jose import UnsupportedKeyError, load_public_jwk

    try:
        return load_public_jwk(key.fetch_public_key(access_token))
    except UnsupportedKeyError as error:
        raise SupplyError(f"the public key of {key.version} cannot be used: {error}", VERIFY_REMEDY) from error
