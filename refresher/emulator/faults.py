"""Scripted failures: a queue per operation, with a record, so that a test can assert that a fault was applied.

```python
google.faults.add("sts.token", status=503, times=2)
google.faults.add("iamcredentials.generateAccessToken", refusal="I2")
google.faults.add("sts.token", without=("expires_in",))
…
assert not google.faults.pending
```

The names of operations are in `docs/emulator.md`; `*` is every operation.
"""

from collections import deque
from collections.abc import Callable, Container
from dataclasses import asdict, dataclass
from typing import Any

from refresher.emulator.errors import API, OAUTH, STS
from refresher.errors import EmulatorError

ANY = "*"
_LONGEST = 3600.0
_LONGEST_SKEW = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A failure that happens once or several times.

    Attributes:
        status: Answer with this HTTP status, without running the rule.
        refusal: Answer with this refusal of the catalogue, without running the rule.
        body: Answer with this text instead of the rule's document.
        without: Leave these fields out of the rule's document.
        fields: Put these fields into the rule's document.
        delay: Seconds before the answer.
        drop: Close the connection without an answer.
        truncate: Close the connection after half of the body.
        drip: Seconds between single bytes of the body.
        clock_skew: Seconds by which the `Date` header is wrong.
        times: How many requests it applies to.
    """

    status: int | None = None
    refusal: str | None = None
    body: str | None = None
    without: tuple[str, ...] = ()
    fields: dict[str, Any] | None = None
    delay: float = 0.0
    drop: bool = False
    truncate: bool = False
    drip: float = 0.0
    clock_skew: float | None = None
    times: int = 1


@dataclass(slots=True, kw_only=True)
class _Queued:
    fault: Fault
    left: int


class Faults:
    """The queues, and the faults that were applied.

    Attributes:
        operations: The names of all operations, set by the server; None before that.
    """

    def __init__(self) -> None:
        self.operations: Container[str] | None = None
        self._queues: dict[str, deque[_Queued]] = {}
        self.met: list[tuple[str, Fault]] = []
        """Operation and fault, in the order in which they were applied; the last thousand."""

    def add(self, operation: str, **what: Any) -> None:  # noqa: ANN401 - the attributes of a fault
        """Apply a fault to the next requests of an operation; the arguments are the attributes of `Fault`.

        Raises:
            EmulatorError: The operation, an attribute or the refusal is unknown.
        """
        fault = _create_fault(what)
        self._queues.setdefault(self._check_operation(operation), deque()).append(
            _Queued(fault=fault, left=fault.times)
        )

    def _check_operation(self, operation: str) -> str:
        if self.operations is not None and operation != ANY and operation not in self.operations:
            raise EmulatorError(f"{operation} is not an operation", "use one of the list in docs/emulator.md, or *")
        return operation

    def take(self, operation: str) -> Fault | None:
        """Take the next fault for a request of an operation from the queue, and record it."""
        if not self._queues:
            return None
        for name in (operation, ANY):
            queue = self._queues.get(name)
            if queue:
                queue[0].left -= 1
                fault = queue[0].fault
                if queue[0].left <= 0:
                    queue.popleft()
                self.met = [*self.met[-999:], (operation, fault)]
                return fault
        return None

    @property
    def pending(self) -> dict[str, int]:
        """How many times faults are still to be applied, by operation."""
        return {name: sum(entry.left for entry in queue) for name, queue in self._queues.items() if queue}

    def clear(self) -> None:
        """Delete the queues and the record."""
        self._queues.clear()
        self.met = []

    def as_document(self) -> dict[str, Any]:
        """Return the pending and the applied faults, for JSON."""
        met = [{"operation": operation, **_describe(fault)} for operation, fault in self.met]
        return {"pending": self.pending, "met": met}

    def dump(self) -> dict[str, Any]:
        """Return the document that `load` reads, for JSON."""
        queues = {
            name: [{"fault": asdict(entry.fault), "left": entry.left} for entry in queue]
            for name, queue in self._queues.items()
            if queue
        }
        return {"queues": queues, "met": [[operation, asdict(fault)] for operation, fault in self.met]}

    def load(self, document: dict[str, Any]) -> None:
        """Restore the queues and the record from a document of `dump`."""
        self._queues = {
            name: deque(_Queued(fault=_create_fault(entry["fault"]), left=int(entry["left"])) for entry in queue)
            for name, queue in document["queues"].items()
        }
        self.met = [(operation, _create_fault(what)) for operation, what in document["met"]]


def _describe(fault: Fault) -> dict[str, Any]:
    return {
        name: value
        for name, value in asdict(fault).items()
        if value not in (None, 0.0, False, (), []) and name != "times"
    }


def _create_fault(what: dict[str, Any]) -> Fault:
    unknown = sorted(what.keys() - _MAY_BE.keys())
    if unknown:
        raise EmulatorError(f"a fault has no {', '.join(unknown)}", "see the table in docs/emulator.md")
    wrong = [name for name, value in what.items() if not _MAY_BE[name](value)]
    if wrong:
        raise EmulatorError(f"a fault's {wrong[0]} has an invalid value", "see the table in docs/emulator.md")
    fault = Fault(**what | {"without": tuple(what.get("without", ()))})
    if fault.refusal is not None and fault.refusal not in {**STS, **API, **OAUTH}:
        raise EmulatorError(f"{fault.refusal} is not a refusal", "use an id of the catalogue in docs/emulator.md")
    return fault


def _is_number(value: object, least: float, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


_MAY_BE: dict[str, Callable[[Any], bool]] = {
    "status": lambda value: value is None or (isinstance(value, int) and _is_number(value, 200, 599)),
    "refusal": lambda value: value is None or isinstance(value, str),
    "body": lambda value: value is None or isinstance(value, str),
    "without": lambda value: isinstance(value, list | tuple) and all(isinstance(name, str) for name in value),
    "fields": lambda value: value is None or isinstance(value, dict),
    "delay": lambda value: _is_number(value, 0, _LONGEST),
    "drop": lambda value: isinstance(value, bool),
    "truncate": lambda value: isinstance(value, bool),
    "drip": lambda value: _is_number(value, 0, _LONGEST),
    "clock_skew": lambda value: value is None or _is_number(value, -_LONGEST_SKEW, _LONGEST_SKEW),
    "times": lambda value: isinstance(value, int) and _is_number(value, 1, 1e9),
}
"""The check of each attribute's value."""
