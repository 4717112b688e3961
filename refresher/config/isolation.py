"""Whether identities can be told apart at all: Google knows a workload by its subject, and by nothing else.

Two identities whose tokens have the same subject are one principal. If they are bound to different service accounts,
either can act as the other's, whatever file it is given. That is refused unless each of them says that it is meant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from refresher.config.problems import Mistake

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from refresher.config.models import IdentitySettings
    from refresher.config.understanding import SupplierFacts, Understood

_ONE_SUBJECT = frozenset(["client_credentials", "file", "google_access_token"])
"""Kinds of suppliers that have one token for everybody."""

_MINTING = frozenset(["kubernetes", "self_issued", "sign_jwt"])


def mistakes_of_isolation(understood: Understood) -> Iterator[Mistake]:
    """Name every identity that could act as another one's service account."""
    sharing: dict[object, dict[str, IdentitySettings]] = {}
    for name, identity in (understood.identities or {}).items():
        if (key := _subject_of(identity, understood)) is not None:
            sharing.setdefault(key, {})[name] = identity
    for members in sharing.values():
        yield from _of_members(members)


def _of_members(members: Mapping[str, IdentitySettings]) -> Iterator[Mistake]:
    for name, identity in members.items():
        others = (other for other, each in members.items() if each.service_account != identity.service_account)
        other = next(others, None)
        if other is not None and not identity.shared_identity:
            clause = f"has the same subject as {other} and another service account: Google lets each act as both"
            remedy = "give each a subject of its own; or add shared_identity: true to both if that is meant"
            yield Mistake(path=("identities", name), clause=clause, remedy=remedy, at_key=True)


def _subject_of(identity: IdentitySettings, understood: Understood) -> object:
    """Give what is equal for identities with the same subject; None if that cannot be told."""
    suppliers = understood.suppliers or {}
    name = identity.supplier or (next(iter(suppliers)) if len(suppliers) == 1 else None)
    supplier = suppliers.get(name) if name is not None else None
    if supplier is None:
        return None
    if supplier.kind in _ONE_SUBJECT or (supplier.kind == "google_id_token" and supplier.via == "metadata_server"):
        return ("supplier", name)
    if supplier.kind == "google_id_token" and identity.source_service_account is not None:
        return ("source", _pool_of(supplier, understood), identity.source_service_account)
    if supplier.kind in _MINTING and identity.subject is not None:
        return ("subject", _pool_of(supplier, understood), identity.subject)
    return None


def _pool_of(supplier: SupplierFacts, understood: Understood) -> object:
    """Name the pool whose principals a supplier's subjects become; two providers of one pool are the same."""
    providers = understood.providers or {}
    name = supplier.provider or (next(iter(providers)) if len(providers) == 1 else None)
    provider = providers.get(name) if name is not None else None
    if isinstance(provider, dict):
        return (provider.get("project_number"), provider.get("pool"))
    return (getattr(provider, "project_number", name), getattr(provider, "pool", None))
