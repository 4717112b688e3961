"""What exists in the emulated cloud: projects, pools with their providers, service accounts and who may use them.

Valid by default and changed by assignment: a test that wants a provider disabled sets `disabled`. What the emulator
*issues* is not kept here: its tokens describe themselves (`refresher.emulator.tokens`). How the state survives a
restart is `refresher.emulator.persistence`'s business.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from refresher.emulator.policies import Policy

if TYPE_CHECKING:
    from refresher.emulator.crypto_keys import CryptoKey
    from refresher.emulator.policies import Binding
    from refresher.emulator.storage_state import Bucket

DEFAULT_PROJECT = "my-project"
DEFAULT_NUMBER = "123456789012"
WORKLOAD_IDENTITY_USER = "roles/iam.workloadIdentityUser"
DEFAULT_MAPPING = {"google.subject": "assertion.sub"}
KEPT_AFTER_DELETION = 30 * 86_400
"""Seconds for which pools, providers, roles and service accounts can be undeleted."""

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
"""What a project has switched on from the start."""


@dataclass(slots=True, kw_only=True)
class Provider:
    """A workload identity pool provider.

    Attributes:
        issuer: The `issuer_uri` of the OIDC kind; empty for the others.
        jwks: The uploaded key set; None to discover it from the issuer.
        allowed_audiences: If any, they replace the provider's own name.
        mapping: CEL expressions by attribute.
        condition: CEL; empty if every assertion will do.
        disabled: Whether it accepts nothing.
        kind: `oidc`, `aws`, `saml` or `x509`; the emulator verifies assertions of the first only.
        settings: The block of another kind, as it was sent.
        deleted_at: Unix time; None while it exists.
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
        project_number: Of the project that owns it.
        providers: By id.
        disabled: Whether it accepts nothing.
        policy: Who may look after the pool itself.
        deleted_at: Unix time; None while it exists.
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
        project: Id of its project.
        policy: Who may use it.
        disabled: Whether nobody may become it, and its access tokens are void.
        key: The PEM of the key that Google holds for it; made when it first signs.
        deleted_at: Unix time; None while it exists.
        longest_life: Seconds that its access tokens live at most, whatever is asked for; None for Google's own limits.
    """

    email: str
    unique_id: str
    project: str
    policy: Policy = field(default_factory=Policy)
    disabled: bool = False
    display_name: str = ""
    description: str = ""
    key: str = ""
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
        policy: Who may do what to all it holds, and which audit logs are written.
        services: The APIs that are switched on.
        perimeter: The APIs that a service perimeter closes to the outside, which is where all requests come from.
    """

    number: str
    policy: Policy = field(default_factory=Policy)
    services: set[str] = field(default_factory=lambda: set(SERVICES))
    perimeter: set[str] = field(default_factory=set)


@dataclass(slots=True, kw_only=True)
class Role:
    """A custom role of a project.

    Attributes:
        permissions: What it includes.
        deleted_at: Unix time; None while it exists.
    """

    permissions: list[str] = field(default_factory=list)
    title: str = ""
    description: str = ""
    stage: str = "GA"
    deleted_at: float | None = None


@dataclass(slots=True, kw_only=True)
class State:
    """Everything that exists.

    Attributes:
        projects: By id.
        pools: By resource name, with the project's number.
        service_accounts: By e-mail.
        roles: Custom roles by resource name, with the project's id.
        buckets: By name.
        crypto_keys: Signing keys of Cloud KMS, by resource name, as requests spell it.
        groups: Members of Google groups, by the group's e-mail.
        documents: What is only kept and shown again (log metrics, alert policies, organisation and deny policies),
            by kind and resource name.
        settings: What there is one of: `metadata_account` and `clock_offset`.
    """

    projects: dict[str, Project] = field(default_factory=lambda: {DEFAULT_PROJECT: Project(number=DEFAULT_NUMBER)})
    pools: dict[str, Pool] = field(default_factory=dict)
    service_accounts: dict[str, ServiceAccount] = field(default_factory=dict)
    roles: dict[str, Role] = field(default_factory=dict)
    buckets: dict[str, Bucket] = field(default_factory=dict)
    crypto_keys: dict[str, CryptoKey] = field(default_factory=dict)
    groups: dict[str, set[str]] = field(default_factory=dict)
    documents: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def metadata_account(self) -> str | None:
        """E-mail of the account that the metadata server speaks for."""
        return self.settings.get("metadata_account")

    @metadata_account.setter
    def metadata_account(self, email: str | None) -> None:
        self.settings.pop("metadata_account", None)
        if email is not None:
            self.settings["metadata_account"] = email

    def add_project(self, project: str, number: str) -> Project:
        """Make a project, or give the one that is there."""
        return self.projects.setdefault(project, Project(number=number))

    def find_project(self, name: str) -> tuple[str, Project] | None:
        """Give a project with its id, by id or number."""
        found = self.projects.get(name)
        if found is not None:
            return name, found
        return next(((known, project) for known, project in self.projects.items() if project.number == name), None)

    def add_pool(self, pool: str, *, project_number: str = DEFAULT_NUMBER) -> Pool:
        """Make a pool, or give the one that is there."""
        return self.pools.setdefault(pool_name(project_number, pool), Pool(project_number=project_number))

    def add_service_account(self, email: str, *, unique_id: str | None = None) -> ServiceAccount:
        """Make a service account, or give the one that is there; its project is told by its e-mail."""
        project = email.partition("@")[2].partition(".")[0]
        if project == "developer" or not project:  # the default account of Compute Engine tells no project
            project = DEFAULT_PROJECT
        account = ServiceAccount(email=email, unique_id=unique_id or derive_unique_id(email), project=project)
        return self.service_accounts.setdefault(email, account)

    def find_service_account(self, name: str) -> ServiceAccount | None:
        """Give a service account by e-mail or unique id, a deleted one too."""
        found = self.service_accounts.get(name)
        if found is not None or not name.isdecimal():
            return found
        return next((account for account in self.service_accounts.values() if account.unique_id == name), None)

    def allow(self, service_account: str, member: str, role: str = WORKLOAD_IDENTITY_USER) -> None:
        """Grant a role on a service account to a member, named as in an IAM policy."""
        self.add_service_account(service_account).policy.allow(role, member)


def pool_name(project_number: str, pool: str) -> str:
    """Give the resource name of a pool."""
    return f"projects/{project_number}/locations/global/workloadIdentityPools/{pool}"


def is_gone(deleted_at: float | None, now: float) -> bool:
    """Tell whether what was deleted cannot be had back any more."""
    return deleted_at is not None and now >= deleted_at + KEPT_AFTER_DELETION


def derive_unique_id(email: str) -> str:
    """Give 21 digits that are always the same for an e-mail."""
    return f"1{int.from_bytes(hashlib.sha256(email.encode('utf-8', 'replace')).digest()[:8], 'big') % 10**20:020d}"
