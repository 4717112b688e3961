"""A server with a quota: its word about when counts for all, and a fleet's requests are paced."""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import TYPE_CHECKING

import pytest

from tests.program import Worker, until
from tests.tokens import jwt_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow
TARGETS = 60
A_SECOND = 10


class ApiServer:
    """A Kubernetes API server that issues so many tokens a second, and refuses more with 429."""

    def __init__(self, *, retry_after: int | None) -> None:
        self.retry_after = retry_after
        self.is_open = retry_after is None
        self.arrivals: list[float] = []
        self.refused = 0
        self._used: Counter[int] = Counter()
        self._lock = Lock()

    def answer(self, subject: str, audiences: list[str]) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of an answer to a TokenRequest."""
        now = time.time()
        with self._lock:
            self.arrivals.append(now)
            self._used[int(now)] += 1
            if not self.is_open or self._used[int(now)] > A_SECOND:
                self.refused += 1
                return 429, {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}, b"{}"
        claims = {"iss": "https://cluster.example.com", "sub": subject, "aud": audiences}
        token = jwt_of({**claims, "iat": int(now), "exp": int(now) + 3600})
        return 201, {}, json.dumps({"status": {"token": token}}).encode()


@contextmanager
def serving(server: ApiServer) -> Iterator[str]:
    """Serve on the loopback; yield the origin."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            _, _, _, _, namespace, _, name, _ = self.path.split("/")
            subject = f"system:serviceaccount:{namespace}:{name}"
            status, headers, body = server.answer(subject, asked["spec"]["audiences"])
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature of http.server
            """Log nothing."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=listener.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.server_port}"
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()


def configure(worker: Worker, origin: str, names: list[str]) -> None:
    """Configure targets whose tokens the API server issues."""
    (worker.place / "own-token").write_text("own-token")
    document = worker.document(*names)
    supplier = {"kind": "kubernetes", "api_server": origin, "token_file": "own-token", "ca_file": "no-ca.pem"}
    document["suppliers"] = {"worker": supplier}
    for name, identity in document["identities"].items():
        identity["subject"] = f"system:serviceaccount:tasks:{name}"
    worker.write(document)


def test_fleet_is_served_by_a_small_quota_without_a_storm(tmp_path: Path) -> None:
    """With ten tokens a second, sixty targets have theirs within half a minute, and few requests are refused."""
    worker, server = Worker(place=tmp_path), ApiServer(retry_after=None)
    names = [f"task-{number}" for number in range(TARGETS)]

    with serving(server) as origin:
        configure(worker, origin, names)
        with worker.daemon() as log:
            until(lambda: all((worker.directory(name) / "env").exists() for name in names), what="all tokens")
            took = time.time() - server.arrivals[0]
            assert log.end(15) == 0

    assert took < 30
    assert server.refused < TARGETS


def test_moment_that_a_server_names_counts_for_all_targets(tmp_path: Path) -> None:
    """After 429 with `Retry-After: 6` no target asks that server for six seconds."""
    worker, server = Worker(place=tmp_path), ApiServer(retry_after=6)
    names = ["one", "two", "three"]

    with serving(server) as origin:
        configure(worker, origin, names)
        with worker.daemon() as log:
            until(lambda: len(server.arrivals) >= 1, what="the first request")
            time.sleep(1)  # those that were under way at the same moment
            early = len(server.arrivals)
            server.is_open = True
            until(lambda: all((worker.directory(name) / "env").exists() for name in names), what="all tokens")
            assert log.end(15) == 0

    assert server.arrivals[early] - server.arrivals[0] >= 5.5
