"""What is allowed and yet worth a warning: collected here, shown by whoever loaded the configuration."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from refresher import durations
from refresher.policy import SHORT_LIFETIME
from refresher.settings.problems import Mistake
from refresher.tokens import ACCESS_TOKEN_TYPE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from refresher.config.models import Configuration

_ACCOUNT = re.compile(r"^[0-9]+$|\.gserviceaccount\.com$")
"""A unique id, or an e-mail below the domain that all kinds have (IAM documentation, "Types of service accounts")."""


def warnings_about(configuration: Configuration) -> Iterator[Mistake]:
    """Name what an operator should know of a valid configuration."""
    for name, supplier in configuration.suppliers.items():
        lifetime = supplier.configured_lifetime
        if supplier.lifetime_range is not None and lifetime is not None and lifetime < SHORT_LIFETIME:
            clause = f"is {durations.format_duration(lifetime)}, so short that some clients exchange on every call"
            yield Mistake(
                path=("suppliers", name, "lifetime"), clause=clause, remedy="use 10m or more; 1h suits nearly everybody"
            )
        if supplier.token_type == ACCESS_TOKEN_TYPE:
            clause = "hands out access tokens, which the real STS refuses for workload pools"
            yield Mistake(path=("suppliers", name), clause=clause, remedy="use google_id_token", at_key=True)
    yield from _of_direct_access(configuration)
    for name, identity in configuration.identities.items():
        if identity.service_account is not None and not _ACCOUNT.search(identity.service_account):
            clause = f"is {identity.service_account}, which no service account of Google Cloud is called"
            remedy = "give the e-mail that gcloud iam service-accounts list shows: NAME@PROJECT.iam.gserviceaccount.com"
            yield Mistake(path=("identities", name, "service_account"), clause=clause, remedy=remedy)
        if identity.delegates:
            clause = (
                "is a chain, which the ADC document cannot express: clients impersonate the service account directly"
            )
            remedy = (
                "publish an access token (artifacts: {access_token: true}), which goes the whole chain; or grant the "
                "principal roles/iam.workloadIdentityUser on the service account itself"
            )
            yield Mistake(path=("identities", name, "delegates"), clause=clause, remedy=remedy, at_key=True)


def _of_direct_access(configuration: Configuration) -> Iterator[Mistake]:
    """Name every identity without a service account whose access tokens are as short-lived as its subject tokens."""
    only = next(iter(configuration.suppliers)) if len(configuration.suppliers) == 1 else ""
    for name, identity in configuration.identities.items():
        supplier = configuration.suppliers.get(identity.supplier or only)
        lifetime = None if supplier is None else supplier.configured_lifetime
        if identity.service_account is None and lifetime is not None and lifetime <= SHORT_LIFETIME:
            clause = (
                f"acts directly, with tokens of {durations.format_duration(lifetime)}: its access tokens live "
                "no longer, so that Node, C++ and gcloud exchange one for every call, Rust every 10 s"
            )
            remedy = "let the supplier's tokens live longer (lifetime: 1h), or add service_account: to it"
            yield Mistake(path=("identities", name), clause=clause, remedy=remedy, at_key=True)
