"""A signing key is replaced while hundreds of clients work, and none of them notices."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import jwt
import urllib3

from refresher.keys.directory import create
from tests.program import ISSUER, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from refresher.emulator.testing import Scenario
    from tests.conftest import Need
    from tests.program import Worker

TARGETS = 200
CLIENTS = 2
LATER = "+11m"
"""Beyond the life of a token that the old key signed and what is added to it for skew."""


class Clients:
    """One client per target, which exchanges what its token file holds again and again."""

    def __init__(self, worker: Worker, google: Scenario, names: list[str]) -> None:
        self._worker = worker
        self._url = f"{google.http}/v1/token"
        self._names = names
        self._stop = Event()
        self.succeeded: Counter[str] = Counter()
        self.refused: list[str] = []

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Make them work for the length of a `with` block."""
        threads = [Thread(target=self._work, args=(self._names[number::CLIENTS],)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def round(self) -> None:
        """Wait until each has succeeded once more."""
        before = Counter(self.succeeded)
        until(lambda: all(self.succeeded[name] > before[name] for name in self._names), what="a round of exchanges")

    def _work(self, names: list[str]) -> None:
        with urllib3.PoolManager() as pool:
            while not self._stop.is_set():
                for name in names:
                    self._exchange(pool, name)

    def _exchange(self, pool: urllib3.PoolManager, name: str) -> None:
        directory = self._worker.directory(name)
        document = json.loads((directory / "credentials.json").read_text())
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "audience": document["audience"],
            "scope": "https://www.googleapis.com/auth/cloud-platform",
            "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "subject_token": (directory / "token").read_text(),
            "subject_token_type": document["subject_token_type"],
        }
        answer = pool.request("POST", self._url, fields=form, encode_multipart=False, timeout=20)
        if answer.status == 200:
            self.succeeded[name] += 1
        else:
            self.refused.append(answer.data.decode())


def keys(worker: Worker, *arguments: str) -> dict[str, Any]:
    """Run a `keys` command that prints a JWKS."""
    command, *more = arguments
    printed: dict[str, Any] = json.loads(
        worker.run("keys", command, "--directory", str(worker.place / "keys"), *more).stdout
    )
    return printed


def key_ids(worker: Worker, names: list[str]) -> set[str]:
    """Return the ids of the keys that signed the published tokens."""
    return {jwt.get_unverified_header(worker.token(name))["kid"] for name in names}


def test_rotation_under_load(cloud: tuple[Worker, Scenario], need: Need) -> None:
    """From `rotate` to `retire`, with a late upload and restarts in the middle, no client's exchange is refused."""
    need.tool("faketime", "apt-get install faketime")
    worker, google = cloud
    worker.lifetime = "30s"
    names = [f"t{number}" for number in range(TARGETS)]
    worker.configure(*names)
    (old,) = (key["kid"] for key in keys(worker, "jwks")["keys"])
    clients = Clients(worker, google, names)

    with worker.daemon() as log:
        log.wait_for("daemon.ready")
        with clients.at_work():
            jwks = keys(worker, "rotate")
            (new,) = {key["kid"] for key in jwks["keys"]} - {old}
            log.wait_for("exchange.refused", kid=new)
            assert log.end(15) == 0

            with worker.daemon() as second:
                second.wait_for("exchange.refused", kid=new)
                assert key_ids(worker, names) == {old}
                google.add_provider(issuer=ISSUER, jwks=jwks)
                second.wait_for("keys.rotated", kid=new)
                assert second.end(15) == 0

            with worker.daemon() as third:
                third.wait_for("daemon.ready")
                until(lambda: key_ids(worker, names) == {new}, what="all tokens signed by the new key")
                worker.prefix = ["faketime", "-f", LATER]
                google.add_provider(issuer=ISSUER, jwks=keys(worker, "retire"))
                worker.prefix = []
                clients.round()

    assert clients.refused == []
    assert set(clients.succeeded) == set(names)
    assert {key["kid"] for key in keys(worker, "jwks")["keys"]} == {new}


def test_key_id_that_looks_like_an_option_can_be_revoked(worker: Worker) -> None:
    """One key id in 64 begins with a hyphen, and the runbook's command holds for that too."""
    made = (create(worker.place / f"keys-{n}", algorithm="ES256", now=datetime.now(UTC)).kid for n in count())
    number, leaked = next((n, kid) for n, kid in enumerate(made) if kid.startswith("-"))
    directory = str(worker.place / f"keys-{number}")

    jwks = json.loads(worker.run("keys", "revoke", "--directory", directory, leaked).stdout)

    assert leaked not in {key["kid"] for key in jwks["keys"]}
    following = json.loads(worker.run("keys", "rotate", "--directory", directory).stdout)["keys"]
    waiting = next(key["kid"] for key in following if key not in jwks["keys"])
    assert worker.run("keys", "activate", "--directory", directory, waiting).stdout.strip() == waiting


def test_revoked_key_is_replaced_at_once(cloud: tuple[Worker, Scenario]) -> None:
    """A revoked key's tokens are superseded without a restart, and exchange once the new JWKS is uploaded."""
    worker, google = cloud
    worker.configure("alice", "bob")

    with worker.daemon() as log:
        log.wait_for("daemon.ready")
        (leaked,) = key_ids(worker, ["alice", "bob"])
        jwks = keys(worker, "revoke", leaked)
        google.add_provider(issuer=ISSUER, jwks=jwks)
        until(lambda: leaked not in key_ids(worker, ["alice", "bob"]), what="tokens of another key")

        worker.command("wait", "--exchange", "--timeout", "20s")


def test_operator_activates_by_hand(worker: Worker) -> None:
    """`keys activate` makes the next key sign at once, and `keys list` shows every key's state."""
    worker.configure("alice")
    (old,) = (key["kid"] for key in keys(worker, "jwks")["keys"])
    (new,) = {key["kid"] for key in keys(worker, "rotate")["keys"]} - {old}
    directory = str(worker.place / "keys")

    printed = worker.run("keys", "activate", "--directory", directory, "--lifetime", "1h").stdout
    worker.once()
    listed = json.loads(worker.run("keys", "list", "--directory", directory, "--json").stdout)

    assert printed.strip() == new
    assert key_ids(worker, ["alice"]) == {new}
    assert {key["kid"]: key["state"] for key in listed["keys"]} == {old: "retiring", new: "active"}
    refused = worker.run("keys", "retire", "--directory", directory, status=2)
    assert "may be in use until" in refused.stderr
