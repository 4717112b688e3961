"""Changes of the cloud side that stop identities, each with a project, a pool and a provider of its own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from refresher.emulator.state import Pool, Project, Provider, ServiceAccount, pool_name
from refresher.emulator.testing import PROVIDER, Scenario
from refresher.keys.jose import PrivateKey
from tests.program import ISSUER

Undo = Callable[[], object]
CREATOR = "roles/iam.serviceAccountTokenCreator"
CONSUMER = "roles/serviceusage.serviceUsageConsumer"


@dataclass(frozen=True, kw_only=True)
class Site:
    """The part of the cloud that one change may touch: two identities, `NAME-a` and `NAME-b`, of one provider.

    Attributes:
        google: The emulator.
        name: The change's; also the id of the pool, and the project's.
        number: The number of the project.
    """

    google: Scenario
    name: str
    number: str

    @property
    def project(self) -> Project:
        """The project of the pool and of the accounts."""
        return self.google.state.projects[self.name]

    @property
    def pool(self) -> Pool:
        """The pool."""
        return self.google.state.pools[pool_name(self.number, self.name)]

    @property
    def provider(self) -> Provider:
        """The provider."""
        return self.pool.providers[PROVIDER]

    def email(self, letter: str) -> str:
        """Return the e-mail of an account: of an identity, or another one."""
        return f"account-{letter}@{self.name}.iam.gserviceaccount.com"

    def account(self, letter: str) -> ServiceAccount:
        """Return the account of an identity."""
        return self.google.state.service_accounts[self.email(letter)]

    def principal(self, letter: str) -> str:
        """Return the principal of an identity."""
        return f"principal://iam.googleapis.com/{pool_name(self.number, self.name)}/subject/{self.name}-{letter}"

    def create(self, jwks: dict[str, Any]) -> None:
        """Create all of it, so that both identities are accepted."""
        state = self.google.state
        state.add_project(self.name, self.number)
        pool = state.add_pool(self.name, project_number=self.number)
        pool.providers[PROVIDER] = Provider(issuer=ISSUER, jwks=jwks)
        for letter in "ab":
            state.allow(self.email(letter), self.principal(letter))


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change, and what must be shown of it.

    Attributes:
        make: Makes it, and returns what undoes it.
        cause: Words of the cause, and those of the remedy; `{name}` is the change's.
        hits: The letters of the identities that it stops.
        prepare: Adds to the cloud, and returns what an identity needs for it in the configuration.
    """

    make: Callable[[Site], Undo]
    cause: str
    remedy: str
    hits: str = "ab"
    prepare: Callable[[Site, str], dict[str, Any]] = lambda _site, _letter: {}


def assign(found: object, **values: object) -> Undo:
    """Set attributes of a resource, and return what sets them back."""
    former = {name: getattr(found, name) for name in values}
    for name, value in values.items():
        setattr(found, name, value)

    def undo() -> None:
        for name, value in former.items():
            setattr(found, name, value)

    return undo


def disable_service(project: Project, service: str) -> Undo:
    """Disable an API of a project."""
    return assign(project, services=project.services - {service})


def go_through_delegate(site: Site, letter: str) -> dict[str, Any]:
    """Make an identity act as its account by way of another one."""
    middle = site.email(f"{letter}-middle")
    site.google.state.allow(middle, site.principal(letter), CREATOR)
    site.google.state.allow(site.email(letter), f"serviceAccount:{middle}", CREATOR)
    return {"delegates": [middle]}


def pay_by_project(site: Site, letter: str) -> dict[str, Any]:
    """Make an identity name a quota project."""
    for member in (site.principal(letter), f"serviceAccount:{site.email(letter)}"):
        site.project.policy.allow(CONSUMER, member)
    return {"quota_project": site.name}


def act_directly(_site: Site, _letter: str) -> dict[str, Any]:
    """Leave out the service account: a federated principal that has roles of its own."""
    return {"service_account": None}


def act_as_the_machine(site: Site, letter: str) -> dict[str, Any]:
    """Impersonate with the machine's own account instead of the pool."""
    machine = "machine@my-project.iam.gserviceaccount.com"
    site.google.add_service_account(machine)
    site.google.state.metadata_account = machine
    site.google.state.allow(site.email(letter), f"serviceAccount:{machine}", CREATOR)
    return {"via": "impersonation", "subject": None, "supplier": None}


def pay_as_the_machine(site: Site, letter: str) -> dict[str, Any]:
    """Make an identity without a pool name a quota project, which its account alone may use."""
    site.project.policy.allow(CONSUMER, f"serviceAccount:{site.email(letter)}")
    return {"quota_project": site.name, **act_as_the_machine(site, letter)}


def lose_quota_project(site: Site) -> Undo:
    """Take the role on the quota project from the first identity's principal."""
    return _lose_member(site, site.principal("a"))


def lose_quota_project_of_account(site: Site) -> Undo:
    """Take the role on the quota project from the first identity's account."""
    return _lose_member(site, f"serviceAccount:{site.email('a')}")


def _lose_member(site: Site, member: str) -> Undo:
    (binding,) = [each for each in site.project.policy.bindings if member in each.members]
    return assign(binding, members=[each for each in binding.members if each != member])


_NO_PROVIDER = "the pool or provider does not exist, is disabled"
_CHECK = "pool and provider below `providers.{name}`"

CHANGES = {
    "no-change": Change(make=lambda _: bool, cause="", remedy="", hits=""),
    "binding-lost": Change(
        make=lambda s: assign(s.account("a").policy, bindings=[]),
        cause="this principal may not act as the account",
        remedy="add-iam-policy-binding account-a@{name}.iam.gserviceaccount.com",
        hits="a",
    ),
    "account-disabled": Change(
        make=lambda s: assign(s.account("a"), disabled=True), cause="disabled", remedy="gcloud iam", hits="a"
    ),
    "account-deleted": Change(
        make=lambda s: assign(s.account("a"), deleted_at=1.0), cause="deleted", remedy="gcloud iam", hits="a"
    ),
    "delegate-lost": Change(
        make=lambda s: assign(s.account("a").policy, bindings=[]),
        cause="may not act as the account",
        remedy="account-a@{name}.iam.gserviceaccount.com",
        hits="a",
        prepare=go_through_delegate,
    ),
    "machine-role-lost": Change(
        make=lambda s: assign(s.account("a").policy, bindings=[]),
        cause="may not act as the account",
        remedy="--role=roles/iam.serviceAccountTokenCreator --member='serviceAccount:machine@my-project.",
        hits="a",
        prepare=act_as_the_machine,
    ),
    "quota-project-lost": Change(
        make=lose_quota_project,
        cause="quota project",
        remedy="gcloud projects add-iam-policy-binding {name}",
        hits="a",
        prepare=pay_by_project,
    ),
    "quota-lost-by-account": Change(
        make=lose_quota_project_of_account,
        cause="quota project",
        remedy="--member='serviceAccount:account-a@{name}.iam.gserviceaccount.com'",
        hits="a",
        prepare=pay_by_project,
    ),
    "quota-lost-without-pool": Change(
        make=lose_quota_project_of_account,
        cause="quota project",
        remedy="grant serviceAccount:account-a@{name}.iam.gserviceaccount.com roles/serviceusage.serviceUsageConsumer "
        "on project {name}: gcloud projects add-iam-policy-binding {name}",
        hits="a",
        prepare=pay_as_the_machine,
    ),
    "condition-for-one": Change(
        make=lambda s: assign(s.provider, condition=f"assertion.sub != '{s.name}-a'"),
        cause="attribute condition is false for this token",
        remedy="refresher inspect",
        hits="a",
    ),
    "condition-for-all": Change(
        make=lambda s: assign(s.provider, condition="assertion.sub == 'another'"),
        cause="attribute condition is false for this token",
        remedy="workloadIdentityPools/{name}/providers/refresher (attributeCondition)",
    ),
    "mapping-changed": Change(
        make=lambda s: assign(s.provider, mapping={"google.subject": "assertion.worker"}),
        cause="the claim that google.subject is mapped from is absent",
        remedy="assertion.sub",
    ),
    "pool-disabled": Change(make=lambda s: assign(s.pool, disabled=True), cause=_NO_PROVIDER, remedy=_CHECK),
    "pool-deleted": Change(make=lambda s: assign(s.pool, deleted_at=1.0), cause=_NO_PROVIDER, remedy=_CHECK),
    "provider-disabled": Change(make=lambda s: assign(s.provider, disabled=True), cause=_NO_PROVIDER, remedy=_CHECK),
    "provider-deleted": Change(make=lambda s: assign(s.provider, deleted_at=1.0), cause=_NO_PROVIDER, remedy=_CHECK),
    "provider-of-direct": Change(
        make=lambda s: assign(s.provider, disabled=True), cause=_NO_PROVIDER, remedy=_CHECK, prepare=act_directly
    ),
    "key-withdrawn": Change(
        make=lambda s: assign(s.provider, jwks={"keys": [PrivateKey.generate("ES256").public_jwk]}),
        cause="none of them has the token's `kid`",
        remedy="refresher keys jwks",
    ),
    "issuer-changed": Change(
        make=lambda s: assign(s.provider, issuer=f"{ISSUER}/"),
        cause="not exactly the provider's issuer",
        remedy="trailing slash",
    ),
    "audience-refused": Change(
        make=lambda s: assign(s.provider, allowed_audiences=["https://other"]),
        cause="the token's audience is not one that the provider accepts",
        remedy="set providers.{name}.audience",
    ),
    "sts-disabled": Change(
        make=lambda s: disable_service(s.project, "sts.googleapis.com"),
        cause="API",
        remedy="gcloud services enable sts.googleapis.com",
    ),
    "iam-disabled": Change(
        make=lambda s: disable_service(s.project, "iamcredentials.googleapis.com"),
        cause="API",
        remedy="gcloud services enable iamcredentials.googleapis.com",
    ),
    "perimeter-closed": Change(
        make=lambda s: assign(s.project, perimeter={"iamcredentials.googleapis.com"}),
        cause="service perimeter",
        remedy="ingress",
    ),
}
"""By name; the first changes nothing, and its identities must be accepted all the time."""
