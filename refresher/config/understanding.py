"""What of a configuration can be understood although parts of it are wrong, so that one mistake hides no other.

A valid configuration is understood as it is. Otherwise each identity and target is read without its broken keys, and
of suppliers and providers the plain facts that others refer to. Nothing is reported here: `refresher.config.sentences`
has done that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from refresher.config.models import Configuration, EndpointSettings, GoogleSettings, IdentitySettings, TargetSettings
from refresher.settings.model import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

Model = TypeVar("Model", bound=Settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class SupplierFacts:
    """What an identity needs to know of its supplier.

    Attributes:
        kind: As written; None if unreadable.
        via: How Google ID tokens are had.
        provider: As written; None if it is left out.
        has_credentials: Whether a credentials file is named.
        secrets: In how many places the secret of a client is said to be.
        signers: In how many places the key of a self-issuing supplier is said to be.
        has_signer: Whether the key is elsewhere.
        is_readable: Whether `provider` is known at all.
        written: All that is written of it.
    """

    kind: str | None
    via: str
    provider: str | None
    has_credentials: bool
    secrets: int
    signers: int
    has_signer: bool
    is_readable: bool
    written: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """The readable part of a configuration; a section that is no map at all is None.

    Attributes:
        providers: By name, whatever they hold.
        suppliers: By name.
        identities: By name, without their broken keys.
        targets: By name, without their broken keys.
        google: Without its broken keys.
        directory_root: None if it is broken.
        broken: Paths of the keys that were left out.
    """

    providers: Mapping[str, Any] | None
    suppliers: Mapping[str, SupplierFacts] | None
    identities: Mapping[str, IdentitySettings] | None
    targets: Mapping[str, TargetSettings]
    google: GoogleSettings
    directory_root: str | None
    broken: frozenset[tuple[str | int, ...]]


def understand(raw: Mapping[str, Any], configuration: Configuration | None) -> Understood:
    """Give what can be understood of a merged configuration; `configuration` is its valid form, if it has one."""
    suppliers = _section(raw, "suppliers")
    facts = None if suppliers is None else {name: _facts(body) for name, body in suppliers.items()}
    if configuration is not None:
        return Understood(
            providers=configuration.providers,
            suppliers=facts,
            identities=configuration.identities,
            targets=configuration.targets,
            google=configuration.google,
            directory_root=configuration.directory_root,
            broken=frozenset(),
        )
    broken: set[tuple[str | int, ...]] = set()
    top = _salvage(Configuration, {"version": 1, **_only(raw, "directory_root")}, (), broken)
    return Understood(
        providers=_section(raw, "providers"),
        suppliers=facts,
        identities=_salvaged(IdentitySettings, raw, "identities", broken),
        targets=_salvaged(TargetSettings, raw, "targets", broken) or {},
        google=_google(raw.get("google"), broken),
        directory_root=None if top is None or ("directory_root",) in broken else top.directory_root,
        broken=frozenset(broken),
    )


def _only(raw: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {key: raw[key]} if key in raw else {}


def _section(raw: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    section = raw.get(key, {})
    return section if isinstance(section, dict) else None


def _salvaged(
    model: type[Model], raw: Mapping[str, Any], key: str, broken: set[tuple[str | int, ...]]
) -> dict[str, Model] | None:
    section = _section(raw, key)
    if section is None:
        return None
    read = {name: _salvage(model, body, (key, name), broken) for name, body in section.items()}
    return {name: settings for name, settings in read.items() if settings is not None}


def _salvage(
    model: type[Model], body: object, path: tuple[str, ...], broken: set[tuple[str | int, ...]]
) -> Model | None:
    if not isinstance(body, dict):
        return None
    try:
        return model.model_validate(body)
    except ValidationError as error:
        bad = {each["loc"][0] for each in error.errors(include_url=False, include_context=False)}
    broken.update((*path, key) for key in bad)
    return model.model_validate({key: value for key, value in body.items() if key not in bad})


def _google(body: object, broken: set[tuple[str | int, ...]]) -> GoogleSettings:
    fields = dict(body) if isinstance(body, dict) else {}
    path = ("google", "endpoints")
    endpoints = _salvage(EndpointSettings, fields.pop("endpoints", {}), path, broken) or EndpointSettings()
    settings = _salvage(GoogleSettings, fields, ("google",), broken) or GoogleSettings()
    return settings.model_copy(update={"endpoints": endpoints})


def _facts(body: object) -> SupplierFacts:
    fields = body if isinstance(body, dict) else {}
    kind, via, provider = fields.get("kind"), fields.get("via", "metadata_server"), fields.get("provider")
    return SupplierFacts(
        kind=kind if isinstance(kind, str) else None,
        via=via if isinstance(via, str) else "metadata_server",
        provider=provider if isinstance(provider, str) else None,
        has_credentials="credentials" in fields,
        signers=len(fields.keys() & {"keys", "signer"}),
        has_signer="signer" in fields,
        secrets=len(fields.keys() & {"secret_file", "secret_variable"}),
        is_readable=isinstance(body, dict) and ("provider" not in fields or isinstance(provider, str)),
        written=fields,
    )
