"""The checks of the real provider's `validate`, with its texts; what it accepts is for the modules to check."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.terraform.provider.schemas import Values

_IDS = {
    "google_iam_workload_identity_pool": ("workload_identity_pool_id",),
    "google_iam_workload_identity_pool_provider": ("workload_identity_pool_provider_id",),
}
_ACCOUNT = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_ACCOUNT_NAME = re.compile(
    r"projects/(?:(?:[-a-z0-9]{1,63}\.)*(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?):)?(?:[0-9]{1,19}|(?:[a-z0-9](?:[-a-z0-9]"
    r"{0,61}[a-z0-9])?)|-)/serviceAccounts/.+@.+"
)
_KINDS = ("aws", "oidc", "saml", "x509")


def find_problems(type_name: str, values: Values) -> Iterator[str]:
    """Return the mistakes in a resource's configuration; unknown values are correct."""
    for name in _IDS.get(type_name, ()):
        if isinstance(values.get(name), str):
            yield from _pool_id(name, values[name])
    if type_name == "google_iam_workload_identity_pool_provider":
        given = [kind for kind in _KINDS if values.get(kind)]
        kinds, found = ",".join(_KINDS), ",".join(given)
        if not given:
            yield f'"oidc": one of `{kinds}` must be specified'
        elif len(given) > 1:
            yield f'"oidc": only one of `{kinds}` can be specified, but `{found}` were specified.'
    if type_name == "google_service_account" and isinstance(values.get("account_id"), str):
        yield from _account_id(values["account_id"])
    account = values.get("service_account_id")
    if isinstance(account, str) and not _ACCOUNT_NAME.fullmatch(account):
        yield f'"service_account_id" ("{account}") doesn\'t match regexp "{_ACCOUNT_NAME.pattern}"'
    if isinstance(values.get("member"), str):
        yield from _member(values["member"])
    service = values.get("service")
    if type_name == "google_project_service" and isinstance(service, str) and "." not in service:
        yield f"expected {service} to be a domain like serviceusage.googleapis.com"


def _pool_id(name: str, value: str) -> Iterator[str]:
    if len(value) < 4:
        yield f'"{name}" cannot be smaller than 4 characters'
    if len(value) > 32:
        yield f'"{name}" cannot be greater than 32 characters'
    if not re.fullmatch(r"[a-z0-9-]+", value):
        yield f'"{name}" must contain only lowercase letters (a-z), numbers (0-9), or dashes (-)'
    if value.startswith("gcp-"):
        yield f'"{name}" ("{value}") can not start with "gcp-"'


def _account_id(value: str) -> Iterator[str]:
    if not 6 <= len(value) <= 30:
        yield f'"account_id" ("{value}") must be between 6 and 30 characters long'
    if not _ACCOUNT.fullmatch(value):
        yield f'"account_id" ("{value}") must match regex "^{_ACCOUNT.pattern}$"'


def _member(value: Any) -> Iterator[str]:  # noqa: ANN401 - as Terraform hands it over
    if value.startswith("deleted:"):
        yield "invalid value for member (Terraform does not support IAM members for deleted principals)"
    elif not re.fullmatch(r"(allUsers|allAuthenticatedUsers|[A-Za-z]+:.+)", value):
        yield f'invalid value "{value}" for member (IAM members must have one of the values outlined here)'
