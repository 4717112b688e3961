"""Whether identities can be told apart at all: Google knows a workload by its subject, and by nothing else.

Two identities whose tokens have the same subject are one principal. If they are bound to different service accounts,
either can act as the other's, whatever file it is given. That is refused unless each of them says that it is meant.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from refresher.settings.problems import Mistake

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from refresher.config.models import IdentitySettings
    from refresher.config.understanding import SupplierFacts, Understood

_SOURCES: Mapping[str, tuple[str, ...]] = {
    "client_credentials": ("issuer", "client_id"),
    "command": ("argv",),
    "file": ("path",),
    "google_access_token": ("credentials",),
}
"""Kinds of suppliers that give everybody the token of one source, and the keys that tell one source from another."""

_IDENTITY, _SUBJECT = "{identity}", "{subject}"
"""Placeholders by which a program can tell for whom it is asked; the second one if there is a subject."""


def mistakes_of_isolation(understood: Understood) -> Iterator[Mistake]:
    """Name every identity that could act as another one's service account."""
    sharing: dict[object, dict[str, IdentitySettings]] = {}
    for name, identity in (understood.identities or {}).items():
        for key in _subjects_of(identity, understood):
            sharing.setdefault(key, {})[name] = identity
    found: dict[str, Mistake] = {}
    for members in sharing.values():
        for name, mistake in _of_members(members):
            found.setdefault(name, mistake)
    yield from found.values()


def _of_members(members: Mapping[str, IdentitySettings]) -> Iterator[tuple[str, Mistake]]:
    for name, identity in members.items():
        others = (other for other, each in members.items() if each.service_account != identity.service_account)
        other = next(others, None)
        if other is not None and not identity.shared_identity:
            clause = f"has the same subject as {other} and another service account: Google lets each act as both"
            remedy = "give each a subject of its own; or add shared_identity: true to both if that is meant"
            yield name, Mistake(path=("identities", name), clause=clause, remedy=remedy, at_key=True)


def _subjects_of(identity: IdentitySettings, understood: Understood) -> Iterator[object]:
    """Give what is equal for identities with one subject, whichever suppliers they name; nothing if it is not told."""
    suppliers = understood.suppliers or {}
    name = identity.supplier or (next(iter(suppliers)) if len(suppliers) == 1 else None)
    supplier = suppliers.get(name) if name is not None else None
    if supplier is None:
        return
    pool = _pool_of(supplier, understood)
    if identity.subject is not None:
        yield ("subject", pool, identity.subject)
    if supplier.kind == "google_id_token":
        if supplier.via == "metadata_server":
            yield ("machine", pool)
        elif identity.source_service_account is not None:
            yield ("source", pool, identity.source_service_account)
    keys = _SOURCES.get(supplier.kind or "")
    if keys is not None:
        source = [supplier.written.get(key) for key in keys]
        told = repr(source)
        is_told = _IDENTITY in told or (_SUBJECT in told and identity.subject is not None)
        if supplier.kind != "command" or not is_told:
            yield (supplier.kind, repr([*map(_program if supplier.kind == "command" else _thing, source)]))


def _program(argv: object) -> object:
    """Know a command line by its arguments, and its program by its place and the name it is called by."""
    if not isinstance(argv, list | tuple) or not argv or not isinstance(argv[0], str):
        return argv
    place, name = os.path.split(argv[0])
    return [_thing(place), name, *map(_thing, argv[1:])]


def _thing(value: object) -> object:
    """Know a file by what it is, by whatever path or link it is reached, and anything else by its text."""
    if not isinstance(value, str) or not value.startswith("/"):
        return value
    try:
        status = os.stat(value)  # noqa: PTH116 - as it is named
    except (OSError, ValueError):
        return os.path.normpath(value)
    return (status.st_dev, status.st_ino)


def _pool_of(supplier: SupplierFacts, understood: Understood) -> object:
    """Name the pool whose principals a supplier's subjects become; two providers of one pool are the same."""
    providers = understood.providers or {}
    name = supplier.provider or (next(iter(providers)) if len(providers) == 1 else None)
    provider = providers.get(name) if name is not None else None
    if isinstance(provider, dict):
        return (provider.get("project_number"), provider.get("pool"))
    return (getattr(provider, "project_number", name), getattr(provider, "pool", None))
