"""What every client is put through, all of them side by side.

1. Subject and access tokens live as long as usual. Each client acts as its account, is refused what is another's, and
   acts directly, with no account. Its exchanges are counted, of some also those of many threads that begin at once.
2. Subject tokens live 20 s, and each client keeps an access token for ten seconds. One process of it (a tool: one
   command after the other) goes on through at least five rotations of its file, without one failed call.
3. The daemons die, and what they wrote is spoilt in one way after the other (`tests.clients.breakages`).
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.clients.client import ACCESS_TOKEN, TOKEN
from tests.clients.costs import Costs
from tests.clients.stage import NORMAL_LIFE, SHORT_LIFE, STRANGER, Stage, direct_of, subject_of
from tests.clients.verdicts import NOT_SHOWN, Record, Scenario, Verdict, expect, expect_content, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.clients.client import Client
    from tests.clients.probes import Answer, Player

ROTATIONS = 5
DEADLINE = 240.0
"""Seconds that anything waited for may take, however busy the machine is."""
PAUSE = 1.0
"""Seconds between two calls: about as fast as two cores bear of all clients together."""
LIFE_IN_FILE = 20.0
"""Seconds that access tokens in files live."""
THREADS = 16
"""Of one process that begin at once, where that is counted."""
_CALLS = 10
_YES = Verdict(result="yes")


@dataclass(frozen=True, kw_only=True)
class Play:
    """A run of clients on a stage."""

    stage: Stage
    clients: Sequence[Client]
    records: Mapping[str, Record]

    @classmethod
    def of(cls, stage: Stage, clients: Sequence[Client]) -> Play:
        """Make a run that has not begun."""
        return cls(stage=stage, clients=clients, records={client.name: Record() for client in clients})

    @property
    def _costs(self) -> Costs:
        return Costs(cloud=self.stage.cloud)

    def act_with_usual_lives(self) -> None:
        """Take the first step."""
        self._shorten_lives_in_files()
        self.stage.configure(NORMAL_LIFE)
        self.stage.start()
        self.note(Scenario.ACTS, self._acts)
        self.note(Scenario.DIRECT, self._acts_directly)
        self.stage.stop()

    def shorten_lives(self) -> None:
        """Let the daemons write tokens that live 20 s, and clients keep theirs for ten."""
        self._shorten_lives_in_files()
        self.stage.cloud.limit_lives({client.name: client.life for client in self.clients if client.reads == TOKEN})
        self.stage.configure(SHORT_LIFE)
        self.stage.start()

    def live_through_rotations(self) -> None:
        """Take the second step; the daemons go on after it."""
        self.note(Scenario.LIVES, self._lives)

    def _shorten_lives_in_files(self) -> None:
        """Let access tokens in files live 20 s; the daemons hold on to one for half its life, so from the start."""
        by_file = [client.name for client in self.clients if client.reads == ACCESS_TOKEN]
        self.stage.cloud.limit_lives(dict.fromkeys([*by_file, STRANGER], LIFE_IN_FILE))

    def note(self, scenario: Scenario, act: Callable[[Client], Verdict]) -> None:
        """Let all clients act, and note what came of it."""
        for name, verdict in judge(act, self.clients).items():
            self.records[name].verdicts[scenario] = verdict

    @contextmanager
    def player(self, client: Client, *, direct: bool = False) -> Iterator[Player]:
        """Bring a client on stage for the length of a `with` block."""
        player = client.play(client, self.stage, self.stage.variables(client.name, direct=direct))
        try:
            yield player
        finally:
            player.close()

    def read(self, client: Client, player: Player) -> Answer:
        """Let a client read its own bucket."""
        return player.read(self.stage.cloud.names.bucket(client.name))

    def expect_read(self, client: Client, player: Player) -> None:
        """Let a client read its own bucket, and go on only if it got what it should.

        Raises:
            FailedError: It did not.
        """
        expect_content(self.read(client, player), client.content(self.stage.cloud.names))

    def _acts(self, client: Client) -> Verdict:
        """Read what only its account may read, and be refused what only another's may."""
        with self.player(client) as player:
            self.expect_read(client, player)
            if client.is_tool:
                self._count_commands(client, player)
            else:
                for _ in range(_CALLS):
                    self.expect_read(client, player)
                self.records[client.name].exchanges_at_start = self._costs.exchanges(client)
            if client.knows_buckets:
                answer = player.read(self.stage.cloud.names.bucket(STRANGER))
                expect(holds=answer.content is None, otherwise=f"read what is another's: {answer}")
        if client.counts_threads:
            self._count_threads(client)
        return _YES

    def _count_threads(self, client: Client) -> None:
        """Count the exchanges of a new process that begins with many threads at once."""
        before = self._costs.exchanges(client)
        with self.player(client) as player:
            answer = player.read(f"{self.stage.cloud.names.bucket(client.name)} {THREADS}")
            expect_content(answer, client.content(self.stage.cloud.names))
        self.records[client.name].exchanges_of_threads = self._costs.exchanges(client) - before

    def _count_commands(self, client: Client, player: Player) -> None:
        """Count the exchanges of one more command, and if there are none those of the first."""
        first = self._costs.exchanges(client)
        self.expect_read(client, player)
        record = self.records[client.name]
        record.exchanges_again = self._costs.exchanges(client) - first
        # the first command of some makes what it reads, which the next does not have to
        record.exchanges_at_start = record.exchanges_again or first

    def _acts_directly(self, client: Client) -> Verdict:
        """Read with no account, as the subject itself."""
        if not client.directly:
            return Verdict(result="no")
        with self.player(client, direct=True) as player:
            answer = self.read(client, player)
        if client.knows_buckets:
            expect_content(answer, client.content(self.stage.cloud.names))
        else:
            itself = subject_of(direct_of(client.name))
            expect(holds=itself in str(answer), otherwise=f"it is somebody else: {answer}")
        return _YES

    def _lives(self, client: Client) -> Verdict:
        """Call on and on; every call must give what it should."""
        if not self.stage.cloud.is_ours:
            return self._starts_with_every_token(client)
        began, record = time.time(), self.records[client.name]
        file = self.stage.directory(client.name) / client.reads
        deadline = time.monotonic() + DEADLINE
        seen: list[bytes] = []
        with self.player(client) as player:
            while len(seen) <= ROTATIONS or not self._costs.has_renewed(client, began):
                _expect_time(deadline, len(seen))
                content = file.read_bytes()
                is_new = content not in seen[-1:]
                if is_new or not client.is_tool:
                    seen += [content] if is_new else []
                    self.expect_read(client, player)
                    record.calls += 1
                time.sleep(PAUSE)
        record.renewal = self._costs.renewal(client, began)
        return _YES

    def _starts_with_every_token(self, client: Client) -> Verdict:
        """Start anew for every rotation: where access tokens live long, only a new process needs the file's token."""
        if client.reads == ACCESS_TOKEN:
            return Verdict(result=NOT_SHOWN)
        file = self.stage.directory(client.name) / client.reads
        deadline = time.monotonic() + DEADLINE
        seen: list[bytes] = []
        while len(seen) <= ROTATIONS:
            _expect_time(deadline, len(seen))
            content = file.read_bytes()
            if content not in seen[-1:]:
                seen.append(content)
                self.stage.leave_homes(client.name)
                with self.player(client) as player:
                    self.expect_read(client, player)
            time.sleep(PAUSE)
        return _YES


def _expect_time(deadline: float, seen: int) -> None:
    expect(
        holds=time.monotonic() < deadline,
        otherwise=f"after {DEADLINE:.0f} s {seen - 1} rotations, or too few renewals",
    )
