"""Checks between the entries of a configuration: references, what they need, and which identities are kept apart.

"The only one" is the default of a supplier and a provider; a target's identity defaults to its own name. Google knows a
workload by its subject and by nothing else: two identities of one subject with different service accounts are refused,
since each could act as the other's. What a kind of supplier needs is asked of its settings, never of its name. Entries
may be partly wrong: what depends on a broken key is not judged, so that one mistake is reported once. What is allowed
and yet worth a warning is collected here, and shown by what loaded the configuration.
"""

import os
import re
from collections.abc import Collection, Iterator, Mapping
from typing import TypeVar

from refresher.config.models import Configuration, IdentitySettings, TargetSettings
from refresher.durations import format_duration
from refresher.files import read_state
from refresher.limits import LONGEST_SUBJECT
from refresher.policy import SHORT_LIFETIME
from refresher.resources import is_mappable
from refresher.settings.model import Settings
from refresher.settings.places import Problem, suggest
from refresher.suppliers.interface import SupplierSettings
from refresher.text import quote
from refresher.tokens import ACCESS_TOKEN_TYPE

_LONGEST_LIST = 20
_ACCOUNT = r"^[0-9]+$|\.gserviceaccount\.com$"
"""A unique id, or an e-mail below the domain that all kinds have (IAM documentation, "Types of service accounts")."""

T = TypeVar("T")


_NEAR = "write "
"""How a suggestion of one name begins."""


def check_entries(configuration: Configuration) -> Iterator[Problem]:
    """Return what is wrong between providers, suppliers and identities."""
    if "providers" not in configuration.broken:
        for supplier in configuration.suppliers.values():
            yield from _check_default(supplier, supplier.provider, configuration.providers, "provider")
    suppliers = None if "suppliers" in configuration.broken else configuration.suppliers
    for identity in configuration.identities.values():
        chosen = None
        if identity.via == "impersonation" or "via" in identity.broken:
            continue  # without a pool there is neither supplier nor subject
        if suppliers is not None:
            yield from _check_default(identity, identity.supplier, suppliers, "supplier")
            if "supplier" not in identity.broken:
                chosen = choose_supplier(identity, configuration)
        yield from _check_subject(identity, chosen)
        yield from _check_source(identity, chosen)
    yield from _check_isolation(configuration)


def check_target(name: str, target: TargetSettings, identities: Mapping[str, IdentitySettings]) -> Iterator[Problem]:
    """Return whether a target's identity exists and can have what is asked for."""
    if "identity" in target.broken:
        return
    identity = identities.get(target.identity or name)
    if identity is not None:
        if identity.service_account is None and "service_account" not in identity.broken and target.artifacts.id_tokens:
            clause = "are of a service account, and the identity has none"
            remedy = "delete them, or add service_account: to the identity"
            yield target.problem(clause, remedy, "artifacts", "id_tokens", at_key=True)
        if (
            identity.service_account is None
            and "service_account" not in identity.broken
            and target.metadata is not None
        ):
            clause = "is of a service account, and the identity has none"
            yield target.problem(clause, "delete it, or add service_account: to the identity", "metadata", at_key=True)
        if identity.via == "impersonation" and target.artifacts.boto:
            clause = "makes gsutil use credentials.json, which a target without a pool does not have"
            remedy = "delete it; use gcloud storage, or add metadata: and environment: metadata to the target"
            yield target.problem(clause, remedy, "artifacts", "boto", at_key=True)
    elif target.identity is not None:
        clause = f"is {quote(target.identity)}, which is not an identity"
        yield target.problem(clause, _suggest_identity(target.identity, identities), "identity")
    else:
        remedy = _suggest_identity(name, identities)
        if remedy.startswith(_NEAR):
            remedy = f"add identity: to it; {remedy}"
        elif identities:
            remedy = f"{remedy}; if it acts as another identity, add identity: to it"
        yield target.problem("names no identity, and no identity has its name", remedy)


def _suggest_identity(name: str, identities: Mapping[str, IdentitySettings]) -> str:
    """Return the remedy for an unknown identity: the nearest one, and else never a list of the others.

    It may have been removed, and the remedy must not hand its target to another user.
    """
    if not identities:
        return "add one below identities:"
    remedy = suggest(name, identities)
    if remedy.startswith(_NEAR):
        return remedy
    again = f"add identity {name} again if it was removed by mistake, or correct the name if it is mistyped"
    return f"{again}; delete this target only if no container uses it"


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
        yield from _list_account_warnings(identity)
        chosen = choose_supplier(identity, configuration) if identity.service_account is None else None
        lifetime = None if chosen is None else chosen.configured_lifetime
        if lifetime is not None and lifetime <= SHORT_LIFETIME:
            clause = (
                f"acts directly, with tokens of {format_duration(lifetime)}: its access tokens live no longer, so that "
                "Node, C++ and gcloud exchange one for every call, Rust every 10 s"
            )
            remedy = "set a longer lifetime: for the supplier (1h), or add service_account: to it"
            yield identity.problem(clause, remedy)


def _list_account_warnings(identity: IdentitySettings) -> Iterator[Problem]:
    if identity.service_account is not None and not re.search(_ACCOUNT, identity.service_account):
        clause = f"is {identity.service_account}, which is not the name of a service account of Google Cloud"
        remedy = "write the e-mail that gcloud iam service-accounts list shows: NAME@PROJECT.iam.gserviceaccount.com"
        yield identity.problem(clause, remedy, "service_account")
    if identity.subject is not None and not is_mappable(identity.subject):
        yield _describe_length(identity, "make the provider map a shorter part of it: assertion.sub.extract(…)")
    if identity.delegates and identity.via != "impersonation":
        clause = "is a chain, which the ADC document cannot express: clients impersonate the service account directly"
        remedy = (
            "publish an access token (artifacts: {access_token: true}), which goes the whole chain; or grant the "
            "principal roles/iam.workloadIdentityUser on the service account itself"
        )
        yield identity.problem(clause, remedy, "delegates", at_key=True)


def _check_default(entry: Settings, name: str | None, known: Collection[str], key: str) -> Iterator[Problem]:
    """Check a name whose default is "the only one"."""
    if key in entry.broken:
        return
    if name is not None:
        if name not in known:
            yield entry.problem(f"is {quote(name)}, which is not a {key}", suggest(name, known), key)
    elif not known:
        yield entry.problem(f"has no {key}", f"add one below {key}s:")
    elif len(known) > 1:
        names = ", ".join(sorted(known)[:_LONGEST_LIST])
        yield entry.problem(f"names no {key}, and there are {len(known)}", f"add {key}: to it, one of {names}")


def _check_subject(identity: IdentitySettings, supplier: SupplierSettings | None) -> Iterator[Problem]:
    if "subject" in identity.broken:
        return
    if identity.subject is not None:
        if supplier is not None and supplier.composes_subject and not is_mappable(identity.subject):
            yield _describe_length(identity, "shorten it: Google counts bytes of UTF-8, not letters")
    elif supplier is not None and supplier.needs_subject:
        yield identity.problem(f"has no subject, which a {supplier.kind} supplier needs", "add subject: to it")
    elif identity.service_account is None and "service_account" not in identity.broken:
        yield identity.problem("has neither a service_account nor a subject", "add at least one of them")


def _describe_length(identity: IdentitySettings, remedy: str) -> Problem:
    size = len((identity.subject or "").encode())
    return identity.problem(f"is {size} bytes long, and Google takes at most {LONGEST_SUBJECT}", remedy, "subject")


def _check_source(identity: IdentitySettings, supplier: SupplierSettings | None) -> Iterator[Problem]:
    if supplier is None or supplier.broken or "source_service_account" in identity.broken:
        return
    account = identity.source_service_account
    if supplier.needs_source_service_account and account is None:
        clause = "has no source_service_account, which its supplier needs"
        yield identity.problem(clause, "add source_service_account: E-MAIL to it")
    elif not supplier.needs_source_service_account and account is not None:
        clause = "is not used by its supplier"
        yield identity.problem(clause, "delete it", "source_service_account", at_key=True)


def _check_isolation(configuration: Configuration) -> Iterator[Problem]:
    """Return every identity that could act as another one's service account, unless both accept that."""
    sharing: dict[object, dict[str, IdentitySettings]] = {}
    for name, identity in configuration.identities.items():
        for subject in _list_subjects(identity, configuration):
            sharing.setdefault(subject, {})[name] = identity
    reported: set[str] = set()
    for members in sharing.values():
        for name, identity in members.items():
            account = identity.service_account
            other = next((other for other, each in members.items() if each.service_account != account), None)
            if other is not None and not identity.shared_identity and name not in reported:
                reported.add(name)
                clause = f"has the same subject as {other} and another service account: Google lets each act as both"
                remedy = "configure a subject of its own for each, or set shared_identity: true in both identities"
                yield identity.problem(clause, remedy)


def _list_subjects(identity: IdentitySettings, configuration: Configuration) -> Iterator[object]:
    """Return what is equal for identities of one subject, whichever suppliers they name; nothing if it is unknown."""
    supplier = choose_supplier(identity, configuration)
    if supplier is None:
        return
    provider = choose(supplier.provider, configuration.providers)
    pool = supplier.provider if provider is None else (provider.project_number, provider.pool)
    if identity.subject is not None:
        yield "subject", pool, identity.subject
    if supplier.broken:
        return
    if supplier.needs_source_service_account and identity.source_service_account is not None:
        yield "source", pool, identity.source_service_account
    source = supplier.subject_source(has_subject=identity.subject is not None)
    if source is not None:
        yield pool if supplier.is_audience_bound else None, tuple(map(_identify, source))


def _identify(value: object) -> object:
    """Return what a file is, by whatever path or link it is reached; anything else as it is."""
    text = str(value)
    if not text.startswith("/"):
        return value
    state = read_state(text)
    return os.path.normpath(text) if state is None else (state.device, state.inode)


def choose_supplier(identity: IdentitySettings, configuration: Configuration) -> SupplierSettings | None:
    """Return the supplier of an identity; None if it is missing or its kind is unknown, or without a pool."""
    if identity.via == "impersonation":
        return None
    supplier = choose(identity.supplier, configuration.suppliers)
    return supplier if isinstance(supplier, SupplierSettings) else None


def choose(name: str | None, known: Mapping[str, T]) -> T | None:
    """Return the entry of a name, without a name the only entry; None if no entry is meant."""
    if name is not None:
        return known.get(name)
    return next(iter(known.values())) if len(known) == 1 else None
