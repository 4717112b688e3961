"""Finds the rule for a request, and turns every outcome into an answer: Google's error shapes, never a traceback."""

import re
from collections.abc import Mapping
from dataclasses import replace

from refresher.emulator import (
    account_keys,
    allowed_locations,
    audit_log,
    bigquery,
    cloud_kms,
    cloud_logging,
    cloud_run,
    control,
    iam_admin,
    iam_credentials,
    metadata_server,
    monitoring,
    oauth2,
    oidc_issuer,
    org_policy,
    resource_manager,
    service_usage,
    storage,
    sts,
)
from refresher.emulator.cloud import Cloud
from refresher.emulator.errors import Refusal, api_refusal
from refresher.emulator.evaluation import IdentityNeeded
from refresher.emulator.faults import Fault
from refresher.emulator.http import ENCODED_SLASH, Call, Reply, Route
from refresher.emulator.journal import Entry
from refresher.emulator.oidc_issuer import KeysNeeded
from refresher.emulator.scripted_refusals import build_refusal
from refresher.emulator.storage import xml

ROUTES: tuple[Route, ...] = (
    *control.ROUTES,
    *sts.ROUTES,
    *iam_credentials.ROUTES,
    *allowed_locations.ROUTES,
    *metadata_server.ROUTES,
    *oidc_issuer.ROUTES,
    *account_keys.ROUTES,
    *oauth2.ROUTES,
    *iam_admin.ROUTES,
    *resource_manager.ROUTES,
    *service_usage.ROUTES,
    *cloud_run.ROUTES,
    *cloud_kms.ROUTES,
    *org_policy.ROUTES,
    *cloud_logging.ROUTES,
    *monitoring.ROUTES,
    *bigquery.ROUTES,
    *storage.ROUTES,
)
"""All routes except those of Cloud Storage's XML API."""

_NAME = re.compile(r"\{(\w+)(\*{0,2})\}")
_SEGMENTS = {"": r"[^/:]+", "*": r"[^/]+", "**": r".+"}
_PROJECT = r"[^/:]+(?::[^/:A-Z]+)?"
"""A project's id, `example.com:legacy` too, or a name that contains one. No id has capitals, but most methods have."""

_VERB = re.compile(r":([A-Za-z]+)$")
_MOST_PREFIXES = 3


def _compile_pattern(template: str) -> re.Pattern[str]:
    """Compile a path template. A segment contains no colon, since a colon begins a custom method."""
    parts, end = [], 0
    for found in _NAME.finditer(template):
        name, kind = found[1], found[2]
        segment = _PROJECT if name in ("project", "parent") and not kind else _SEGMENTS[kind]
        parts += [re.escape(template[end : found.start()]), f"(?P<{name}>{segment})"]
        end = found.end()
    return re.compile("".join([*parts, re.escape(template[end:])]), re.DOTALL)


_ROUTES: dict[tuple[str, str], list[tuple[re.Pattern[str], Route]]] = {}
OPERATIONS: set[str] = set()
"""The name of every operation."""

for _route in ROUTES:
    _verb = _VERB.search(_route.pattern)
    _ROUTES.setdefault((_route.method, _verb[1] if _verb else ""), []).append(
        (_compile_pattern(_route.pattern), _route)
    )
    OPERATIONS.add(_route.operation)


def answer(cloud: Cloud, call: Call) -> Reply:
    """Answer a request, and note both in the journal and the audit log.

    Raises:
        KeysNeeded: An issuer must be asked first. Then the caller repeats the call.
        IdentityNeeded: The expressions of a provider must be evaluated first. Then the caller repeats the call.
    """
    entry = Entry(time=cloud.now(), method=call.method, path=call.path.replace(ENCODED_SLASH, "%2F"), facts=call.facts)
    with cloud.lock:
        try:
            reply = _answer(cloud, call, entry)
        except Refusal as refused:
            entry.refusal = refused.entry
            reply = Reply(document=refused.document, text=refused.text, status=refused.status, headers=refused.headers)
        except OSError:  # the state or the audit log cannot be written
            failed = api_refusal("internal")
            entry.refusal = failed.entry
            reply = Reply(document=failed.document, status=failed.status)
        entry.status = reply.status
        cloud.journal.add(entry)
    return reply


def _answer(cloud: Cloud, call: Call, entry: Entry) -> Reply:
    route, names = _find(cloud, call)
    entry.operation = route.operation
    fault = _take_fault(cloud, route, call)
    try:
        reply = _apply(cloud, call, route, names, fault)
    except Refusal as refused:
        audit_log.record(cloud, route.operation, call, changes=route.changes, refusal=refused)
        entry.refusal = refused.entry
        reply = Reply(document=refused.document, text=refused.text, status=refused.status, headers=refused.headers)
    else:
        audit_log.record(cloud, route.operation, call, changes=route.changes, refusal=None)
    if fault is not None or (route.changes and entry.refusal is None):
        cloud.save()
    return replace(reply, fault=fault) if fault is not None else reply


def _apply(cloud: Cloud, call: Call, route: Route, names: Mapping[str, str], fault: Fault | None) -> Reply:
    if fault is not None and fault.refusal is not None:
        raise build_refusal(cloud, fault.refusal, route.operation, call, names)
    if fault is not None and fault.status is not None:
        return Reply(document=_build_error(fault.status), text=fault.body, status=fault.status)
    try:
        reply = route.rule(cloud, call, names)
    except (Refusal, KeysNeeded, IdentityNeeded):
        raise
    except Exception:  # noqa: BLE001 - every request gets an answer in Google's shape
        raise api_refusal("internal") from None
    return _change_reply(reply, fault) if fault is not None else reply


def _take_fault(cloud: Cloud, route: Route, call: Call) -> Fault | None:
    if not call.faults:
        is_ours = route.operation.startswith("emulator.")
        call.faults.append(None if is_ours else cloud.faults.take(route.operation))
    return call.faults[0]


def _change_reply(reply: Reply, fault: Fault) -> Reply:
    if fault.body is not None:
        return replace(reply, document=None, text=fault.body)
    if isinstance(reply.document, dict):
        kept = {name: value for name, value in reply.document.items() if name not in fault.without}
        return replace(reply, document=kept | (fault.fields or {}))
    return reply


def _build_error(status: int) -> dict[str, object]:
    return {"error": {"code": status, "message": "A scripted fault.", "status": "UNKNOWN"}}


def _find(cloud: Cloud, call: Call) -> tuple[Route, dict[str, str]]:
    """Find the route of a path, with or without a prefix in front of it."""
    path = call.path
    for _ in range(_MOST_PREFIXES + 1):
        found = _match(call.method, path) or _match(call.method, path, verb="")
        if found is not None:
            return found
        path = "/" + path.lstrip("/").partition("/")[2]
        if path == "/":
            break
    fallback = xml.find_route(cloud, call)
    if fallback is not None:
        return fallback
    raise api_refusal("no_method")


def _match(method: str, path: str, verb: str | None = None) -> tuple[Route, dict[str, str]] | None:
    if verb is None:
        found_verb = _VERB.search(path)
        verb = found_verb[1] if found_verb else ""
    for pattern, route in _ROUTES.get((method, verb), ()):
        found = pattern.fullmatch(path)
        if found is not None:
            return route, {name: value.replace(ENCODED_SLASH, "/") for name, value in found.groupdict().items()}
    return None
