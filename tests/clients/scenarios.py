"""The scenarios that all clients go through, all of them at the same time.

1. Subject and access tokens have their usual lifetimes. Each client acts as its account, is refused the data of another
   account, and acts directly, without an account. Its exchanges are counted; for some clients also those of many
   threads that begin at once.
2. Subject tokens live 20 s, and each client keeps an access token for ten seconds. One process of the client (for a
   tool: one command after the other) goes through at least five refreshes of its file, without a failed call.
3. The daemons are stopped, and their files are damaged in one way after the other (`tests.clients.breakages`).
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.clients.client import ACCESS_TOKEN, TOKEN
from tests.clients.costs import Costs
from tests.clients.outcomes import NOT_SHOWN, Outcome, Record, Scenario, expect, expect_content, run_all
from tests.clients.setup import NORMAL_LIFE, SHORT_LIFE, STRANGER, Setup, direct_name, subject_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.clients.client import Client
    from tests.clients.probes import Answer, Probe

ROTATIONS = 5
DEADLINE = 240.0
"""How many seconds a client may need for anything, on a busy machine too."""
PAUSE = 1.0
"""Seconds between two calls: on two cores, all clients together cannot be much faster."""
LIFE_IN_FILE = 20.0
"""How many seconds access tokens in files live."""
THREADS = 16
"""How many threads of a process begin at once, where that is counted."""
_CALLS = 10
_YES = Outcome(result="yes")


@dataclass(frozen=True, kw_only=True)
class Scenarios:
    """One run of clients in a setup."""

    setup: Setup
    clients: Sequence[Client]
    records: Mapping[str, Record]

    @classmethod
    def create(cls, setup: Setup, clients: Sequence[Client]) -> Scenarios:
        """Create a run that has not begun."""
        return cls(setup=setup, clients=clients, records={client.name: Record() for client in clients})

    @property
    def _costs(self) -> Costs:
        return Costs(cloud=self.setup.cloud)

    def run_with_usual_lives(self) -> None:
        """Run the first step."""
        self._shorten_lives_in_files()
        self.setup.configure(NORMAL_LIFE)
        self.setup.start()
        self.run_scenario(Scenario.ACTS, self._acts)
        self.run_scenario(Scenario.DIRECT, self._acts_directly)
        self.setup.stop()

    def shorten_lives(self) -> None:
        """Shorten subject tokens to 20 s, and make clients keep each access token for ten seconds."""
        self._shorten_lives_in_files()
        self.setup.cloud.limit_lives({client.name: client.life for client in self.clients if client.reads == TOKEN})
        self.setup.configure(SHORT_LIFE)
        self.setup.start()

    def run_rotations(self) -> None:
        """Run the second step. The daemons continue after it."""
        self.run_scenario(Scenario.LIVES, self._lives)

    def _shorten_lives_in_files(self) -> None:
        """Shorten access tokens in files to 20 s, before the start: the daemons use one for half its lifetime."""
        by_file = [client.name for client in self.clients if client.reads == ACCESS_TOKEN]
        self.setup.cloud.limit_lives(dict.fromkeys([*by_file, STRANGER], LIFE_IN_FILE))

    def run_scenario(self, scenario: Scenario, act: Callable[[Client], Outcome]) -> None:
        """Run a scenario with all clients, and record the outcomes."""
        for name, outcome in run_all(act, self.clients).items():
            self.records[name].outcomes[scenario] = outcome

    @contextmanager
    def probe(self, client: Client, *, direct: bool = False) -> Iterator[Probe]:
        """Start a client for the length of a `with` block."""
        probe = client.start(client, self.setup, self.setup.variables(client.name, direct=direct))
        try:
            yield probe
        finally:
            probe.close()

    def read(self, client: Client, probe: Probe) -> Answer:
        """Make a client read its own bucket."""
        return probe.read(self.setup.cloud.names.bucket(client.name))

    def expect_read(self, client: Client, probe: Probe) -> None:
        """Make a client read its own bucket, and check the content.

        Raises:
            FailedError: The client did not read the expected content.
        """
        expect_content(self.read(client, probe), client.content(self.setup.cloud.names))

    def _acts(self, client: Client) -> Outcome:
        """Read what only its account may read, and be refused what only another account may read."""
        with self.probe(client) as probe:
            self.expect_read(client, probe)
            if client.is_tool:
                self._count_commands(client, probe)
            else:
                for _ in range(_CALLS):
                    self.expect_read(client, probe)
                self.records[client.name].exchanges_at_start = self._costs.exchanges(client)
            if client.knows_buckets:
                answer = probe.read(self.setup.cloud.names.bucket(STRANGER))
                expect(holds=answer.content is None, otherwise=f"read another account's bucket: {answer}")
        if client.counts_threads:
            self._count_threads(client)
        return _YES

    def _count_threads(self, client: Client) -> None:
        """Count the exchanges of a new process that begins with many threads at once."""
        before = self._costs.exchanges(client)
        with self.probe(client) as probe:
            answer = probe.read(f"{self.setup.cloud.names.bucket(client.name)} {THREADS}")
            expect_content(answer, client.content(self.setup.cloud.names))
        self.records[client.name].exchanges_of_threads = self._costs.exchanges(client) - before

    def _count_commands(self, client: Client, probe: Probe) -> None:
        """Count the exchanges of a second command; if it has none, those of the first command."""
        first = self._costs.exchanges(client)
        self.expect_read(client, probe)
        record = self.records[client.name]
        record.exchanges_again = self._costs.exchanges(client) - first
        # the first command of some tools creates what it reads, and the next one does not
        record.exchanges_at_start = record.exchanges_again or first

    def _acts_directly(self, client: Client) -> Outcome:
        """Read without an account, as the subject itself."""
        if not client.directly:
            return Outcome(result="no")
        with self.probe(client, direct=True) as probe:
            answer = self.read(client, probe)
        if client.knows_buckets:
            expect_content(answer, client.content(self.setup.cloud.names))
        else:
            itself = subject_name(direct_name(client.name))
            expect(holds=itself in str(answer), otherwise=f"it acts as another principal: {answer}")
        return _YES

    def _lives(self, client: Client) -> Outcome:
        """Call again and again; every call must return the expected content."""
        if not self.setup.cloud.is_ours:
            return self._starts_with_every_token(client)
        began, record = time.time(), self.records[client.name]
        file = self.setup.directory(client.name) / client.reads
        deadline = time.monotonic() + DEADLINE
        seen: list[bytes] = []
        with self.probe(client) as probe:
            while len(seen) <= ROTATIONS or not self._costs.has_renewed(client, began):
                _expect_time(deadline, len(seen))
                content = file.read_bytes()
                is_new = content not in seen[-1:]
                if is_new or not client.is_tool:
                    seen += [content] if is_new else []
                    self.expect_read(client, probe)
                    record.calls += 1
                time.sleep(PAUSE)
        record.renewal = self._costs.renewal(client, began)
        return _YES

    def _starts_with_every_token(self, client: Client) -> Outcome:
        """Start a new process for every rotation: with long-lived access tokens only a new process reads the file."""
        if client.reads == ACCESS_TOKEN:
            return Outcome(result=NOT_SHOWN)
        file = self.setup.directory(client.name) / client.reads
        deadline = time.monotonic() + DEADLINE
        seen: list[bytes] = []
        while len(seen) <= ROTATIONS:
            _expect_time(deadline, len(seen))
            content = file.read_bytes()
            if content not in seen[-1:]:
                seen.append(content)
                self.setup.leave_homes(client.name)
                with self.probe(client) as probe:
                    self.expect_read(client, probe)
            time.sleep(PAUSE)
        return _YES


def _expect_time(deadline: float, seen: int) -> None:
    expect(
        holds=time.monotonic() < deadline,
        otherwise=f"after {DEADLINE:.0f} s {seen - 1} refreshes, or too few renewals",
    )
