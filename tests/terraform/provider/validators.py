"""The checks of the real provider's `validate`, with its texts; what it accepts is for the modules to check."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.terraform.provider.schemas import Values

_IDS = {
    "google_iam_workload_identity_pool": ("workload_identity_pool_id",),
    "google_iam_workload_identity_pool_provider": ("workload_identity_pool_provider_id",),
}
_ACCOUNT = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_DOMAIN = r"(?:(?:[-a-z0-9]{1,63}\.)*(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?):)?"
_PROJECT = r"[0-9]{1,19}|(?:[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)"
_ACCOUNT_NAME = re.compile(
    f"projects/{_DOMAIN}(?:{_PROJECT}|-)/serviceAccounts/({_DOMAIN}(?:{_PROJECT})@[a-z]+.gserviceaccount.com$"
    r"|[0-9]{1,20}-compute@developer.gserviceaccount.com"
    r"|[a-z]([-a-z0-9]{4,28}[a-z0-9])?@[-a-z0-9\.]{1,63}\.iam\.gserviceaccount\.com$)"
)
"""Names of service accounts, as 7.45 checks them: three kinds of addresses, and no others."""

_MEMBER = re.compile(r".+:.+|allUsers|allAuthenticatedUsers|projectOwners|projectReaders|projectWriters")
_POLICIES = "https://cloud.google.com/billing/docs/reference/rest/v1/Policy#Binding"
_LONGEST_DESCRIPTION = 256
_KINDS = ("aws", "oidc", "saml", "x509")
_MODES = ("FEDERATION_ONLY", "TRUST_DOMAIN", "SYSTEM_TRUST_DOMAIN", "")


def find_problems(type_name: str, values: Values) -> Iterator[str]:
    """Return the mistakes in a resource's configuration; unknown values are correct."""
    for name in _IDS.get(type_name, ()):
        if isinstance(values.get(name), str):
            yield from _pool_id(name, values[name])
    if type_name in _OF_TYPE:
        yield from _OF_TYPE[type_name](values)
    account = values.get("service_account_id")
    if isinstance(account, str) and not _ACCOUNT_NAME.search(account):
        yield f'"service_account_id" ("{account}") doesn\'t match regexp "{_ACCOUNT_NAME.pattern}"'
    members = values.get("members")
    for member in [values.get("member"), *(members if isinstance(members, list) else [])]:
        if isinstance(member, str):
            yield from _member(member)


def _pool_id(name: str, value: str) -> Iterator[str]:
    if len(value) < 4:
        yield f'"{name}" cannot be smaller than 4 characters'
    if len(value) > 32:
        yield f'"{name}" cannot be greater than 32 characters'
    if not re.fullmatch(r"[a-z0-9-]+", value.removesuffix(".svc.id.goog")):
        yield f'"{name}" must contain only lowercase letters (a-z), numbers (0-9), or dashes (-)'
    if value.startswith("gcp-"):
        yield f'"{name}" ("{value}") can not start with "gcp-"'


def _pool(values: Values) -> Iterator[str]:
    mode = values.get("mode")
    if isinstance(mode, str) and mode not in _MODES:
        yield f"expected mode to be one of [{' '.join(json.dumps(known) for known in _MODES)}], got {mode}"


def _provider(values: Values) -> Iterator[str]:
    given = [kind for kind in _KINDS if values.get(kind)]
    kinds, found = ",".join(_KINDS), ",".join(given)
    if not given:
        yield f'"oidc": one of `{kinds}` must be specified'
    elif len(given) > 1:
        yield f'"oidc": only one of `{kinds}` can be specified, but `{found}` were specified.'


def _account(values: Values) -> Iterator[str]:
    name, description = values.get("account_id"), values.get("description")
    if isinstance(name, str) and not 6 <= len(name) <= 30:
        yield f'"account_id" ("{name}") must be between 6 and 30 characters long'
    if isinstance(name, str) and not _ACCOUNT.fullmatch(name):
        yield f'"account_id" ("{name}") must match regex "^{_ACCOUNT.pattern}$"'
    if isinstance(description, str) and len(description.encode()) > _LONGEST_DESCRIPTION:
        yield f"expected length of description to be in the range (0 - {_LONGEST_DESCRIPTION}), got {description}"


def _member(value: str) -> Iterator[str]:
    if value.startswith("deleted:"):
        yield "invalid value for member (Terraform does not support IAM members for deleted principals)"
    elif not _MEMBER.search(value):
        yield f'invalid value "{value}" for member (IAM members must have one of the values outlined here: {_POLICIES})'


def _service(values: Values) -> Iterator[str]:
    service = values.get("service")
    if isinstance(service, str) and "." not in service:
        yield f"expected {service} to be a domain like serviceusage.googleapis.com"


def _audit_config(values: Values) -> Iterator[str]:
    if values.get("audit_log_config") == []:
        yield 'At least 1 "audit_log_config" blocks are required.'


_OF_TYPE = {
    "google_iam_workload_identity_pool": _pool,
    "google_iam_workload_identity_pool_provider": _provider,
    "google_service_account": _account,
    "google_project_service": _service,
    "google_project_iam_audit_config": _audit_config,
}
