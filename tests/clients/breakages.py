"""The third step: the daemons stop, their files are damaged, and every client must fail, show why, and work again.

No test touches a client in between. It works again because the daemons write a new token when they start. So each
breakage also shows that a token written after a failure is used.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.clients.client import TOKEN
from tests.clients.outcomes import NOT_SHOWN, Outcome, Scenario, expect, run_all
from tests.clients.scenarios import DEADLINE, PAUSE
from tests.clients.setup import SHORT_LIFE, STRANGER
from tests.program import secret_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.clients.client import Client
    from tests.clients.probes import Answer, Probe
    from tests.clients.scenarios import Scenarios

BREAKAGES = (Scenario.MISSING, Scenario.EMPTY, Scenario.OTHER, Scenario.EXPIRED)
_STS_SKEW = 60.0
"""For how many seconds STS still accepts an expired token."""
_LIFE = float(SHORT_LIFE.rstrip("s"))
_TRIES_WITHOUT_RECOVERY = 5
"""How often a client that does not recover is asked again."""


class Breaker:
    """Damages the files of all clients of a run, in one way after the other."""

    def __init__(self, scenarios: Scenarios) -> None:
        self._scenarios = scenarios
        self._setup = scenarios.setup
        self._probes: dict[str, Probe] = {}
        self._kept = {client.name: self._file(client).read_bytes() for client in scenarios.clients}
        """The content of the files at the start, which has expired when it is put back."""
        self._kept_at = time.monotonic()

    def run(self) -> None:
        """Run the third step. Daemons run at its beginning and its end."""
        clients = self._scenarios.clients
        self._setup.leave_homes()
        self._setup.cloud.limit_lives({client.name: client.short for client in clients if client.reads == TOKEN})
        try:
            for breakage in BREAKAGES:
                works = run_all(self._works, clients)
                self._setup.stop()
                for client in clients:
                    self._damage(client, breakage)
                failed = run_all(lambda client: self._fails(client, breakage), clients)  # noqa: B023 - it runs at once
                self._setup.start()
                back = run_all(self._recovers, clients)
                for client in clients:
                    self._scenarios.records[client.name].outcomes[breakage] = _combine(
                        works[client.name], failed[client.name], back[client.name]
                    )
        finally:
            for probe in self._probes.values():
                probe.close()

    def _file(self, client: Client) -> Path:
        return self._setup.directory(client.name) / client.reads

    def _content(self, client: Client) -> str:
        return client.content(self._setup.cloud.names)

    def _is_content_of(self, client: Client) -> Callable[[Answer], bool]:
        return lambda answer: answer.content == self._content(client)

    def _read(self, client: Client) -> Answer:
        probe = self._probes.get(client.name)
        if probe is None:
            probe = client.start(client, self._setup, self._setup.variables(client.name))
            self._probes[client.name] = probe
        return self._scenarios.read(client, probe)

    def _restart(self, client: Client) -> None:
        probe = self._probes.pop(client.name, None)
        if probe is not None:
            probe.close()

    def _until(self, client: Client, holds: Callable[[Answer], bool], *, what: str) -> Answer:
        deadline = time.monotonic() + DEADLINE
        while not holds(answer := self._read(client)):
            expect(holds=time.monotonic() < deadline, otherwise=f"{what} within {DEADLINE:.0f} s: {answer}")
            time.sleep(PAUSE)
        return answer

    def _works(self, client: Client) -> Outcome:
        # an access token lives five seconds here, and Go uses it to its last moment: a single call may come after that
        self._until(client, self._is_content_of(client), what="it does not work before the damage")
        if not self._setup.cloud.is_ours:
            # another STS issues long-lived tokens: only a new process without a token in its home reads the file soon
            self._restart(client)
            self._setup.leave_homes(client.name)
        return Outcome(result="works")

    def _damage(self, client: Client, breakage: Scenario) -> None:
        file = self._file(client)
        match breakage:
            case Scenario.MISSING:
                file.unlink()
            case Scenario.EMPTY:
                file.write_bytes(b"")
            case Scenario.OTHER:
                file.write_bytes((self._setup.directory(client.name, of=STRANGER) / client.reads).read_bytes())
            case _:
                time.sleep(max(0.0, self._kept_at + _LIFE + _STS_SKEW - time.monotonic()))
                file.write_bytes(self._kept[client.name])

    def _fails(self, client: Client, breakage: Scenario) -> Outcome:
        """Call until the client notices; it must show why, show no secret, and return nothing else in between."""
        if breakage is Scenario.EXPIRED and client.reads != TOKEN and not self._setup.cloud.is_ours:
            # the old access token is still valid there
            return Outcome(result=NOT_SHOWN)
        began = time.time()
        answer = self._until(client, lambda answer: answer.content is None, what="it does not fail")
        expect(holds=bool(answer.message.strip()), otherwise=f"its error has no message: {answer.error}")
        expect(holds=secret_in(answer.message) is None, otherwise="it shows a secret when it fails")
        journal = self._setup.cloud.journal
        if breakage is Scenario.OTHER and journal is not None and client.reads == TOKEN:
            asked = [
                entry
                for entry in journal.impersonations(self._setup.cloud.names.account(client.name))
                if entry["time"] >= began
            ]
            expect(
                holds={entry["status"] for entry in asked[-1:]} == {403},
                otherwise=f"it failed before Google could refuse it: {answer}",
            )
        return Outcome(result="fails", message=str(answer))

    def _recovers(self, client: Client) -> Outcome:
        """Call until the client works again. One that does not recover is asked a few times, then started again."""
        is_back = self._is_content_of(client)
        if client.recovers:
            self._until(client, is_back, what="it does not recover")
            return Outcome(result="recovers")
        for _ in range(_TRIES_WITHOUT_RECOVERY):
            if is_back(self._read(client)):
                return Outcome(result="recovers")
            time.sleep(PAUSE)
        self._restart(client)
        self._until(client, is_back, what="a new process does not work")
        return Outcome(result="restart")


def _combine(works: Outcome, failed: Outcome, back: Outcome) -> Outcome:
    """Return what is wrong; if nothing is, the outcome of all steps."""
    for outcome in (works, failed, back):
        if not outcome.result:
            return outcome
    if failed.result == NOT_SHOWN:
        return failed
    return Outcome(result=f"{failed.result}, {back.result}", message=failed.message)
