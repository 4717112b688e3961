"""What the contract suite needs to know about each kind of supplier, as its own test file declares it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from refresher.suppliers.interface import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def prepare_nothing(_directory: Path) -> None:
    """Prepare nothing: the supplier reads no file."""


def refuse_all(path: str, _content: bytes) -> bytes | None:
    """Answer no call: the supplier makes none."""
    raise AssertionError(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractCase:
    """One way to configure a kind.

    Attributes:
        supplier: The supplier in YAML, one flow mapping; ORIGIN is the server's, PLACE the configuration's directory.
        prepare: Creates the files that it reads, in that directory.
        answer: Returns what its server answers to the path and the body of a call, all being well; None for a call
            that the server of every case answers: an access token of the metadata server.
        subject: The subject of a user in the form that the kind needs.
        takes_credentials: Whether it can ask with a credentials file instead of the metadata server's token.
        subject_keys: The keys that choose the subject, of a kind that supplies one token to every identity.
        other_keys: The keys of such a kind that choose no subject; together they are all of its keys.
    """

    supplier: str
    prepare: Callable[[Path], None] = prepare_nothing
    answer: Callable[[str, bytes], bytes | None] = refuse_all
    subject: str = "{user}"
    takes_credentials: bool = False
    subject_keys: frozenset[str] = frozenset()
    other_keys: frozenset[str] = frozenset()

    @property
    def is_remote(self) -> bool:
        """Whether it calls a server."""
        return self.answer is not refuse_all


def read_cases(kind: str) -> Mapping[str, ContractCase]:
    """Return the cases of a kind, `CONTRACT` of its test file; none if it has no such file."""
    if not Path(__file__).parent.parent.joinpath("unit", "suppliers", f"test_{kind}.py").exists():
        return {}
    found: Mapping[str, ContractCase] = getattr(import_module(f"tests.unit.suppliers.test_{kind}"), "CONTRACT", {})
    return found


CASES: Mapping[str, ContractCase] = {name: case for kind in KINDS for name, case in read_cases(kind).items()}
"""All cases, by name."""

REMOTE = [name for name, case in CASES.items() if case.is_remote]
"""Those that call a server."""
