"""The kinds of suppliers. A new kind is one file in this package and one line here."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Union

from pydantic import Field

if TYPE_CHECKING:
    from collections.abc import Mapping

    from refresher.suppliers.interface import SupplierSettings


def _load(reference: str) -> type[SupplierSettings]:
    module, _, name = reference.partition(":")
    found: type[SupplierSettings] = getattr(import_module(f"refresher.suppliers.{module}"), name)
    return found


KINDS: Mapping[str, type[SupplierSettings]] = {
    reference.partition(":")[0]: _load(reference)
    for reference in (
        "self_issued:SelfIssuedSettings",
        "google_id_token:GoogleIdTokenSettings",
        "google_access_token:GoogleAccessTokenSettings",
        "file:FileSettings",
        "command:CommandSettings",
        "sign_jwt:SignJwtSettings",
        "client_credentials:ClientCredentialsSettings",
        "kubernetes:KubernetesSettings",
    )
}
"""The settings of each kind, by the name of the kind, which is that of its module."""

if TYPE_CHECKING:
    AnySupplierSettings = SupplierSettings
else:
    AnySupplierSettings = Annotated[Union[tuple(KINDS.values())], Field(discriminator="kind")]  # noqa: UP007 - built here
"""The settings of any kind, as pydantic reads them."""
