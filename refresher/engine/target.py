"""A target as the engine sees it: everything decided, nothing configured any more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from refresher.engine.rotation import KeyTrial
    from refresher.publishing.directory import CredentialsDirectory
    from refresher.suppliers.interface import Supplier, SupplierContext
    from refresher.tokens import ExpectedClaims


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One credentials directory of one identity.

    Attributes:
        name: Safe in file names, logs and metric labels.
        supplier: Name of the supplier that serves its identity.
        context: For whom a token is supplied; equal contexts of one supplier share a supply.
        expected: What the configuration would mint: any other token in the file is foreign.
        directory: Where its artifacts lie.
        credentials: Bytes of `credentials.json`.
        environment: Bytes of `env`.
    """

    name: str
    supplier: str
    context: SupplierContext
    expected: ExpectedClaims
    directory: CredentialsDirectory
    credentials: bytes
    environment: bytes

    @property
    def supply_key(self) -> tuple[str, SupplierContext]:
        """What targets that may share a token have in common."""
        return (self.supplier, self.context)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that the daemon is to keep alive, and with what.

    Attributes:
        root: `directory_root`, below which every target's directory lies.
        targets: By name.
        suppliers: By name.
        threads: By supplier, how many of its targets are worked on at a time.
        trials: Of keys that wait to be activated.
        complaints: Problem and remedy of everything in the configuration that was left out or kept as it was.
    """

    root: Path
    targets: Mapping[str, Target]
    suppliers: Mapping[str, Supplier]
    threads: Mapping[str, int]
    trials: tuple[KeyTrial, ...] = ()
    complaints: tuple[tuple[str, str], ...] = ()
