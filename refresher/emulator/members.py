"""Members of policies and groups that are service accounts: grants belong to the account, not to its e-mail.

https://cloud.google.com/iam/docs/principal-identifiers and
https://cloud.google.com/iam/docs/service-accounts-delete-undelete. When an account is deleted, every policy shows
`deleted:serviceAccount:EMAIL?uid=UNIQUE_ID` in its place, which grants nothing, and an account that is created with the
same e-mail inherits nothing. Undeletion restores the member.
"""

import re
from collections.abc import Iterator
from typing import Any

from refresher.emulator.policies import Policy
from refresher.emulator.state import ServiceAccount, State

_ACCOUNT = "serviceAccount:"
_DELETED = re.compile(r"deleted:serviceAccount:(?P<email>[^?]+)\?uid=(?P<uid>\d+)")


def bind_member(state: State, member: str) -> str:
    """Return the form of a member that a policy stores: the one that shows whether the account exists now."""
    deleted = _DELETED.fullmatch(member)
    email = deleted["email"] if deleted is not None else member.removeprefix(_ACCOUNT)
    account = state.service_accounts.get(email)
    if account is None or (deleted is not None and deleted["uid"] != account.unique_id):
        return member
    return _name(account)


def rename_members(state: State, account: ServiceAccount) -> None:
    """Show in all policies and groups that an account was deleted or undeleted just now."""
    present = _name(account)
    names = {f"{_ACCOUNT}{account.email}", _deleted_name(account)} - {present}
    for policy in _policies(state):
        for binding in policy.bindings:
            binding.members = _renamed(binding.members, names, present)
        for log in _logs(policy):
            log["exemptedMembers"] = sorted(_renamed(set(log["exemptedMembers"]), names, present))
    for group, members in state.groups.items():
        # a group may also list the e-mail alone
        state.groups[group] = _renamed(members, names | {account.email}, present)


def _name(account: ServiceAccount) -> str:
    return f"{_ACCOUNT}{account.email}" if account.deleted_at is None else _deleted_name(account)


def _deleted_name(account: ServiceAccount) -> str:
    return f"deleted:{_ACCOUNT}{account.email}?uid={account.unique_id}"


def _renamed(members: set[str], old: set[str], new: str) -> set[str]:
    return (members - old) | {new} if members & old else members


def _policies(state: State) -> Iterator[Policy]:
    for kind in ("projects", "pools", "service_accounts", "buckets", "crypto_keys"):
        yield from (resource.policy for resource in getattr(state, kind).values())
    yield from state.run_policies.values()


def _logs(policy: Policy) -> Iterator[dict[str, Any]]:
    for config in policy.audit_configs:
        yield from (log for log in config.get("auditLogConfigs", ()) if log.get("exemptedMembers"))
