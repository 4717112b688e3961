"""Checks between the entries of a configuration: who names whom, and what that one needs.

"The only one" is the default of a supplier and a provider; a target's identity defaults to its own name. Everything is
checked on what could be understood (`refresher.config.understanding`), so that all mistakes are found at once. Places
on disk are checked in `refresher.config.targets`, endpoints in `refresher.config.endpoints`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from refresher.settings.problems import Mistake, instead
from refresher.text import quote

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from refresher.config.models import IdentitySettings, TargetSettings
    from refresher.config.understanding import SupplierFacts, Understood

_FOLDED = str.maketrans("-.", "__")
"""Characters of names that become one in the names of variables."""

_MINTING = frozenset(["kubernetes", "self_issued", "sign_jwt"])
"""Kinds of suppliers that give the subject that is asked for."""


def mistakes_between(understood: Understood) -> Iterator[Mistake]:
    """Name every reference that leads nowhere and every entry that lacks what another needs of it."""
    yield from _of_suppliers(understood)
    yield from _of_identities(understood)
    if understood.identities is not None:
        for name, target in understood.targets.items():
            if ("targets", name, "identity") not in understood.broken:
                yield from mistakes_of_target(name, target, understood.identities, ("targets", name))


def mistakes_of_target(
    name: str, target: TargetSettings, identities: Mapping[str, IdentitySettings], path: tuple[str, ...]
) -> Iterator[Mistake]:
    """Tell whether a target's identity exists and can have what is asked for; `path` is empty for a drop-in."""
    identity = identities.get(target.identity or name)
    if identity is not None and identity.service_account is None and target.artifacts.id_tokens:
        clause = "are of a service account, and the identity has none"
        remedy = "delete them, or add service_account: to the identity"
        yield Mistake(path=(*path, "artifacts", "id_tokens"), clause=clause, remedy=remedy, at_key=True)
    yield from _of_variables(target, path)
    if target.identity is not None:
        if target.identity not in identities:
            clause = f"is {quote(target.identity)}, which is no identity"
            yield Mistake(path=(*path, "identity"), clause=clause, remedy=instead(target.identity, identities))
    elif name not in identities:
        clause = "names no identity, and there is none of its own name"
        yield Mistake(path=path, clause=clause, remedy=f"add identity: to it; {instead(name, identities)}", at_key=True)


def _of_variables(target: TargetSettings, path: tuple[str, ...]) -> Iterator[Mistake]:
    """Tell of ID tokens whose files two variables of one name would have to name."""
    seen: dict[str, str] = {}
    for name in target.artifacts.id_tokens:
        other = seen.setdefault(name.translate(_FOLDED), name)
        if other != name:
            clause = f"would have its file named by the same variable as {other}"
            yield Mistake(path=(*path, "artifacts", "id_tokens", name), clause=clause, remedy="rename one", at_key=True)


def _of_suppliers(understood: Understood) -> Iterator[Mistake]:
    for name, supplier in (understood.suppliers or {}).items():
        path = ("suppliers", name)
        if understood.providers is not None and supplier.is_readable:
            yield from _of_default(supplier.provider, understood.providers, path, "provider")
        if supplier.kind == "client_credentials" and supplier.secrets != 1:
            remedy = "add one of them" if not supplier.secrets else "delete one of them"
            yield Mistake(path=path, clause="needs one of secret_file and secret_variable", remedy=remedy, at_key=True)
        if supplier.kind == "self_issued" and supplier.is_readable:
            yield from _of_key(supplier, path)
        if supplier.kind == "google_id_token" and supplier.has_credentials and supplier.via == "metadata_server":
            clause = "is not used by a supplier that asks the metadata server"
            remedy = "delete it, or add via: generate_id_token"
            yield Mistake(path=(*path, "credentials"), clause=clause, remedy=remedy, at_key=True)


def _of_key(supplier: SupplierFacts, path: tuple[str, ...]) -> Iterator[Mistake]:
    if supplier.signers != 1:
        remedy = "add keys: DIRECTORY, or signer: {kms: …}" if not supplier.signers else "delete one of them"
        yield Mistake(path=path, clause="needs one of keys and signer", remedy=remedy, at_key=True)
    elif supplier.has_credentials and not supplier.has_signer:
        clause = "is not used by a supplier that signs with its own keys"
        yield Mistake(path=(*path, "credentials"), clause=clause, remedy="delete it", at_key=True)


def _of_identities(understood: Understood) -> Iterator[Mistake]:
    suppliers = understood.suppliers
    only = next(iter(suppliers)) if suppliers is not None and len(suppliers) == 1 else None
    for name, identity in (understood.identities or {}).items():
        path = ("identities", name)
        supplier = None
        if suppliers is not None and (*path, "supplier") not in understood.broken:
            yield from _of_default(identity.supplier, suppliers, path, "supplier")
            supplier = suppliers.get(identity.supplier or only or "")
        yield from _of_subject(identity, supplier, path, understood)
        yield from _of_way(identity, path, understood)
        if supplier is not None and (*path, "source_service_account") not in understood.broken:
            yield from _of_source(identity, supplier, path)


def _of_subject(
    identity: IdentitySettings, supplier: SupplierFacts | None, path: tuple[str, ...], understood: Understood
) -> Iterator[Mistake]:
    if identity.subject is not None or (*path, "subject") in understood.broken:
        return
    if supplier is not None and supplier.kind in _MINTING:
        clause, remedy = f"has no subject, which a {supplier.kind} supplier needs", "add subject: to it"
    elif identity.service_account is None and (*path, "service_account") not in understood.broken:
        clause, remedy = "has neither a service_account nor a subject", "add at least one of them"
    else:
        return
    yield Mistake(path=path, clause=clause, remedy=remedy, at_key=True)


def _of_way(identity: IdentitySettings, path: tuple[str, ...], understood: Understood) -> Iterator[Mistake]:
    if identity.via == "federation" and identity.credentials is not None and (*path, "via") not in understood.broken:
        clause = "is not used by an identity that is federated"
        yield Mistake(
            path=(*path, "credentials"), clause=clause, remedy="delete it, or add via: impersonation", at_key=True
        )
    is_nobody = identity.service_account is None and (*path, "service_account") not in understood.broken
    if identity.via == "impersonation" and is_nobody:
        clause = "has no service_account, which via: impersonation needs"
        yield Mistake(path=path, clause=clause, remedy="add service_account: E-MAIL to it", at_key=True)


def _of_source(identity: IdentitySettings, supplier: SupplierFacts, path: tuple[str, ...]) -> Iterator[Mistake]:
    if supplier.kind is None:
        return
    generates = supplier.kind == "google_id_token" and supplier.via == "generate_id_token"
    if generates and identity.source_service_account is None:
        clause = "has no source_service_account, which a supplier via generate_id_token needs"
        yield Mistake(path=path, clause=clause, remedy="add source_service_account: E-MAIL to it", at_key=True)
    elif not generates and identity.source_service_account is not None:
        clause = "is only for a supplier that goes via generate_id_token"
        yield Mistake(path=(*path, "source_service_account"), clause=clause, remedy="delete it", at_key=True)


def _of_default(name: str | None, known: Collection[str], path: tuple[str, ...], key: str) -> Iterator[Mistake]:
    """Check a name whose default is "the only one"."""
    if name is not None:
        if name not in known:
            clause = f"is {quote(name)}, which is no {key}"
            yield Mistake(path=(*path, key), clause=clause, remedy=instead(name, known))
    elif not known:
        yield Mistake(path=path, clause=f"has no {key}", remedy=f"add one below {key}s:", at_key=True)
    elif len(known) > 1:
        clause = f"names no {key}, and there are {len(known)}"
        remedy = f"add {key}: to it, one of {', '.join(sorted(known)[:20])}"
        yield Mistake(path=path, clause=clause, remedy=remedy, at_key=True)
