"""The tables in docs/clients.md: the outcomes of each client in a run, and its number of exchanges per hour.

Exchanges per hour: a client replaces an access token of an hour `skew` before its expiry. The run counts the exchanges
of a renewal and of a start. So a process that calls all the time needs the exchanges of its start, and in each hour
3600 / (3600 - skew) renewals. With tokens of an hour, a renewal needs at most as many exchanges as a start, which makes
the same requests. In the run it may need more, because federated tokens live shorter there than some clients expect.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.clients.cloud import is_other_cloud
from tests.clients.metadata_scenarios import MetadataScenario, run_with_metadata
from tests.clients.outcomes import Scenario
from tests.clients.registry import METADATA_CLIENTS
from tests.clients.run import install_available, list_missing, run
from tests.clients.scenarios import THREADS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.clients.client import Client
    from tests.clients.metadata_scenarios import Outcomes
    from tests.clients.outcomes import Record

GUIDE = Path(__file__).parents[2] / "docs" / "clients.md"
WRONG = "**no**"
_HOUR = 3600.0
_TENTH = 0.05
NONE = "-"


def build_results(clients: Sequence[Client], records: Mapping[str, Record]) -> str:
    """Return the table of results."""
    head = ["client", "version", *Scenario]
    rows = [
        [f"{client.language}: {client.title}", client.version()]
        + [records[client.name].outcomes[scenario].result or WRONG for scenario in Scenario]
        for client in clients
    ]
    return _table(head, rows)


def build_exchanges(clients: Sequence[Client], records: Mapping[str, Record]) -> str:
    """Return the table of exchanges."""
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


def build_metadata_results(clients: Sequence[Client], outcomes: Outcomes) -> str:
    """Return the table of results with a metadata endpoint."""
    rows = [
        [f"{client.language}: {client.title}"]
        + [outcomes[client.name][scenario].result or WRONG for scenario in MetadataScenario]
        for client in clients
    ]
    return _table(["client", *MetadataScenario], rows)


def read_committed(name: str) -> str:
    """Return the table between the markers of a name in the guide."""
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
    threads = NONE if record.exchanges_of_threads is None else _threads_cost(record, record.exchanges_of_threads)
    if record.renewal is None:
        return start, threads, WRONG, WRONG
    renewal = min(record.renewal.exchanges, record.exchanges_at_start)
    per_hour = renewal * _HOUR / (_HOUR - record.renewal.skew)
    return start, threads, str(renewal), f"{per_hour + _TENTH:.1f}"


def _threads_cost(record: Record, count: int) -> str:
    """Return the number for any machine: how many threads begin before one is done differs from run to run."""
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
    """Run all clients and write both tables; return 1 if a tool is missing or an outcome is wrong."""
    if is_other_cloud():
        sys.stderr.write("The tables are for runs with the emulator: unset REFRESHER_CLIENTS_STS.\n")
        return 1
    if lacks := list_missing():
        sys.stderr.write("".join([f"{lack}\n" for lack in lacks]) + f"{GUIDE} is unchanged.\n")
        return 1
    clients = install_available()
    with tempfile.TemporaryDirectory() as place:
        records = run(clients, Path(place))
    write("results", build_results(clients, records))
    write("exchanges", build_exchanges(clients, records))
    with tempfile.TemporaryDirectory() as place:
        endpoints = run_with_metadata(install_available(METADATA_CLIENTS), Path(place))
    write("metadata", build_metadata_results(METADATA_CLIENTS, endpoints))
    found = [(name, *each) for name, record in records.items() for each in record.outcomes.items()]
    more = [(name, *each) for name, outcomes in endpoints.items() for each in outcomes.items()]
    wrong = [f"{name}, {scenario}: {each.message}" for name, scenario, each in (*found, *more) if not each.result]
    sys.stdout.write("\n".join([*wrong, f"{len(clients)} clients, {len(wrong)} results wrong, written to {GUIDE}\n"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
