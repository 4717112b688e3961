"""The scenarios of clients with a metadata endpoint, all clients at the same time.

1. Each client acts as its account, and is refused the data of another account: in a namespace, in a podman container,
   and in a namespace with nothing set but a host entry.
2. Access tokens live for seconds. One process of the client (for a tool: one command after the other) calls until its
   endpoint has served six different tokens, without a failed call. Meanwhile the daemon is restarted once.
3. Each client is started while no daemon runs, and two seconds later the daemon is started.
4. Google issues no tokens until the last one has expired: the client shows an error. Then it does again, and the same
   process works again.
"""

from __future__ import annotations

import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from threading import Condition, Event
from typing import TYPE_CHECKING

from tests.clients.cloud import cloud
from tests.clients.metadata_site import MetadataSite, Place, open_metadata_site
from tests.clients.outcomes import FailedError, Outcome, expect, expect_content
from tests.clients.registry import METADATA_CLIENTS
from tests.clients.run import install_available
from tests.clients.scenarios import DEADLINE, PAUSE, ROTATIONS
from tests.clients.setup import STRANGER
from tests.program import secret_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.clients.client import Client
    from tests.clients.probes import Probe

LIFE = 30.0
"""How many seconds access tokens live while they are replaced at half of their life."""
_LONG = 100.0
_AT_ONCE = 4  # Java waits half a second for the metadata server, while others start
_DOWN_SECONDS = 2.0
_YES = Outcome(result="yes")


class MetadataScenario(StrEnum):
    """A column of the table."""

    NAMESPACE = "acts as its account, as no other"
    PODMAN = "in podman"
    NOTHING_SET = "nothing set"
    LIVES = "5 replacements and a restart, no failed call"
    STARTS = "started while the daemon restarts"
    DOWN = "Google down, and back"


PLACES = {
    MetadataScenario.NAMESPACE: Place.NAMESPACE,
    MetadataScenario.PODMAN: Place.PODMAN,
    MetadataScenario.NOTHING_SET: Place.NOTHING_SET,
}

Outcomes = dict[str, dict[MetadataScenario, Outcome]]


@dataclass(frozen=True, kw_only=True)
class MetadataScenarios:
    """One run of clients at a site."""

    site: MetadataSite
    clients: Sequence[Client]
    outcomes: Outcomes = field(default_factory=dict)

    def run(self) -> Outcomes:
        """Run all steps; return the outcomes of each client by its name."""
        self.site.start()
        for scenario, where in PLACES.items():
            self.run_scenario(scenario, partial(self._acts, where))
        self.site.stop()
        self.shorten_lives()
        self.site.start()
        self.run_scenario(MetadataScenario.LIVES, self._lives, meanwhile=self._restart)
        self.site.stop()
        self.site.setup.leave_homes()
        self.run_scenario(MetadataScenario.STARTS, self._starts, meanwhile=self._start_again)
        turns = Turns(up=Latch(len(self.clients)), down=Latch(len(self.clients)))
        self.run_scenario(
            MetadataScenario.DOWN,
            lambda client: self._recovers(client, turns),
            meanwhile=lambda: self._take_google_down(turns),
        )
        return self.outcomes

    def shorten_lives(self) -> None:
        """Make access tokens live for seconds; some clients use none that ends so soon."""
        self.site.setup.cloud.limit_lives({client.name: compute_life(client) for client in self.clients})
        self.site.setup.leave_homes()
        self.site.namespaces.stop()  # it keeps the tokens of an hour
        self.site.namespaces.start()

    def run_scenario(
        self,
        scenario: MetadataScenario,
        act: Callable[[Client], Outcome],
        *,
        meanwhile: Callable[[], None] | None = None,
    ) -> None:
        """Run a scenario with all clients, and record the outcomes."""

        def perform(client: Client) -> Outcome:
            try:
                return act(client)
            except FailedError as failed:
                return Outcome(message=str(failed))

        at_once = _AT_ONCE if scenario in PLACES else len(self.clients)
        with ThreadPoolExecutor(at_once) as pool:
            under_way = {client.name: pool.submit(perform, client) for client in self.clients}
            if meanwhile is not None:
                meanwhile()
            for name, outcome in under_way.items():
                self.outcomes.setdefault(name, {})[scenario] = outcome.result()

    @contextmanager
    def probe(self, client: Client, where: Place = Place.NAMESPACE) -> Iterator[Probe]:
        """Start a client at a place for the length of a `with` block."""
        probe = client.start(client, self.site.place(client, where), self.site.variables(client, where))
        try:
            yield probe
        finally:
            probe.close()

    def expect_read(self, client: Client, probe: Probe) -> None:
        """Make a client read its own bucket, and check the content.

        Raises:
            FailedError: The client did not read the expected content.
        """
        names = self.site.setup.cloud.names
        expect_content(probe.read(names.bucket(client.name)), client.content(names))

    def _acts(self, where: Place, client: Client) -> Outcome:
        self.site.setup.leave_homes(client.name)
        with self.probe(client, where) as probe:
            self.expect_read(client, probe)
            if client.knows_buckets:
                answer = probe.read(self.site.setup.cloud.names.bucket(STRANGER))
                expect(holds=answer.content is None, otherwise=f"read another account's bucket: {answer}")
        return _YES

    def _lives(self, client: Client) -> Outcome:
        account = self.site.setup.cloud.names.account(client.name)
        deadline = time.monotonic() + DEADLINE + ROTATIONS * LIFE
        began = time.time()
        with self.probe(client) as probe:
            while self._count_tokens(account, began) <= count_replacements(client):
                expect(holds=time.monotonic() < deadline, otherwise="too few tokens were minted")
                self.expect_read(client, probe)
                time.sleep(PAUSE)
        return _YES

    def _starts(self, client: Client) -> Outcome:
        """Start while no daemon answers. A client that gives up before it does must work when it is started again."""
        try:
            with self.probe(client) as probe:
                self.expect_read(client, probe)
        except FailedError as failed:
            self.site.setup.leave_homes(client.name)
            with self.probe(client) as probe:
                self.expect_read(client, probe)
            return Outcome(result="fails, works when started again", message=str(failed))
        return Outcome(result="waits")

    def _start_again(self) -> None:
        time.sleep(_DOWN_SECONDS)
        self.site.start()

    def _count_tokens(self, account: str, began: float) -> int:
        journal = self.site.setup.cloud.journal
        minted = [] if journal is None else journal.impersonations(account)
        return sum(entry["time"] >= began and entry["status"] == 200 for entry in minted)

    def _restart(self) -> None:
        """Restart the daemon once every client has had the time to find its server."""
        time.sleep(LIFE)
        self.restart()

    def restart(self) -> None:
        """Restart the daemon, which is away for about two seconds."""
        self.site.stop()
        time.sleep(_DOWN_SECONDS / 2)
        self.site.start(is_waiting=False)

    def _recovers(self, client: Client, turns: Turns) -> Outcome:
        """Call until a call fails because Google issues no tokens; then, when it does again, until one works."""
        cloud, names = self.site.setup.cloud, self.site.setup.cloud.names
        bucket, content = cloud.names.bucket(client.name), client.content(names)
        message = ""
        with self.probe(client) as probe:
            with turns.down:
                with turns.up:
                    self.expect_read(client, probe)
                turns.is_down.wait()
                deadline = time.monotonic() + DEADLINE + compute_life(client)
                while not message:
                    answer = probe.read(bucket)
                    message = "" if answer.content == content else str(answer)
                    expect(holds=time.monotonic() < deadline, otherwise="it works without a token")
                    time.sleep(PAUSE)
            turns.is_back.wait()
            deadline = time.monotonic() + DEADLINE
            while probe.read(bucket).content != content:
                expect(holds=time.monotonic() < deadline, otherwise=f"it did not recover: {message}")
                time.sleep(PAUSE)
        return Outcome(result="yes", message=message)

    def _take_google_down(self, turns: Turns) -> None:
        turns.up.wait()
        self.site.setup.cloud.go_down()
        turns.is_down.set()
        turns.down.wait()
        self.site.setup.cloud.come_back()
        turns.is_back.set()


class Latch:
    """Opens after a `with` block has ended this often, however it ended."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._changed = Condition()

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, *error: object) -> None:
        """Count one."""
        with self._changed:
            self._left -= 1
            self._changed.notify_all()

    def wait(self) -> None:
        """Return when it is open, or when all have had the time for it."""
        with self._changed:
            self._changed.wait_for(lambda: self._left <= 0, timeout=3 * DEADLINE)


@dataclass(frozen=True, kw_only=True)
class Turns:
    """How the clients and Google take turns."""

    up: Latch
    down: Latch
    is_down: Event = field(default_factory=Event)
    is_back: Event = field(default_factory=Event)


def compute_life(client: Client) -> float:
    """Return how many seconds its access tokens live: it must accept one with half of that left."""
    return max(LIFE, 2 * client.short + 10)


def count_replacements(client: Client) -> int:
    """Return how many replacements it goes through: fewer if it needs tokens that live for minutes."""
    return ROTATIONS if compute_life(client) < _LONG else 1


def run_with_metadata(clients: Sequence[Client], place: Path) -> Outcomes:
    """Run clients through all scenarios; return the outcomes of each by name."""
    place.chmod(0o755)
    with cloud(place) as google, open_metadata_site(google, place, clients) as site:
        outcomes = MetadataScenarios(site=site, clients=clients).run()
        assert secret_in(site.setup.printed()) is None
    return outcomes


def main(names: Sequence[str]) -> None:
    """Run all clients, or those with these prefixes, and print the outcomes; for the author of a new client."""
    clients = install_available([each for each in METADATA_CLIENTS if each.name.startswith(tuple(names) or "")])
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        for name, outcomes in run_with_metadata(clients, Path(directory)).items():
            for scenario, outcome in outcomes.items():
                sys.stdout.write(f"{name}: {scenario}: {outcome.result or 'WRONG'} {outcome.message[:300]}\n")
    sys.stdout.write(f"{time.monotonic() - began:.0f} s\n")


if __name__ == "__main__":
    main(sys.argv[1:])
