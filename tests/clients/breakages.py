"""The third step: the daemons die, what they wrote is spoilt, and every client must fail, say why, and go on.

Nobody touches a client in between. What makes it go on is the token that the daemons write when they start again, so
that each breakage also shows that a token written after a failure is picked up.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.clients.client import TOKEN
from tests.clients.play import DEADLINE, PAUSE
from tests.clients.stage import SHORT_LIFE, STRANGER
from tests.clients.verdicts import NOT_SHOWN, Scenario, Verdict, expect, expect_content, judge
from tests.program import secret_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.clients.client import Client
    from tests.clients.play import Play
    from tests.clients.probes import Answer, Player

BREAKAGES = (Scenario.MISSING, Scenario.EMPTY, Scenario.OTHER, Scenario.EXPIRED)
_SKEW_OF_STS = 60.0
"""Seconds for which STS still takes a token that is over."""
_LIFE = float(SHORT_LIFE.rstrip("s"))
_TRIES_OF_THE_LOST = 5
"""How often a client that is known not to recover is asked whether it did."""


class Breaker:
    """Spoils the files of all clients of a run, one way after the other."""

    def __init__(self, play: Play) -> None:
        self._play = play
        self._stage = play.stage
        self._players: dict[str, Player] = {}
        self._kept = {client.name: self._file(client).read_bytes() for client in play.clients}
        """What the files held at the start, which is over by the time it is put back."""
        self._kept_at = time.monotonic()

    def run(self) -> None:
        """Take the third step, which begins and ends with daemons that run."""
        clients = self._play.clients
        self._stage.leave_homes()
        self._stage.cloud.limit_lives({client.name: client.short for client in clients if client.reads == TOKEN})
        try:
            for breakage in BREAKAGES:
                well = judge(self._is_well, clients)
                self._stage.stop()
                for client in clients:
                    self._spoil(client, breakage)
                failed = judge(lambda client: self._fails(client, breakage), clients)  # noqa: B023 - it runs at once
                self._stage.start()
                back = judge(self._recovers, clients)
                for client in clients:
                    self._play.records[client.name].verdicts[breakage] = _first_wrong(
                        well[client.name], failed[client.name], back[client.name]
                    )
        finally:
            for player in self._players.values():
                player.close()

    def _file(self, client: Client) -> Path:
        return self._stage.directory(client.name) / client.reads

    def _content(self, client: Client) -> str:
        return client.content(self._stage.cloud.names)

    def _read(self, client: Client) -> Answer:
        player = self._players.get(client.name)
        if player is None:
            player = client.play(client, self._stage, self._stage.variables(client.name))
            self._players[client.name] = player
        return self._play.read(client, player)

    def _start_anew(self, client: Client) -> None:
        player = self._players.pop(client.name, None)
        if player is not None:
            player.close()

    def _until(self, client: Client, holds: Callable[[Answer], bool], *, what: str) -> Answer:
        deadline = time.monotonic() + DEADLINE
        while not holds(answer := self._read(client)):
            expect(holds=time.monotonic() < deadline, otherwise=f"{what} within {DEADLINE:.0f} s: {answer}")
            time.sleep(PAUSE)
        return answer

    def _is_well(self, client: Client) -> Verdict:
        expect_content(self._read(client), self._content(client))
        if not self._stage.cloud.is_ours:
            # another STS gives long lives: only a new process that finds no token in its home looks at the file soon
            self._start_anew(client)
            self._stage.leave_homes(client.name)
        return Verdict(result="well")

    def _spoil(self, client: Client, breakage: Scenario) -> None:
        file = self._file(client)
        match breakage:
            case Scenario.MISSING:
                file.unlink()
            case Scenario.EMPTY:
                file.write_bytes(b"")
            case Scenario.OTHER:
                file.write_bytes((self._stage.directory(client.name, of=STRANGER) / client.reads).read_bytes())
            case _:
                time.sleep(max(0.0, self._kept_at + _LIFE + _SKEW_OF_STS - time.monotonic()))
                file.write_bytes(self._kept[client.name])

    def _fails(self, client: Client, breakage: Scenario) -> Verdict:
        """Call until the client notices; it must say why, show no secret, and give nothing else meanwhile."""
        if breakage is Scenario.EXPIRED and client.reads != TOKEN and not self._stage.cloud.is_ours:
            # the access token that was kept is as good as new there
            return Verdict(result=NOT_SHOWN)
        began = time.time()
        answer = self._until(client, lambda answer: answer.content is None, what="it does not fail")
        expect(holds=bool(answer.message.strip()), otherwise=f"it does not say why it fails: {answer.error}")
        expect(holds=secret_in(answer.message) is None, otherwise="it shows a secret when it fails")
        journal = self._stage.cloud.journal
        if breakage is Scenario.OTHER and journal is not None and client.reads == TOKEN:
            asked = [
                entry
                for entry in journal.impersonations(self._stage.cloud.names.account(client.name))
                if entry["time"] >= began
            ]
            expect(
                holds={entry["status"] for entry in asked[-1:]} == {403},
                otherwise=f"it failed before Google could refuse it: {answer}",
            )
        return Verdict(result="fails", said=str(answer))

    def _recovers(self, client: Client) -> Verdict:
        """Call until the client goes on; one that is known to be lost is asked a few times, and started anew."""

        def is_back(answer: Answer) -> bool:
            return answer.content == self._content(client)

        if client.recovers:
            self._until(client, is_back, what="it does not recover")
            return Verdict(result="recovers")
        for _ in range(_TRIES_OF_THE_LOST):
            if is_back(self._read(client)):
                return Verdict(result="recovers")
            time.sleep(PAUSE)
        self._start_anew(client)
        self._until(client, is_back, what="a new process does not work")
        return Verdict(result="restart")


def _first_wrong(well: Verdict, failed: Verdict, back: Verdict) -> Verdict:
    """Give what is wrong, or how the client fared in all."""
    for verdict in (well, failed, back):
        if not verdict.result:
            return verdict
    if failed.result == NOT_SHOWN:
        return failed
    return Verdict(result=f"{failed.result}, {back.result}", said=failed.said)
