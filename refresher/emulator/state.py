"""The resources of the emulated cloud: projects, pools with their providers, service accounts and IAM policies.

They are valid by default and changed by assignment: a test that needs a disabled provider sets `disabled`. Issued
tokens are not stored: they describe themselves (`refresher.emulator.tokens`). `refresher.emulator.persistence` saves
the state.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from refresher.emulator.account_emails import read_project
from refresher.emulator.credentials import (
    AccountKey,
    UserCredential,
)
from refresher.emulator.crypto_keys import CryptoKey
from refresher.emulator.policies import Binding, Policy
from refresher.emulator.storage_state import Bucket

DEFAULT_PROJECT = "my-project"
DEFAULT_NUMBER = "123456789012"
ORGANIZATION = "111"
"""The number of the organisation that all projects belong to."""

WORKLOAD_IDENTITY_USER = "roles/iam.workloadIdentityUser"
DEFAULT_MAPPING = {"google.subject": "assertion.sub"}
KEPT_AFTER_DELETION = 30 * 86_400
"""For how many seconds pools, providers, roles and service accounts can be undeleted."""

SERVICES = (
    "bigquery.googleapis.com",
    "cloudkms.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "iam.googleapis.com",
    "iamcredentials.googleapis.com",
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "orgpolicy.googleapis.com",
    "serviceusage.googleapis.com",
    "storage.googleapis.com",
    "sts.googleapis.com",
)
"""The APIs that are enabled in a new project."""


@dataclass(slots=True, kw_only=True)
class Provider:
    """A workload identity pool provider.

    Attributes:
        issuer: The `issuer_uri` of the kind `oidc`; empty for the others.
        jwks: The uploaded key set; None to discover it from the issuer.
        allowed_audiences: If there are any, they replace the provider's own name.
        mapping: CEL expressions by attribute.
        condition: A CEL expression; empty to accept every assertion.
        disabled: Whether it refuses every token.
        kind: `oidc`, `aws`, `saml` or `x509`. The emulator only verifies the assertions of `oidc`.
        settings: The block of another kind, as it was sent.
        deleted_at: Unix time; None if it is not deleted.
    """

    issuer: str = ""
    jwks: dict[str, Any] | None = None
    allowed_audiences: list[str] = field(default_factory=list)
    mapping: dict[str, str] = field(default_factory=DEFAULT_MAPPING.copy)
    condition: str = ""
    disabled: bool = False
    display_name: str = ""
    description: str = ""
    kind: str = "oidc"
    settings: dict[str, Any] = field(default_factory=dict)
    deleted_at: float | None = None


@dataclass(slots=True, kw_only=True)
class Pool:
    """A workload identity pool of a project.

    Attributes:
        project_number: The number of the project that owns it.
        providers: By id.
        disabled: Whether it refuses every token.
        policy: The IAM policy of the pool itself.
        deleted_at: Unix time; None if it is not deleted.
    """

    project_number: str
    providers: dict[str, Provider] = field(default_factory=dict)
    disabled: bool = False
    display_name: str = ""
    description: str = ""
    mode: str = ""
    attestation_rules: list[dict[str, Any]] = field(default_factory=list)
    policy: Policy = field(default_factory=Policy)
    deleted_at: float | None = None


@dataclass(slots=True, kw_only=True)
class ServiceAccount:
    """A service account and its IAM policy.

    Attributes:
        email: Its name.
        unique_id: 21 digits; the `sub` of its ID tokens.
        project: The id of its project.
        policy: Which members may act as it.
        disabled: Whether no one may act as it; its access tokens are then void.
        key: The PEM of the key that Google holds for it; created at its first signature.
        keys: The keys that users have, by id.
        deleted_at: Unix time; None if it is not deleted.
        longest_life: The limit for its access tokens in seconds; None for Google's own limits.
    """

    email: str
    unique_id: str
    project: str
    policy: Policy = field(default_factory=Policy)
    disabled: bool = False
    display_name: str = ""
    description: str = ""
    key: str = ""
    keys: dict[str, AccountKey] = field(default_factory=dict)
    deleted_at: float | None = None
    longest_life: float | None = None

    @property
    def is_usable(self) -> bool:
        """Whether it is neither disabled nor deleted."""
        return not self.disabled and self.deleted_at is None

    @property
    def bindings(self) -> list[Binding]:
        """The bindings of its policy."""
        return self.policy.bindings


@dataclass(slots=True, kw_only=True)
class Project:
    """A project.

    Attributes:
        number: Digits.
        policy: The IAM policy for everything in the project, with the audit configuration.
        services: The APIs that are enabled.
        perimeter: The APIs that a service perimeter blocks from outside; all requests come from outside.
    """

    number: str
    policy: Policy = field(default_factory=Policy)
    services: set[str] = field(default_factory=lambda: set(SERVICES))
    perimeter: set[str] = field(default_factory=set)


@dataclass(slots=True, kw_only=True)
class Role:
    """A custom role of a project.

    Attributes:
        permissions: The permissions that it includes.
        deleted_at: Unix time; None if it is not deleted.
    """

    permissions: list[str] = field(default_factory=list)
    title: str = ""
    description: str = ""
    stage: str = "GA"
    deleted_at: float | None = None


@dataclass(slots=True, kw_only=True)
class State:
    """All resources.

    Attributes:
        projects: By id.
        pools: By resource name, with the project's number.
        service_accounts: By e-mail; a deleted one whose e-mail was used again, by its unique id.
        roles: Custom roles by resource name, with the project's id.
        buckets: By name.
        crypto_keys: Signing keys of Cloud KMS, by resource name, as in requests.
        groups: Members of Google groups, by the group's e-mail.
        users: Credentials of users, by the user's e-mail.
        run_policies: The IAM policies of Cloud Run services, by resource name.
        documents: Log metrics, alert policies, organisation and deny policies as the API shows them, by kind and by
            resource name.
        settings: Single values: `metadata_account` and `clock_offset`.
    """

    projects: dict[str, Project] = field(default_factory=lambda: {DEFAULT_PROJECT: Project(number=DEFAULT_NUMBER)})
    pools: dict[str, Pool] = field(default_factory=dict)
    service_accounts: dict[str, ServiceAccount] = field(default_factory=dict)
    roles: dict[str, Role] = field(default_factory=dict)
    buckets: dict[str, Bucket] = field(default_factory=dict)
    crypto_keys: dict[str, CryptoKey] = field(default_factory=dict)
    groups: dict[str, set[str]] = field(default_factory=dict)
    users: dict[str, UserCredential] = field(default_factory=dict)
    run_policies: dict[str, Policy] = field(default_factory=dict)
    documents: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def metadata_account(self) -> str | None:
        """The e-mail of the account whose tokens the metadata server issues."""
        return self.settings.get("metadata_account")

    @metadata_account.setter
    def metadata_account(self, email: str | None) -> None:
        self.settings.pop("metadata_account", None)
        if email is not None:
            self.settings["metadata_account"] = email

    def add_project(self, project: str, number: str) -> Project:
        """Return the project of this id. Create it if it does not exist."""
        return self.projects.setdefault(project, Project(number=number))

    def find_project(self, name: str) -> tuple[str, Project] | None:
        """Return a project and its id; it is found by id or number."""
        found = self.projects.get(name)
        if found is not None:
            return name, found
        return next(((known, project) for known, project in self.projects.items() if project.number == name), None)

    def add_pool(self, pool: str, *, project_number: str = DEFAULT_NUMBER) -> Pool:
        """Return the pool of this id. Create it if it does not exist."""
        return self.pools.setdefault(pool_name(project_number, pool), Pool(project_number=project_number))

    def add_service_account(self, email: str, *, unique_id: str | None = None) -> ServiceAccount:
        """Return the service account of this e-mail. Create it if it does not exist, in the project of the e-mail."""
        name = read_project(email)
        found = self.find_project(name)
        project = found[0] if found is not None else DEFAULT_PROJECT if not name or name.isdecimal() else name
        account = ServiceAccount(email=email, unique_id=unique_id or derive_unique_id(email), project=project)
        return self.service_accounts.setdefault(email, account)

    def place_service_account(self, account: ServiceAccount) -> None:
        """Store an account under its e-mail. A deleted account that had the same e-mail can still be undeleted."""
        before = self.service_accounts.pop(account.email, None)
        if before is not None:
            self.service_accounts[before.unique_id] = before
        self.service_accounts.pop(account.unique_id, None)
        self.service_accounts[account.email] = account

    def find_service_account(self, name: str) -> ServiceAccount | None:
        """Return a service account by e-mail or unique id, even a deleted one."""
        found = self.service_accounts.get(name)
        if found is not None or not name.isdecimal():
            return found
        return next((account for account in self.service_accounts.values() if account.unique_id == name), None)

    def allow(self, service_account: str, member: str, role: str = WORKLOAD_IDENTITY_USER) -> None:
        """Grant a role on a service account to a member, in the form of IAM policies."""
        self.add_service_account(service_account).policy.allow(role, member)


def pool_name(project_number: str, pool: str) -> str:
    """Return the resource name of a pool."""
    return f"projects/{project_number}/locations/global/workloadIdentityPools/{pool}"


def is_gone(deleted_at: float | None, now: float) -> bool:
    """Return whether a deleted resource can no longer be undeleted."""
    return deleted_at is not None and now >= deleted_at + KEPT_AFTER_DELETION


def derive_unique_id(email: str) -> str:
    """Derive 21 digits from an e-mail, always the same ones."""
    return f"1{int.from_bytes(hashlib.sha256(email.encode('utf-8', 'replace')).digest()[:8], 'big') % 10**20:020d}"
