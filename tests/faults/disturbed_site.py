"""A running daemon whose files are changed behind its back, in a small file system of its own, and a healthy neighbour.

Three targets are disturbed: `alice` gets new tokens at once, `erin` none while her source is taken away, and the whole
directory of `dave` becomes unusable. `bob` is left alone, and asked about all the time.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any

from refresher.emulator.testing import Scenario
from refresher.keys.directory import load_signing_key
from refresher.tokens import compose_jwt
from tests.program import ISSUER, Log, Worker, account_of, remove_tree, stretch, until
from tests.status_socket import Answer, ask

AUDIENCE = "https://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/workers/providers/refresher"
NAMES = ("alice", "bob", "dave", "erin")
TWO_TICKS = 2.0
MOUNTED = 'mount -t tmpfs -o size=1m,mode=0755 tmpfs "$ROOT" && exec "$@"'
_POLL = 0.05


@dataclass
class Neighbour:
    """Asks whether a target is ready, all the time."""

    path: Path
    name: str
    answers: int = 0
    wrong: list[Answer] = field(default_factory=list)

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Ask for the length of a `with` block."""
        ending = Event()

        def run() -> None:
            while not ending.wait(_POLL):
                answer = ask(self.path, f"/readyz/{self.name}")
                self.answers += 1
                if answer.status != 200:
                    self.wrong.append(answer)

        thread = Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            ending.set()
            thread.join()


@dataclass
class Site:
    """The daemon at work; paths are those that it sees."""

    worker: Worker
    log: Log
    socket: Path
    neighbour: Neighbour

    @property
    def root(self) -> Path:
        """The directory root, as the daemon sees it."""
        return Path(f"/proc/{self.log.process.pid}/root{self.worker.root}")

    @property
    def source(self) -> Path:
        """The source of erin's tokens."""
        return self.worker.place / "source-token"

    def place(self, target: str, name: str = "") -> Path:
        """Return a target's directory, or a file in it."""
        return self.root / target / name

    def compose(self, target: str, *, seconds: int) -> str:
        """Compose a token that the configuration would mint, with so much life left."""
        key = load_signing_key(self.worker.place / "keys")
        expires_at = int(datetime.now(UTC).timestamp()) + seconds
        claims = {"iss": ISSUER, "sub": f"user-{target}", "aud": AUDIENCE, "iat": expires_at - 3600, "exp": expires_at}
        return compose_jwt({"alg": "ES256", "kid": key.kid}, claims, key.sign)

    def renew_source(self, *, seconds: int = 3600) -> None:
        """Write a new token of erin's source, in one step."""
        temporary = self.source.with_suffix(".new")
        temporary.write_text(self.compose("erin", seconds=seconds))
        temporary.chmod(0o600)
        temporary.rename(self.source)

    def is_ready(self, target: str) -> bool:
        """Return whether a target is ready, by the daemon's answer."""
        return ask(self.socket, f"/readyz/{target}").status == 200

    def list_since(self, count: int, target: str | None) -> list[dict[str, Any]]:
        """Return the events of a target, or of none, after the first so many."""
        return [event for event in self.log.events()[count:] if event.get("target") == target]

    def find_event(self, name: str, count: int, target: str | None) -> dict[str, Any]:
        """Wait for an event of a target, or of none, after the first so many events."""
        found = self.see(lambda: [each for each in self.list_since(count, target) if each["event"] == name], what=name)
        event: dict[str, Any] = found[0]
        return event

    def see(self, condition: Callable[[], Any], *, what: str, seconds: float = TWO_TICKS) -> Any:  # noqa: ANN401
        """Wait until a condition is true, and return its result; it must be so within these seconds, twice at most."""
        deadline = time.monotonic() + stretch(2 * seconds)
        while not (found := condition()):
            assert time.monotonic() < deadline, f"in vain: {what}; logged:\n{self.log.path.read_text()[-4000:]}"
            time.sleep(0.02)
        return found

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Keep the daemon from working for the length of a `with` block: what is done there is done at one moment."""
        self.log.send(signal.SIGSTOP)
        try:
            yield
        finally:
            self.log.send(signal.SIGCONT)

    def run_inside(self, *command: str) -> None:
        """Run a command where the daemon's mounts are."""
        subprocess.run(["nsenter", f"--mount=/proc/{self.log.process.pid}/ns/mnt", *command], check=True, timeout=30)


def fill(directory: Path) -> None:
    """Use up all space of a file system."""
    with (directory / ".fill").open("ab", buffering=0) as file:
        for size in (65536, 1):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                continue


@contextmanager
def site(worker: Worker, google: Scenario) -> Iterator[Site]:
    """Run the daemon with a root in memory; it must have ended well, and the neighbour must have been ready always."""
    socket = worker.place / "status" / "http.sock"
    document = worker.document(*NAMES, listen=f"unix:{socket}")
    document["suppliers"]["source"] = {"kind": "file", "path": str(worker.place / "source-token")}
    for identity in document["identities"].values():
        identity["supplier"] = "worker"
    document["identities"]["erin"]["supplier"] = "source"
    document["targets"]["alice"] = {"artifacts": {"access_token": True}}
    google.allow(account_of("alice"), subject="user-alice")
    worker.write(document)
    worker.root.mkdir()
    worker.environment = {"ROOT": str(worker.root)}
    worker.prefix = ["unshare", "--mount", "sh", "-c", MOUNTED, "sh"]
    with worker.daemon() as log:
        made = Site(worker, log, socket, Neighbour(socket, "bob"))
        worker.prefix = ["nsenter", f"--mount=/proc/{log.process.pid}/ns/mnt"]
        made.renew_source()
        log.wait_for("daemon.listening")
        until(lambda: all(map(made.is_ready, NAMES)), what="all targets")
        with made.neighbour.asked():
            yield made
        assert log.end(signal.SIGTERM) == 0
    worker.prefix = []


def remove(path: Path) -> None:
    """Remove whatever has a name."""
    if path.is_dir() and not path.is_symlink():
        remove_tree(path)
    else:
        path.unlink(missing_ok=True)


def replace(path: Path, content: str) -> None:
    """Overwrite a file in place, with the mode it has."""
    descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC)
    os.write(descriptor, content.encode())
    os.close(descriptor)
