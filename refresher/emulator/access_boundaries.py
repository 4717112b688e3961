"""Credential Access Boundaries: what a downscoped token can still do.

https://cloud.google.com/iam/docs/downscoping-short-lived-credentials. As at Google, only Cloud Storage applies them.
`refresher.emulator.permissions` decides what a boundary permits. Client-side boundaries are not emulated.
"""

import json
from typing import Any
from urllib.parse import unquote

from refresher.emulator.errors import sts_refusal
from refresher.emulator.expressions import BINDING, ExpressionError, check

MOST_RULES = 10
LONGEST_OPTIONS = 4096
_BUCKETS = "//storage.googleapis.com/projects/_/buckets/"


def read_options(text: str) -> dict[str, Any]:
    """Read the `options` of an exchange, which are JSON or URL-encoded JSON.

    Raises:
        Refusal: They are not a JSON object, or are too long.
    """
    if not text:
        return {}
    for candidate in (text, unquote(text)):
        try:
            options = json.loads(candidate)
        except (ValueError, RecursionError):
            continue
        if isinstance(options, dict) and len(candidate) <= LONGEST_OPTIONS:
            return options
    raise sts_refusal("options")


def read_boundary(options: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rules of the access boundary in an exchange's options.

    Raises:
        Refusal: The access boundary is missing or invalid.
    """
    boundary = options.get("accessBoundary")
    rules = boundary.get("accessBoundaryRules") if isinstance(boundary, dict) else None
    if not isinstance(rules, list) or not rules:
        raise sts_refusal("boundary", problem="accessBoundaryRules is missing")
    if len(rules) > MOST_RULES:
        raise sts_refusal("boundary", problem=f"it has more than {MOST_RULES} rules")
    for rule in rules:
        _check(rule)
    return rules


def _check(rule: object) -> None:
    if not isinstance(rule, dict):
        raise sts_refusal("boundary", problem="a rule is not an object")
    if not str(rule.get("availableResource", "")).startswith(_BUCKETS):
        raise sts_refusal("boundary", problem="availableResource is not a bucket")
    permissions = rule.get("availablePermissions")
    if not isinstance(permissions, list) or not permissions:
        raise sts_refusal("boundary", problem="availablePermissions is missing")
    if not all(isinstance(entry, str) and entry.startswith("inRole:") for entry in permissions):
        raise sts_refusal("boundary", problem="availablePermissions must be of the form inRole:ROLE")
    condition = rule.get("availabilityCondition")
    if condition is None:
        return
    try:
        check(str(condition["expression"]), BINDING)
    except (ExpressionError, KeyError, TypeError):
        raise sts_refusal("boundary", problem="availabilityCondition does not compile") from None
