"""The emulator in a test: a context manager whose methods read like a scenario.

```python
with emulator() as google:
    google.add_provider(issuer="https://workers.invalid", jwks=jwks)
    google.allow("task-alice@my-project.iam.gserviceaccount.com", subject="user-1")
    …
    assert google.whoami(token)["service_account"] == "task-alice@my-project.iam.gserviceaccount.com"
```
"""

import json
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

from refresher.emulator.cloud import Cloud
from refresher.emulator.control import build_bearer
from refresher.emulator.credentials import USER_SCOPES, UserCredential, create_key
from refresher.emulator.crypto_keys import EC_P256, CryptoKey
from refresher.emulator.errors import Refusal
from refresher.emulator.faults import Faults
from refresher.emulator.iam_admin.provider_rules import check_provider
from refresher.emulator.iam_admin.service_account_keys import build_key_file
from refresher.emulator.iam_credentials import LIFETIME_CONSTRAINT, build_id_token_claims
from refresher.emulator.journal import AuditLog, Journal
from refresher.emulator.oidc_issuer import discover
from refresher.emulator.org_policy import set_values
from refresher.emulator.quotas import Quotas
from refresher.emulator.server import EmulatorServer
from refresher.emulator.settable_clock import SettableClock
from refresher.emulator.state import (
    DEFAULT_MAPPING,
    DEFAULT_NUMBER,
    DEFAULT_PROJECT,
    WORKLOAD_IDENTITY_USER,
    Provider,
    ServiceAccount,
    State,
)
from refresher.emulator.storage.resources import store
from refresher.emulator.storage_state import Bucket
from refresher.errors import EmulatorError
from refresher.resources import WorkloadIdentityProvider

POOL = "workers"
PROVIDER = "refresher"
AUDITED = ("sts.googleapis.com", "iam.googleapis.com", "storage.googleapis.com")


class Scenario:
    """A running emulator, with methods for what tests often need; `state` has the rest."""

    def __init__(self, server: EmulatorServer) -> None:
        self._cloud = server.cloud
        self.http = server.http
        self.https = server.https
        self.ca_file = server.ca_file

    @property
    def state(self) -> State:
        """The resources; change them by assignment."""
        return self._cloud.state

    @property
    def clock(self) -> SettableClock:
        """The cloud's clock; move it with `advance`."""
        return self._cloud.clock

    @property
    def journal(self) -> Journal:
        """The requests and their answers."""
        return self._cloud.journal

    @property
    def faults(self) -> Faults:
        """The pending and the applied faults."""
        return self._cloud.faults

    @property
    def quotas(self) -> Quotas:
        """How many requests are allowed in a minute."""
        return self._cloud.quotas

    @property
    def audit_log(self) -> AuditLog:
        """The audit log; without `write_audit_logs` it only contains administration."""
        return self._cloud.audit_log

    def add_provider(
        self,
        *,
        issuer: str,
        jwks: dict[str, Any] | None = None,
        pool: str = POOL,
        provider: str = PROVIDER,
        allowed_audiences: list[str] | None = None,
        mapping: Mapping[str, str] | None = None,
        condition: str = "",
    ) -> WorkloadIdentityProvider:
        """Make a pool trust an issuer. Without `jwks`, the issuer's keys are discovered, over plain HTTP too.

        Raises:
            EmulatorError: Google would refuse the provider, for a reason other than plain HTTP.
        """
        settings = Provider(
            issuer=issuer,
            jwks=jwks,
            allowed_audiences=allowed_audiences or [],
            mapping=dict(mapping or DEFAULT_MAPPING),
            condition=condition,
        )
        try:
            check_provider(settings, plain_http=True)
        except Refusal as refusal:
            raise EmulatorError(str(refusal.document["error"]["message"]), "correct the provider") from refusal
        with self._cloud.lock:
            self.state.add_pool(pool).providers[provider] = settings
        return WorkloadIdentityProvider(project_number=DEFAULT_NUMBER, pool=pool, provider=provider)

    def add_service_account(self, email: str) -> ServiceAccount:
        """Create a service account that no one may use yet."""
        with self._cloud.lock:
            return self.state.add_service_account(email)

    def allow(
        self, service_account: str, *, subject: str, pool: str = POOL, role: str = WORKLOAD_IDENTITY_USER
    ) -> None:
        """Bind exactly one subject of a pool to a service account."""
        name = WorkloadIdentityProvider(project_number=DEFAULT_NUMBER, pool=pool, provider=PROVIDER)
        with self._cloud.lock:
            self.state.allow(service_account, name.principal(subject), role)

    def allow_member(self, service_account: str, member: str, role: str = WORKLOAD_IDENTITY_USER) -> None:
        """Grant a role on a service account to any member, in the form of IAM policies."""
        with self._cloud.lock:
            self.state.allow(service_account, member, role)

    def grant(self, role: str, member: str, *, project: str = DEFAULT_PROJECT) -> None:
        """Grant a role on a whole project."""
        with self._cloud.lock:
            self.state.projects[project].policy.allow(role, member)

    def add_bucket(self, name: str, *, readers: tuple[str, ...] = (), writers: tuple[str, ...] = ()) -> Bucket:
        """Create a bucket. Only these members may read its objects, or read and write them."""
        bucket = Bucket(project=DEFAULT_PROJECT, created=self._cloud.now())
        for role, members in (("roles/storage.objectViewer", readers), ("roles/storage.objectUser", writers)):
            for member in members:
                bucket.policy.allow(role, member)
        with self._cloud.lock:
            self.state.buckets[name] = bucket
        return bucket

    def add_object(self, bucket: str, name: str, content: bytes) -> None:
        """Put an object into a bucket."""
        with self._cloud.lock:
            store(self._cloud, self.state.buckets[bucket], name, content, {})

    def add_crypto_key(self, name: str, *, signers: tuple[str, ...] = (), algorithm: str = EC_P256) -> CryptoKey:
        """Create a signing key of Cloud KMS with one version, which only these members may use and see."""
        key = CryptoKey(project=DEFAULT_PROJECT, algorithm=algorithm)
        key.add_version()
        for member in signers:
            key.policy.allow("roles/cloudkms.signerVerifier", member)
        with self._cloud.lock:
            self.state.crypto_keys[name] = key
        return key

    def write_audit_logs(self, *, project: str = DEFAULT_PROJECT) -> None:
        """Write Data Access logs, like a project with an audit configuration."""
        logs = [{"logType": kind} for kind in ("ADMIN_READ", "DATA_READ", "DATA_WRITE")]
        self.state.projects[project].policy.audit_configs = [
            {"service": service, "auditLogConfigs": logs} for service in AUDITED
        ]

    def extend_lifetimes(self, *service_accounts: str, project: str = DEFAULT_PROJECT) -> None:
        """Allow access tokens of these accounts up to twelve hours, like the organisation policy."""
        with self._cloud.lock:
            set_values(self._cloud, project, LIFETIME_CONSTRAINT, list(service_accounts))

    def access_token(self, member: str, *, lifetime: float = 3600) -> str:
        """Issue an access token of `user:EMAIL` or `serviceAccount:EMAIL`, with the scope cloud-platform."""
        return self._cloud.vault.issue(build_bearer(self._cloud, member, lifetime))

    def id_token(self, service_account: str, *, audience: str) -> str:
        """Issue a Google-signed ID token of a service account."""
        account = self.add_service_account(service_account)
        return self._cloud.vault.sign_id_token(build_id_token_claims(self._cloud, account, audience, with_email=True))

    def create_key(self, service_account: str) -> dict[str, str]:
        """Create a key of a service account; return the file that contains it, with `token_uri` at the emulator."""
        key_id, key, private = create_key(self._cloud.now())
        with self._cloud.lock:
            account = self.state.add_service_account(service_account)
            account.keys[key_id] = key
        return build_key_file(account, key_id, private, self.http)

    def add_user(self, email: str, *, scopes: tuple[str, ...] = USER_SCOPES) -> dict[str, str]:
        """Create a refresh token of a user; return the file that contains it, as gcloud writes it.

        google-auth asks for access tokens at oauth2.googleapis.com whatever the file contains.
        """
        credential = UserCredential(
            client_id=f"{secrets.token_hex(6)}.apps.googleusercontent.com",
            client_secret=secrets.token_urlsafe(16),
            refresh_token=secrets.token_urlsafe(16),
            scopes=list(scopes),
        )
        with self._cloud.lock:
            self.state.users[email] = credential
        return {
            "type": "authorized_user",
            "client_id": credential.client_id,
            "client_secret": credential.client_secret,
            "refresh_token": credential.refresh_token,
            "token_uri": f"{self.http}/token",
        }

    def whoami(self, access_token: str) -> dict[str, Any]:
        """Ask the emulator for the caller that an access token authenticates."""
        request = Request(f"{self.http}/emulator/whoami", headers={"Authorization": f"Bearer {access_token}"})  # noqa: S310 - our own origin
        with build_opener(ProxyHandler({})).open(request, timeout=10) as reply:  # a proxy cannot reach this machine
            document: dict[str, Any] = json.load(reply)
        return document


@contextmanager
def emulator(directory: Path | None = None, *, lenient: bool = False) -> Iterator[Scenario]:
    """Run an emulator in this process for the length of a `with` block. Two emulators share nothing.

    Args:
        directory: Where its certificates are stored; default a temporary directory. The state stays in memory.
        lenient: Whether to accept what the real services may or may not refuse.
    """
    with tempfile.TemporaryDirectory() as temporary:
        cloud = Cloud(discover=discover, lenient=lenient)
        with EmulatorServer(cloud, directory or Path(temporary)) as server:
            yield Scenario(server)
