"""A plan as the engine sees it: every target to keep alive, and what with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from refresher.engine.minting import Chain
    from refresher.engine.rotation import KeyTrial
    from refresher.engine.target import Target
    from refresher.suppliers.interface import Supplier


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that the daemon is to keep alive, and with what.

    Attributes:
        root: `directory_root`, below which every target's directory lies.
        targets: By name.
        suppliers: By name.
        threads: By supplier, how many of its targets are worked on at a time.
        chain: Gives what mints further artifacts, when the first is wanted.
        trials: Of keys that wait to be activated.
        cautious: Names of targets that begin in no place where another's files are, since not all is known of what
            others are to have.
        is_partial: Whether a target may be missing, so that what belongs to none is no stray yet.
        complaints: Problem and remedy of everything in the configuration that was left out or kept as it was.
    """

    root: Path
    targets: Mapping[str, Target]
    suppliers: Mapping[str, Supplier]
    threads: Mapping[str, int]
    chain: Callable[[], Chain]
    trials: tuple[KeyTrial, ...] = ()
    cautious: frozenset[str] = frozenset()
    is_partial: bool = False
    complaints: tuple[tuple[str, str], ...] = ()
