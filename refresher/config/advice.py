"""What is allowed and yet worth a warning: collected here, shown by whatever loaded the configuration."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from refresher.config.checks import choose
from refresher.durations import format_duration
from refresher.policy import SHORT_LIFETIME
from refresher.tokens import ACCESS_TOKEN_TYPE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from refresher.config.models import Configuration, IdentitySettings
    from refresher.settings.problems import Problem

_ACCOUNT = r"^[0-9]+$|\.gserviceaccount\.com$"
"""A unique id, or an e-mail below the domain that all kinds have (IAM documentation, "Types of service accounts")."""


def list_warnings(configuration: Configuration) -> Iterator[Problem]:
    """Return what an operator should know of a valid configuration."""
    for supplier in configuration.suppliers.values():
        if supplier.token_type == ACCESS_TOKEN_TYPE:
            clause = "issues access tokens, which the real STS refuses for workload pools"
            yield supplier.problem(clause, "use google_id_token")
        lifetime = supplier.configured_lifetime
        if lifetime is not None and lifetime < SHORT_LIFETIME:
            clause = f"is {format_duration(lifetime)}, so short that some clients exchange on every call"
            yield supplier.problem(clause, "use 10m or more, best 1h", "lifetime")
    for identity in configuration.identities.values():
        yield from _list_warnings(identity)
        chosen = choose(identity.supplier, configuration.suppliers) if identity.service_account is None else None
        lifetime = None if chosen is None else chosen.configured_lifetime
        if lifetime is not None and lifetime <= SHORT_LIFETIME:
            clause = (
                f"acts directly, with tokens of {format_duration(lifetime)}: its access tokens live no longer, so that "
                "Node, C++ and gcloud exchange one for every call, Rust every 10 s"
            )
            yield identity.problem(
                clause, "set a longer lifetime: for the supplier (1h), or add service_account: to it"
            )


def _list_warnings(identity: IdentitySettings) -> Iterator[Problem]:
    if identity.service_account is not None and not re.search(_ACCOUNT, identity.service_account):
        clause = f"is {identity.service_account}, which is not the name of a service account of Google Cloud"
        remedy = "write the e-mail that gcloud iam service-accounts list shows: NAME@PROJECT.iam.gserviceaccount.com"
        yield identity.problem(clause, remedy, "service_account")
    if identity.delegates:
        clause = "is a chain, which the ADC document cannot express: clients impersonate the service account directly"
        remedy = (
            "publish an access token (artifacts: {access_token: true}), which goes the whole chain; or grant the "
            "principal roles/iam.workloadIdentityUser on the service account itself"
        )
        yield identity.problem(clause, remedy, "delegates", at_key=True)
