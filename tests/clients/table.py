"""The tables in docs/clients.md: what each client did in a run, and how many exchanges it costs in an hour.

Exchanges in an hour: an access token of an hour is replaced `skew` before its end. What that costs is counted in the
run, as is what a start costs. So a process that calls all the time costs its start, and in each hour
3600 / (3600 - skew) renewals. With tokens of an hour a renewal costs no more than a start, which makes the same
requests; in the run it may, as federated tokens live less there than some clients want them to.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.clients.cloud import is_elsewhere
from tests.clients.play import THREADS
from tests.clients.run import installed, missing, run
from tests.clients.verdicts import Scenario

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.clients.client import Client
    from tests.clients.verdicts import Record

GUIDE = Path(__file__).parents[2] / "docs" / "clients.md"
WRONG = "**no**"
_HOUR = 3600.0
_TENTH = 0.05
NONE = "-"


def results(clients: Sequence[Client], records: Mapping[str, Record]) -> str:
    """Give the table of results."""
    head = ["client", "version", *Scenario]
    rows = [
        [f"{client.language}: {client.title}", client.version()]
        + [records[client.name].verdicts[scenario].result or WRONG for scenario in Scenario]
        for client in clients
    ]
    return _table(head, rows)


def exchanges(clients: Sequence[Client], records: Mapping[str, Record]) -> str:
    """Give the table of exchanges."""
    head = [
        "client",
        "a start, or a command",
        f"a start with {THREADS} threads at once",
        "a renewal",
        "an hour of calls without pause",
    ]
    rows = [
        [f"{client.language}: {client.title}", *_cost(client, records[client.name])]
        for client in clients
        if client.reads == "token"
    ]
    return _table(head, rows)


def committed(name: str) -> str:
    """Give the table that the guide holds between the markers of a name."""
    return GUIDE.read_text().partition(_begin(name))[2].partition(_end(name))[0].strip()


def write(name: str, table: str) -> None:
    """Put a table between the markers of a name in the guide."""
    before, begin, rest = GUIDE.read_text().partition(_begin(name))
    _, end, after = rest.partition(_end(name))
    GUIDE.write_text(f"{before}{begin}\n{table}\n{end}{after}")


def _cost(client: Client, record: Record) -> Sequence[str]:
    start = str(record.exchanges_at_start)
    if client.is_tool:
        again = f"{record.exchanges_again} a command"
        return start, NONE, NONE, again if record.exchanges_again else "kept in the home directory"
    threads = NONE if record.exchanges_of_threads is None else _of_threads(record, record.exchanges_of_threads)
    if record.renewal is None:
        return start, threads, WRONG, WRONG
    renewal = min(record.renewal.exchanges, record.exchanges_at_start)
    per_hour = renewal * _HOUR / (_HOUR - record.renewal.skew)
    return start, threads, str(renewal), f"{per_hour + _TENTH:.1f}"


def _of_threads(record: Record, count: int) -> str:
    """Say what holds on any machine: how many threads begin before one is done differs from run to run."""
    if count <= record.exchanges_at_start:
        return str(count)
    return f"up to {max(count, THREADS * record.exchanges_at_start)}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [list(head), ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _begin(name: str) -> str:
    return f"<!-- {name}: written by `make clients` -->"


def _end(name: str) -> str:
    return f"<!-- end of {name} -->"


def main() -> int:
    """Run all clients and write both tables; gives 1 if one is missing or did not do what it must."""
    if is_elsewhere():
        sys.stderr.write("The tables tell of runs with the emulator: unset REFRESHER_CLIENTS_STS.\n")
        return 1
    if lacks := missing():
        sys.stderr.write("".join([f"{lack}\n" for lack in lacks]) + f"{GUIDE} is left as it is.\n")
        return 1
    clients = installed()
    with tempfile.TemporaryDirectory() as place:
        records = run(clients, Path(place))
    write("results", results(clients, records))
    write("exchanges", exchanges(clients, records))
    wrong = [
        f"{name}, {scenario}: {verdict.said}"
        for name, record in records.items()
        for scenario, verdict in record.verdicts.items()
        if not verdict.result
    ]
    sys.stdout.write("\n".join([*wrong, f"{len(clients)} clients, {len(wrong)} results wrong, written to {GUIDE}\n"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
