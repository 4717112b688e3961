"""The kinds of suppliers. A new kind is one file in this package and one line here."""

from collections.abc import Iterator, Mapping
from importlib import import_module

from refresher.suppliers.interface import SupplierSettings

_MODELS = {
    "self_issued": "SelfIssuedSettings",
    "google_id_token": "GoogleIdTokenSettings",
    "google_access_token": "GoogleAccessTokenSettings",
    "file": "FileSettings",
    "command": "CommandSettings",
    "sign_jwt": "SignJwtSettings",
    "client_credentials": "ClientCredentialsSettings",
    "kubernetes": "KubernetesSettings",
}
"""Each kind, which is its module too, and its settings model; in the order of messages and of the documentation."""


class _Kinds(Mapping[str, "type[SupplierSettings]"]):
    """The settings models by kind; a module is imported when its kind is looked up, since most are not configured."""

    def __getitem__(self, kind: str) -> type[SupplierSettings]:
        name = _MODELS[kind]
        found: type[SupplierSettings] = getattr(import_module(f"refresher.suppliers.{kind}"), name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(_MODELS)

    def __len__(self) -> int:
        return len(_MODELS)


KINDS: Mapping[str, type[SupplierSettings]] = _Kinds()
"""The settings model of each kind, by its name."""
