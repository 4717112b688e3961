"""What is allowed and yet worth a warning: collected here, shown by whoever loaded the configuration."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from refresher.config import durations
from refresher.config.problems import Mistake
from refresher.config.supplier_models import GoogleAccessTokenSettings, SelfIssuedSettings, SignJwtSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from refresher.config.models import Configuration

SHORT_LIFETIME = timedelta(minutes=10)
"""Below it, half a life is less than the five minutes that Node and C++ want to see left."""


def warnings_about(configuration: Configuration) -> Iterator[Mistake]:
    """Name what an operator should know of a valid configuration."""
    for name, supplier in configuration.suppliers.items():
        if isinstance(supplier, SelfIssuedSettings | SignJwtSettings) and supplier.lifetime < SHORT_LIFETIME:
            clause = (
                f"is {durations.format_duration(supplier.lifetime)}, so short that some clients exchange on every call"
            )
            yield Mistake(
                path=("suppliers", name, "lifetime"), clause=clause, remedy="use 10m or more; 1h suits nearly everybody"
            )
        if isinstance(supplier, GoogleAccessTokenSettings):
            clause = "hands out access tokens, which the real STS refuses for workload pools"
            yield Mistake(path=("suppliers", name), clause=clause, remedy="use google_id_token", at_key=True)
    for name, identity in configuration.identities.items():
        if identity.delegates:
            clause = (
                "is a chain, which the ADC document cannot express: clients impersonate the service account directly"
            )
            remedy = (
                "publish an access token (artifacts: {access_token: true}), which goes the whole chain; or grant the "
                "principal roles/iam.workloadIdentityUser on the service account itself"
            )
            yield Mistake(path=("identities", name, "delegates"), clause=clause, remedy=remedy, at_key=True)
