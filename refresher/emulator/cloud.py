"""One emulated cloud: its resources, its clock, the tokens it issues, and the requests it received."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import RLock
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from refresher.emulator.credentials import (
    CLOUD_PLATFORM,
    is_signed_by,
    is_timely,
    load_public_keys,
    parse_assertion,
)
from refresher.emulator.errors import Refusal
from refresher.emulator.faults import Faults
from refresher.emulator.journal import AuditLog, Journal
from refresher.emulator.quotas import Quotas
from refresher.emulator.scopes import split_scopes
from refresher.emulator.settable_clock import SettableClock
from refresher.emulator.state import State
from refresher.emulator.storage_state import Upload
from refresher.emulator.tokens import Bearer, TokenVault

_SERVICE = re.compile(r"https://[a-z.-]+\.googleapis\.com/")
"""The audience of a JWT for one service, which then needs no scope."""


@dataclass(slots=True, kw_only=True)
class Cloud:
    """Everything that the services' rules read and change. Two clouds share nothing.

    Attributes:
        state: The resources that exist.
        clock: The cloud's own clock, moved by tests.
        vault: Issues and recognises tokens.
        journal: The requests and their answers.
        audit_log: The entries of Cloud Logging.
        faults: The scripted failures.
        quotas: How many requests are allowed in a minute.
        lenient: Whether to accept what the real services may or may not refuse.
        discover: Returns the JWKS of an issuer that uploaded none, None if it is not available, or why it is refused.
        key_sets: What discovery found, and when, by issuer.
        metadata_tokens: The last token of the metadata server and its expiry, by unique id of the account.
        loaded_keys: Keys of service accounts, by their PEM.
        uploads: Resumable uploads in progress, by id.
        origin: The cloud's own origin, for documents that contain it; set by the server.
        save: Called when a request has changed the state.
        lock: Held while a request is answered.
    """

    state: State = field(default_factory=State)
    clock: SettableClock = field(default_factory=SettableClock)
    vault: TokenVault = field(default_factory=TokenVault.new)
    journal: Journal = field(default_factory=Journal)
    audit_log: AuditLog = field(default_factory=AuditLog)
    faults: Faults = field(default_factory=Faults)
    quotas: Quotas = field(default_factory=Quotas)
    lenient: bool = False
    discover: Callable[[str], dict[str, Any] | Refusal | None] = lambda _issuer: None
    key_sets: dict[str, tuple[dict[str, Any] | Refusal | None, float]] = field(default_factory=dict)
    metadata_tokens: dict[str, tuple[str, int]] = field(default_factory=dict)
    loaded_keys: dict[str, RSAPrivateKey] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    origin: str = ""
    save: Callable[[], None] = lambda: None
    lock: RLock = field(default_factory=RLock)

    def now(self) -> float:
        """Return the cloud's time in Unix seconds."""
        return self.clock.now().timestamp()

    def recognise(self, token: str) -> Bearer | None:
        """Return the caller that an access token authenticates.

        Returns None if the token is unknown or has expired, if its account is disabled or deleted (a new account of the
        same name is another account), or if its pool is disabled or deleted: "You cannot use a disabled pool to
        exchange tokens, or use existing tokens to access resources. If the pool is re-enabled, existing tokens grant
        access again", and likewise for a deleted pool
        (https://cloud.google.com/iam/docs/reference/rest/v1/projects.locations.workloadIdentityPools). Disabling or
        deleting a provider does not affect tokens (measured).

        An account's token may also be a JWT that the account has signed itself (https://google.aip.dev/auth/4111).
        """
        bearer = self.vault.recognise(token, self.now()) or self._recognise_signed(token)
        if bearer is None:
            return None
        if bearer.kind == "federated":
            pool = self.state.pools.get(bearer.pool)
            return bearer if pool is not None and not pool.disabled and pool.deleted_at is None else None
        if bearer.kind != "service_account":
            return bearer
        account = self.state.find_service_account(bearer.name)
        is_same = account is None or bearer.account_id in ("", account.unique_id)
        return bearer if is_same and (account is None or account.is_usable) else None

    def _recognise_signed(self, token: str) -> Bearer | None:
        """Return the service account that signed a JWT for Google's services: for scopes, or for one service."""
        try:
            claims = parse_assertion(token)
        except ValueError:
            return None
        account = self.state.service_accounts.get(str(claims.get("iss", "")))
        if account is None or claims.get("sub") != account.email or not is_timely(claims, self.now()):
            return None
        scope, audience = claims.get("scope"), str(claims.get("aud", ""))
        scopes = (
            split_scopes(scope) if isinstance(scope, str) else [CLOUD_PLATFORM] * bool(_SERVICE.fullmatch(audience))
        )
        if not scopes or not is_signed_by(load_public_keys(account.keys, account.key), token):
            return None
        return Bearer(
            kind="service_account",
            name=account.email,
            account_id=account.unique_id,
            expires_at=int(claims["exp"]),
            scopes=tuple(scopes),
        )
