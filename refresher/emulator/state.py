"""What exists in the emulated cloud: projects, pools with their providers, service accounts and who may use them.

Valid by default and changed by assignment: a test that wants a provider disabled sets `disabled`. What the emulator
*issues* is not kept here: its tokens describe themselves (`refresher.emulator.tokens`). How the state survives a
restart is `refresher.emulator.persistence`'s business.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

DEFAULT_PROJECT = "my-project"
DEFAULT_NUMBER = "123456789012"
WORKLOAD_IDENTITY_USER = "roles/iam.workloadIdentityUser"


@dataclass(slots=True, kw_only=True)
class Provider:
    """A workload identity pool provider of the OIDC kind.

    Attributes:
        issuer: The `issuer_uri`.
        jwks: The uploaded key set; None to discover it from the issuer.
        allowed_audiences: If any, they replace the provider's own name.
        disabled: Whether it accepts nothing.
    """

    issuer: str
    jwks: dict[str, Any] | None = None
    allowed_audiences: list[str] = field(default_factory=list)
    disabled: bool = False


@dataclass(slots=True, kw_only=True)
class Pool:
    """A workload identity pool of a project.

    Attributes:
        project_number: Of the project that owns it.
        providers: By id.
        disabled: Whether it accepts nothing.
    """

    project_number: str
    providers: dict[str, Provider] = field(default_factory=dict)
    disabled: bool = False


@dataclass(slots=True, kw_only=True)
class ServiceAccount:
    """A service account and its IAM policy.

    Attributes:
        email: Its name.
        unique_id: 21 digits; the `sub` of its ID tokens.
        project: Id of its project.
        bindings: Members by role, as in an IAM policy.
        disabled: Whether nobody may become it.
    """

    email: str
    unique_id: str
    project: str
    bindings: dict[str, set[str]] = field(default_factory=dict)
    disabled: bool = False


@dataclass(slots=True, kw_only=True)
class State:
    """Everything that exists.

    Attributes:
        projects: Number by id.
        pools: By (project number, pool id).
        service_accounts: By e-mail.
        metadata_account: E-mail of the account that the metadata server speaks for.
        allows_long_lifetimes: Whether the organisation policy allows access tokens of up to 12 hours.
    """

    projects: dict[str, str] = field(default_factory=lambda: {DEFAULT_PROJECT: DEFAULT_NUMBER})
    pools: dict[tuple[str, str], Pool] = field(default_factory=dict)
    service_accounts: dict[str, ServiceAccount] = field(default_factory=dict)
    metadata_account: str | None = None
    allows_long_lifetimes: bool = False

    def add_project(self, project: str, number: str) -> None:
        """Make a project."""
        self.projects[project] = number

    def add_pool(self, pool: str, *, project_number: str = DEFAULT_NUMBER) -> Pool:
        """Make a pool, or give the one that is there."""
        return self.pools.setdefault((project_number, pool), Pool(project_number=project_number))

    def add_service_account(self, email: str, *, unique_id: str | None = None) -> ServiceAccount:
        """Make a service account, or give the one that is there; its project is told by its e-mail."""
        project = email.partition("@")[2].partition(".")[0] or DEFAULT_PROJECT
        account = ServiceAccount(email=email, unique_id=unique_id or unique_id_of(email), project=project)
        return self.service_accounts.setdefault(email, account)

    def find_service_account(self, name: str) -> ServiceAccount | None:
        """Give a service account by e-mail or unique id."""
        found = self.service_accounts.get(name)
        if found is not None:
            return found
        return next((account for account in self.service_accounts.values() if account.unique_id == name), None)

    def allow(self, service_account: str, member: str, role: str = WORKLOAD_IDENTITY_USER) -> None:
        """Grant a role on a service account to a member, named as in an IAM policy."""
        self.add_service_account(service_account).bindings.setdefault(role, set()).add(member)


def unique_id_of(email: str) -> str:
    """Give 21 digits that are always the same for an e-mail."""
    return f"1{int.from_bytes(hashlib.sha256(email.encode()).digest()[:8], 'big') % 10**20:020d}"
