"""From a request to its rule and from whatever happens to an answer: Google's error shapes, never a traceback."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from refresher.emulator import (
    control,
    iam_credentials,
    metadata_server,
    oauth2,
    oidc_issuer,
    resource_manager,
    sts,
)
from refresher.emulator.calls import Call, Reply
from refresher.emulator.errors import Refusal, api_refusal
from refresher.emulator.journal import Entry

if TYPE_CHECKING:
    from refresher.emulator.calls import Rule
    from refresher.emulator.cloud import Cloud

_SERVICES = (control, sts, iam_credentials, metadata_server, oidc_issuer, oauth2, resource_manager)
_ROUTES: list[tuple[str, re.Pattern[str], Rule]] = [
    (method, re.compile(pattern), rule) for service in _SERVICES for method, pattern, rule in service.ROUTES
]


def answer(cloud: Cloud, call: Call) -> Reply:
    """Give the answer to a request, and note both in the journal."""
    entry = Entry(time=cloud.now(), method=call.method, path=call.path, facts=call.facts)
    try:
        reply = _apply(cloud, call)
    except Refusal as refusal:
        reply = _refused(entry, refusal)
    except Exception:  # noqa: BLE001 - whatever a client sends, it gets an answer in Google's shape
        reply = _refused(entry, api_refusal("internal"))
    entry.status = reply.status
    cloud.journal.add(entry)
    return reply


def _apply(cloud: Cloud, call: Call) -> Reply:
    for method, pattern, rule in _ROUTES:
        if method == call.method and (found := pattern.fullmatch(call.path)) is not None:
            return rule(cloud, call, {name: value or "" for name, value in found.groupdict().items()})
    raise api_refusal("no_method")


def _refused(entry: Entry, refusal: Refusal) -> Reply:
    entry.refusal = refusal.entry
    return Reply(document=refusal.document, status=refusal.status)
