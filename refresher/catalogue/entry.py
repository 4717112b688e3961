"""What is known about one failure, how it is recognised, and the failures that all services of Google share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One known failure.

    Attributes:
        name: Its id.
        status: Its HTTP status; 0 for any.
        text: A part of Google's message; empty to recognise it by the status alone.
        cause: Why it happens.
        remedy: What to do, imperative; may contain `{service_account}`.
        source: Where it is documented or was measured.
        is_missing_role: Whether the caller lacks a role; a module that knows the caller replaces the remedy.
    """

    name: str
    status: int
    text: str
    cause: str
    remedy: str
    source: str
    is_missing_role: bool = False


SHARED = (
    Entry(
        name="I3",
        status=403,
        text="insufficient authentication scopes",
        cause="the caller's token lacks the cloud-platform scope",
        remedy="set the machine's access scope to cloud-platform, or use other source credentials",
        source="https://docs.cloud.google.com/compute/docs/access/service-accounts#scopes_best_practice",
    ),
    Entry(
        name="I12",
        status=403,
        text="serviceusage.serviceUsageConsumer",
        cause="this principal may not use the quota project",
        remedy="grant the principal roles/serviceusage.serviceUsageConsumer on the quota project",
        source="https://github.com/google-github-actions/auth/issues/250",
    ),
    Entry(
        name="I10",
        status=401,
        text="",
        cause="the source credential has expired or is not accepted",
        remedy="check the source credentials of the supplier",
        source="https://docs.cloud.google.com/iam/docs/troubleshooting-workload-identity-federation",
    ),
    Entry(
        name="quota",
        status=429,
        text="",
        cause="a quota is exhausted",
        remedy="reduce the number of calls, or request a higher quota",
        source="https://docs.cloud.google.com/iam/quotas",
    ),
    Entry(
        name="E15",
        status=500,
        text="",
        cause="Google failed, or the token was about to expire",
        remedy="wait; if it goes on, check that the token file is refreshed well before its token expires",
        source="measured",
    ),
)
"""Entries that hold for every service of Google's."""


def recognise(entries: Iterable[Entry], status: int, text: str) -> Entry | None:
    """Return the first entry of an error by its HTTP status and the server's words; None for an unknown one."""
    return next((entry for entry in entries if entry.status in (0, status) and entry.text in text), None)
