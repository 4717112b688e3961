"""One emulated cloud: what exists, what time it is there, what it issues, what it was asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import RLock
from typing import TYPE_CHECKING

from refresher.emulator.faults import Faults
from refresher.emulator.journal import AuditLog, Journal
from refresher.emulator.quotas import Quotas
from refresher.emulator.settable_clock import SettableClock
from refresher.emulator.state import State
from refresher.emulator.tokens import TokenVault

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from refresher.emulator.storage_state import Upload
    from refresher.emulator.tokens import Bearer


@dataclass(slots=True, kw_only=True)
class Cloud:
    """Everything that the services' rules are about; two of them share nothing.

    Attributes:
        state: What exists.
        clock: The cloud's own clock, moved by tests.
        vault: Issues and recognises tokens.
        journal: What was asked and answered.
        audit_log: The entries of Cloud Logging.
        faults: What is to go wrong.
        quotas: What may be asked in a minute.
        lenient: Whether what the real services may or may not refuse is accepted.
        discover: Gives the JWKS of an issuer that uploaded none; None if it cannot be had.
        key_sets: What discovery found, and when, by issuer.
        metadata_tokens: What the metadata server gave last: token and end, by unique id of the account.
        loaded_keys: Keys of service accounts, by their PEM.
        uploads: Resumable uploads under way, by id.
        origin: Where the cloud is reached, for documents that name themselves; set by the server.
        save: Called when the state was changed by a request.
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
    discover: Callable[[str], dict[str, Any] | None] = lambda _issuer: None
    key_sets: dict[str, tuple[dict[str, Any] | None, float]] = field(default_factory=dict)
    metadata_tokens: dict[str, tuple[str, int]] = field(default_factory=dict)
    loaded_keys: dict[str, RSAPrivateKey] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    origin: str = ""
    save: Callable[[], None] = lambda: None
    lock: RLock = field(default_factory=RLock)

    def now(self) -> float:
        """Give the cloud's time, Unix seconds."""
        return self.clock.now().timestamp()

    def recognise(self, token: str) -> Bearer | None:
        """Give whom an access token speaks for.

        None if it is not ours, over, of an account disabled or deleted (one made anew with its name is another), or of
        a pool disabled or deleted: "You cannot use a disabled pool to exchange tokens, or use existing tokens to access
        resources. If the pool is re-enabled, existing tokens grant access again", and so for a deleted pool
        (https://cloud.google.com/iam/docs/reference/rest/v1/projects.locations.workloadIdentityPools). A provider that
        is disabled or deleted leaves tokens as they are (measured).
        """
        bearer = self.vault.recognise(token, self.now())
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
