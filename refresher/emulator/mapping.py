"""Attribute mapping and attribute condition: they turn a verified assertion into an identity of Google Cloud.

https://docs.cloud.google.com/iam/docs/workload-identity-federation#mapping, with Google's limits.
`refresher.emulator.iam_admin.provider_rules` decides which mappings a provider may have.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from refresher.emulator.errors import sts_refusal
from refresher.emulator.expressions import CONDITION, MAPPING, ExpressionError, convert_json, evaluate, is_quick
from refresher.emulator.state import Provider

LARGEST_SUBJECT = 127
LARGEST_IN_ALL = 8192
"""The limit for all mapped attributes together, in bytes."""

_QUICK_EXPRESSIONS = 4096
_QUICK_TOKEN = 8192

SUBJECT = "google.subject"
GROUPS = "google.groups"
ATTRIBUTE = "attribute."


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The identity of an assertion.

    Attributes:
        subject: The value of `google.subject`.
        groups: The values of `google.groups`.
        attributes: Custom attributes by name, without `attribute.`.
    """

    subject: str
    groups: tuple[str, ...] = ()
    attributes: dict[str, str] = field(default_factory=dict)


def is_quick_for(provider: Provider, subject_token: str) -> bool:
    """Return whether mapping a subject token surely takes only a moment, so that other requests don't have to wait."""
    expressions = [*provider.mapping.values(), provider.condition]
    return (
        len(subject_token) <= _QUICK_TOKEN
        and sum(map(len, expressions)) <= _QUICK_EXPRESSIONS
        and all(map(is_quick, expressions))
    )


def map_identity(provider: Provider, assertion: Mapping[str, object]) -> Identity:
    """Map an assertion and evaluate the provider's condition.

    Raises:
        Refusal: E9 if a claim is nested too deeply, E14 without a subject, E3 if the subject is too long, E12 if the
            condition is false.
    """
    try:
        values = {"assertion": convert_json(dict(assertion))}
    except ExpressionError:
        raise sts_refusal("E9") from None
    identity = Identity(
        subject=_map_subject(provider.mapping.get(SUBJECT, ""), values),
        groups=_map_groups(provider.mapping.get(GROUPS), values),
        attributes=_map_attributes(provider.mapping, values),
    )
    _check_size(identity)
    if provider.condition and not _holds(provider.condition, values, identity):
        raise sts_refusal("E12")
    return identity


def _map_subject(expression: str, values: Mapping[str, Any]) -> str:
    try:
        subject = evaluate(expression, MAPPING, values)
    except ExpressionError:
        raise sts_refusal("E14") from None
    if not isinstance(subject, str) or not subject:
        raise sts_refusal("E14")
    if len(subject.encode()) > LARGEST_SUBJECT:
        raise sts_refusal("E3")
    return subject


def _map_groups(expression: str | None, values: Mapping[str, Any]) -> tuple[str, ...]:
    if expression is None:
        return ()
    try:
        groups = evaluate(expression, MAPPING, values)
    except ExpressionError:
        return ()  # without the claim, the identity is in no group
    if isinstance(groups, str):
        return (groups,)
    if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
        raise sts_refusal("not_text", name=GROUPS)
    return tuple(groups)


def _map_attributes(mapping: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, str]:
    attributes = {}
    for name, expression in mapping.items():
        if not name.startswith(ATTRIBUTE):
            continue
        try:
            value = evaluate(expression, MAPPING, values)
        except ExpressionError:
            continue  # without the claim, the identity does not have the attribute
        if value is None:
            continue
        if not isinstance(value, str):
            raise sts_refusal("not_text", name=name)
        attributes[name.removeprefix(ATTRIBUTE)] = value
    return attributes


def _check_size(identity: Identity) -> None:
    texts = [identity.subject, *identity.groups, *identity.attributes.values()]
    if len(texts) > LARGEST_IN_ALL or sum(len(text.encode()) for text in texts) > LARGEST_IN_ALL:
        raise sts_refusal("too_large")


def _holds(condition: str, values: Mapping[str, Any], identity: Identity) -> bool:
    google = {"subject": identity.subject, "groups": list(identity.groups)}
    try:
        return evaluate(condition, CONDITION, {**values, "google": google, "attribute": identity.attributes}) is True
    except ExpressionError:
        return False
