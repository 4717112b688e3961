"""What the engine keeps alive: targets with everything decided, and what serves them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from refresher.errors import RefresherError
from refresher.publishing.artifacts import ACCESS_TOKEN, TOKEN
from refresher.publishing.directory import CredentialsDirectory, TargetRecord
from refresher.resources import Impersonation
from refresher.suppliers.interface import Supplier, SupplierContext
from refresher.tokens import AccessToken, ExpectedClaims

if TYPE_CHECKING:
    from refresher.metadata.plan import EndpointPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class MintedArtifact:
    """An optional artifact that is minted through the whole chain.

    Attributes:
        name: The path of its file in the credentials directory, such as `access_token` or `id_tokens/NAME`.
        options: What the configuration asks for, by its keys; texts and booleans.
    """

    name: str
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One credentials directory of one identity.

    Attributes:
        name: Safe in file names, logs and metric labels.
        supplier: Name of the supplier that serves its identity; None without a pool.
        context: The workload that a token is supplied for; equal contexts of one supplier share a supply.
        expected: What the configuration would mint: any other token in the file is superseded.
        directory: Where its artifacts are.
        record: Whose the directory is to be.
        static: Bytes of each static artifact that it has, by name, in the order of writing.
        impersonation: The way to its service account.
        minted: Optional artifacts that are minted.
        metadata: Its metadata endpoint; None if it has none.
    """

    name: str
    supplier: str | None
    context: SupplierContext
    expected: ExpectedClaims
    directory: CredentialsDirectory
    record: TargetRecord
    static: Mapping[str, bytes]
    impersonation: Impersonation
    minted: tuple[MintedArtifact, ...] = ()
    metadata: EndpointPlan | None = None

    @property
    def minting(self) -> tuple[MintedArtifact, ...]:
        """All that is minted: optional artifacts, and an access token for its endpoint even if none is published."""
        has_token = self.leading == ACCESS_TOKEN or any(each.name == ACCESS_TOKEN for each in self.minted)
        if self.metadata is None or has_token:
            return self.minted
        return (*self.minted, MintedArtifact(name=ACCESS_TOKEN))

    @property
    def leading(self) -> str:
        """The artifact that is renewed first, and that readiness is about: see `LEADING`."""
        return ACCESS_TOKEN if self.impersonation.is_own else TOKEN

    @property
    def supply_key(self) -> tuple[object, ...]:
        """What targets that may share a token have in common."""
        return (self.supplier, self.context, self.impersonation if self.impersonation.is_own else None)


def group_changed(former: Mapping[str, Target], present: Mapping[str, Target]) -> dict[str, list[Target]]:
    """Return the present targets of each identity of which any target changed, came or went, in the present order.

    In a large fleet one target changes at a time, and all others are the very objects that they were.
    """
    names = [name for name, target in present.items() if former.get(name) is not target]
    names += former.keys() - present.keys()
    changed = [target for name in names for target in (former.get(name), present.get(name)) if target is not None]
    found: dict[str, list[Target]] = {target.context.identity: [] for target in changed}
    for target in present.values():
        if (targets := found.get(target.context.identity)) is not None:
            targets.append(target)
    return found


class Chain(Protocol):
    """The calls from a subject token to a service account; safe to use from several threads."""

    def exchange(self, way: Impersonation, subject_token: str, now: datetime) -> AccessToken:
        """Return a federated token, or raise an `ExchangeError`."""
        ...

    def access_token(self, way: Impersonation, federated: AccessToken) -> AccessToken:
        """Return an access token, or raise an `ImpersonationError`."""
        ...

    def id_token(self, way: Impersonation, audience: str, federated: AccessToken, *, include_email: bool) -> str:
        """Return an ID token, or raise an `ImpersonationError`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTrial:
    """A key in a keys directory that waits to be activated.

    Attributes:
        spacing: Time between two attempts.
        prove: Exchanges a token signed with it; raises a `RefresherError` if that fails.
        activate: Makes it sign; raises a `RefresherError` if that fails.
    """

    directory: Path
    kid: str
    spacing: timedelta
    prove: Callable[[datetime], None]
    activate: Callable[[datetime], None]


Probe = Callable[[Impersonation, str, datetime], None]
"""Exchanges a subject token and impersonates, for the answer alone; raises a `RefresherError` if that fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that the daemon is to keep alive, and with what.

    Attributes:
        root: `directory_root`, in which every target's directory lies.
        targets: By name.
        suppliers: By name.
        threads: By supplier, how many of its targets are worked on at a time.
        local: Names of the suppliers that wait for no other machine or program.
        chain: Returns what mints optional artifacts, created when the first is wanted.
        trials: The keys that wait to be activated.
        probe: What the canary asks with.
        probe_intervals: How often it asks for an identity, by name; an identity that is left out is not probed.
        reserved: Names whose directories are never retired: of all targets and of all drop-in files, however broken.
            None if that can't be known now; then nothing is retired.
        identities: The names of all identities: one that is not among them was withdrawn.
        complaints: Problem and remedy of every drop-in that was left out or kept as it was.
        list_warnings: Returns problem and remedy of what is allowed or missing, and yet worth a warning.
        list_threats: Returns what will keep targets from being refreshed, before one is due, as far as it is known.
        is_reloaded: Whether another configuration is in force now, or loading it was asked for and succeeded.
        refusal: Problem and remedy of everything that keeps the main file from being used; the plan before it holds.
        is_empty_fine: Whether a node without targets is ready, since drop-ins may bring some.
    """

    root: Path
    targets: Mapping[str, Target]
    suppliers: Mapping[str, Supplier]
    threads: Mapping[str, int]
    chain: Callable[[], Chain]
    local: frozenset[str] = frozenset()
    trials: tuple[KeyTrial, ...] = ()
    probe: Probe | None = None
    probe_intervals: Mapping[str, timedelta] = field(default_factory=dict)
    reserved: frozenset[str] | None = frozenset()
    identities: frozenset[str] = frozenset()
    complaints: tuple[tuple[str, str], ...] = ()
    list_warnings: Callable[[], tuple[tuple[str, str], ...]] = tuple
    list_threats: Callable[[], Sequence[RefresherError]] = tuple
    is_reloaded: bool = True
    refusal: tuple[tuple[str, str], ...] = ()
    is_empty_fine: bool = False


class Plans(Protocol):
    """Where the plan comes from."""

    def poll(self, *, force: bool, changed: Collection[str] | None = None) -> Plan | None:
        """Return a plan at first, if the configuration changed, or in any case with `force`; else None.

        With the names of drop-ins that may have `changed`, nothing else has to be looked at.
        What can't be used is left out, or kept as it was, and is among the plan's complaints.
        """
        ...
