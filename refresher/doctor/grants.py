"""The link of the users' accounts: does a binding let the principal of one identity act as the account of another?

Two looks. Each identity's own federated token asks what it may do on the next identity's account
(`testIamPermissions`), which needs no role and finds a binding of any form, also one on the project or folder. And the
accounts' policies are read with the worker's own credentials, which names the binding. What these may not read is
`unknown`, never fine.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from refresher.config.loader import LoadedConfiguration
from refresher.doctor.diagnosis import Finding, State, ok, skip
from refresher.doctor.facts import Attempt, Facts
from refresher.doctor.rights import fetch_own, list_credentials
from refresher.doctor.trials import THREADS, attempt
from refresher.errors import ExitStatus, ImpersonationError
from refresher.google.call import Call
from refresher.resources import CREATOR_ROLE, Impersonation, find_project, own_principal
from refresher.suppliers.interface import Workshop
from refresher.text import escape
from refresher.tokens import AccessToken

LINK = "grants"
_ACTING_ROLES = (
    "roles/iam.workloadIdentityUser",
    CREATOR_ROLE,
    "roles/iam.serviceAccountOpenIdTokenCreator",
    "roles/owner",
    "roles/editor",
)
_PUBLIC = ("allUsers", "allAuthenticatedUsers")
_PERMISSIONS = ("iam.serviceAccounts.getAccessToken", "iam.serviceAccounts.getOpenIdToken")

Policies = Mapping[str, Sequence["_Grant"]]


class _Grant(NamedTuple):
    """A member that a role on an account lets act as it."""

    role: str
    member: str


def check_grants(loaded: LoadedConfiguration, workshop: Workshop, facts: Iterable[Facts]) -> Iterator[Finding]:
    """Return a finding for each account that more than its own identity may act as, or one for all accounts."""
    ways = {way: each.trial.exchange for each in facts if not (way := each.target.impersonation).is_own}
    accounts = sorted({way.service_account for way in ways if way.service_account is not None})
    if not accounts:
        yield skip(LINK, "no target has a service account that only federation should reach")
        return
    policies, unread = _read_policies(loaded, workshop, accounts)
    found = [*_judge_members(policies), *_judge_sets(policies)]
    named = {account for account, _ in found}
    crossed, count = _cross(workshop, ways)
    found += [each for each in crossed if each[0] not in named]
    yield from (finding for _, finding in found)
    if unread:
        alone = "; no pool has a second account here whose identity was exchanged, so none was tried"
        tried = f"; no identity may act as the next one's account ({count} tried)" if count else alone
        command = f"gcloud iam service-accounts get-iam-policy {accounts[0]}"
        yield Finding(
            link=LINK,
            state=State.UNKNOWN,
            evidence=f"the policies of the users' accounts ({len(accounts)}) can't be read: "
            f"{unread.removesuffix('.')}{'' if crossed else tried}",
            remedy=f"look for principalSet members yourself: {command}",
        )
    elif not found:
        yield ok(LINK, f"no binding of the users' accounts ({len(accounts)}) has a member for more than one identity")


def _judge_members(policies: Policies) -> Iterator[tuple[str, Finding]]:
    for account, grants in policies.items():
        for grant in grants:
            if grant.member in _PUBLIC or (grant.member.startswith("principalSet:") and grant.member.endswith("/*")):
                yield account, _report("grant-everyone", account, grant)


def _judge_sets(policies: Policies) -> Iterator[tuple[str, Finding]]:
    """Find sets that are members on two accounts: who is in such a set may act as both."""
    shared: dict[str, list[tuple[str, _Grant]]] = {}
    for account, grants in policies.items():
        for grant in grants:
            if grant.member.startswith("principalSet:") and not grant.member.endswith("/*"):
                shared.setdefault(grant.member, []).append((account, grant))
    for holders in shared.values():
        if len({account for account, _ in holders}) > 1:
            yield from ((account, _report("grant-set", account, grant)) for account, grant in holders)


def _cross(
    workshop: Workshop, ways: Mapping[Impersonation, Attempt[AccessToken]]
) -> tuple[list[tuple[str, Finding]], int]:
    """Try each account as the next identity of its pool; return what is found, and how many accounts were tried."""
    pools: dict[tuple[str, str], dict[str, tuple[Impersonation, AccessToken]]] = {}
    for way, exchange in ways.items():
        if way.provider is not None and way.service_account is not None and exchange.result is not None:
            pool = way.provider.project_number, way.provider.pool
            pools.setdefault(pool, {}).setdefault(way.service_account, (way, exchange.result))
    pairs = []
    for members in pools.values():
        names = list(members)
        pairs += [(names[index], *members[names[index - 1]]) for index in range(len(names)) if len(names) > 1]
    with ThreadPoolExecutor(THREADS) as pool_of_threads:
        jobs = [pool_of_threads.submit(_test, workshop, account, token) for account, _, token in pairs]
        answers = [job.result() for job in jobs]
    found = []
    for (account, way, _), held in zip(pairs, answers, strict=True):
        if held.result:
            evidence = f"{way.principal} has {', '.join(held.result)} on {account}"
            entry = partial(Finding.of_entry, LINK, "grant-crossed", evidence, {"service_account": account})
            found.append((account, entry(stage=ExitStatus.EXCHANGE)))
    return found, sum(each.result is not None for each in answers)


def _test(workshop: Workshop, account: str, token: AccessToken) -> Attempt[tuple[str, ...]]:
    call = _prepare(workshop, account, "testIamPermissions", token, {"permissions": list(_PERMISSIONS)})

    def ask() -> tuple[str, ...]:
        held = call.fetch_document(workshop.transport()).get("permissions", [])
        return tuple(each for each in _PERMISSIONS if isinstance(held, list) and each in held)

    return attempt(ask)


def _read_policies(loaded: LoadedConfiguration, workshop: Workshop, accounts: list[str]) -> tuple[Policies, str]:
    """Return who may act as each account, by the first credentials that may read it, and why one can't be read."""
    found: dict[str, Sequence[_Grant]] = {}
    problem = ""
    for credentials in list_credentials(loaded):
        own = attempt(partial(fetch_own, workshop, credentials))
        if own.result is None:
            problem = problem or (own.error.problem if own.error else "")
            continue
        missing = [account for account in accounts if account not in found]
        with ThreadPoolExecutor(THREADS) as pool:
            answers = list(pool.map(partial(_read_policy, workshop, own.result), missing))
        for account, answer in zip(missing, answers, strict=True):
            if answer.result is not None:
                found[account] = answer.result
            elif answer.error is not None:
                problem = f"{own_principal(credentials)}: {answer.error.problem}"
    return found, "" if len(found) == len(accounts) else problem


def _read_policy(workshop: Workshop, token: AccessToken, account: str) -> Attempt[tuple[_Grant, ...]]:
    call = _prepare(workshop, account, "getIamPolicy", token, {"options": {"requestedPolicyVersion": 3}})

    def read() -> tuple[_Grant, ...]:
        bindings = call.fetch_document(workshop.transport()).get("bindings", [])
        try:
            pairs = [(str(each["role"]), str(member)) for each in bindings for member in each.get("members", [])]
        except (TypeError, KeyError, AttributeError):
            raise call.reject("is not a policy") from None
        return tuple(_Grant(role, member) for role, member in pairs if role in _ACTING_ROLES)

    return attempt(read)


def _prepare(workshop: Workshop, account: str, method: str, token: AccessToken, document: dict[str, object]) -> Call:
    return Call(
        asked=f"{method} of {account}",
        url=f"{workshop.endpoints.api_origin('iam')}/v1/projects/-/serviceAccounts/{account}:{method}",
        error=ImpersonationError,
        bearer=token.value,
        document=document,
    )


def _report(entry: str, account: str, grant: _Grant) -> Finding:
    project = find_project(account)
    revoke = (
        f"gcloud iam service-accounts remove-iam-policy-binding {account}{f' --project={project}' if project else ''} "
        f"--role={grant.role} --member='{escape(grant.member)}'"
    )
    evidence = f"{escape(grant.member)} has {escape(grant.role)} on {account}"
    named = {"revoke": revoke, "member": escape(grant.member)}
    return Finding.of_entry(LINK, entry, evidence, named, stage=ExitStatus.EXCHANGE)
