from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from refresher.errors import ConfigurationError
from refresher.google.call import TransportError
from refresher.google.transport import LARGEST_ANSWER, Limits, PooledTransport
from tests.line_server import answering, closing, dripping, read_request, silent
from tests.program import until

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from tests.line_server import Serve, Treat

pytestmark = pytest.mark.slow  # servers that hang, until a deadline
LIMITS = Limits(connect=0.5, read=0.5, call=1.0)
IMPATIENT = Limits(connect=0.3, read=0.3, call=5.0)
SECRET = "eyJhbGciOi.eyJzdWIi.c2VjcmV0"


def make_transport(limits: Limits = LIMITS) -> PooledTransport:
    """Return a transport with short limits."""
    return PooledTransport(ca_file=None, limits=limits)


def test_answer_is_given_whatever_its_status(serve: Serve) -> None:
    """Status, headers by lower-case name and body are returned; a refusal is an answer too."""
    server = serve(answering(b"HTTP/1.1 403 Forbidden\r\nX-Thing: Yes\r\nContent-Length: 4\r\n\r\nbody"))

    response = make_transport().request("GET", f"{server.origin}/path")

    assert (response.status, response.headers["x-thing"], response.body) == (403, "Yes", b"body")
    assert "body" not in repr(response)


def test_request_is_sent_as_given(serve: Serve) -> None:
    """Method, path with query, headers and body arrive."""
    seen: list[bytes] = []

    def treat(connection: socket.socket, _ended: threading.Event) -> None:
        content = read_request(connection)
        while not content.endswith(b"the body"):
            content += connection.recv(4096)
        seen.append(content)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    server = serve(treat)

    make_transport().request("POST", f"{server.origin}/a?b=c", headers={"Metadata-Flavor": "Google"}, body=b"the body")

    assert seen[0].startswith(b"POST /a?b=c HTTP/1.1\r\n")
    assert b"Metadata-Flavor: Google" in seen[0]


def test_connections_are_kept(serve: Serve) -> None:
    """Many calls one after the other use one connection, and leave no descriptor or thread open."""
    server = serve(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
    transport = make_transport()
    transport.request("GET", server.origin)
    before = (len(os.listdir("/proc/self/fd")), threading.active_count())

    for _ in range(20):
        transport.request("GET", server.origin)

    assert len(server.connections) == 1
    assert len(os.listdir("/proc/self/fd")) <= before[0]
    until(lambda: threading.active_count() <= before[1], what="threads to end")


def test_redirects_are_not_followed(serve: Serve) -> None:
    """A redirect is returned and not followed: a token must not go to another server."""
    server = serve(answering(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"))

    response = make_transport().request("GET", server.origin)

    assert response.status == 302


@pytest.mark.parametrize(
    ("treat", "limits", "reason"),
    [
        pytest.param(silent, IMPATIENT, "did not answer in time", id="silent"),
        pytest.param(closing, LIMITS, "broke the connection off", id="closed-early"),
        pytest.param(answering(b"rubbish\r\n\r\n"), LIMITS, "does not speak HTTP", id="rubbish"),
        pytest.param(
            dripping(b"HTTP/1.1 200 OK\r\nX-Long: ", b"a"),
            LIMITS,
            "no complete response within 1 s",
            id="drips-headers",
        ),
        pytest.param(
            dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"a"),
            LIMITS,
            "no complete response within 1 s",
            id="drips-a-known-length",
        ),
        pytest.param(
            dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
            LIMITS,
            "no complete response within 1 s",
            id="drips-chunks",
        ),
        pytest.param(
            dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n", b"a"),
            LIMITS,
            "no complete response within 1 s",
            id="drips-within-a-chunk",
        ),
        pytest.param(
            dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"a"),
            LIMITS,
            "no complete response within 1 s",
            id="drips-until-it-closes",
        ),
        pytest.param(
            answering(b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + b"a" * (2 * LARGEST_ANSWER)),
            LIMITS,
            f"more than {LARGEST_ANSWER} bytes",
            id="too-large",
        ),
    ],
)
def test_bad_servers_keep_no_worker(serve: Serve, treat: Treat, limits: Limits, reason: str) -> None:
    """Each way of not answering ends in time, names host and reason, and shows nothing that was sent."""
    server = serve(treat)
    started = time.monotonic()

    with pytest.raises(TransportError) as caught:
        make_transport(limits).request("GET", server.origin, headers={"Authorization": f"Bearer {SECRET}"})

    assert time.monotonic() - started < 3
    assert reason in str(caught.value)
    assert server.origin.removeprefix("http://") in str(caught.value)
    assert SECRET not in str(caught.value)


def test_body_that_is_cut_short_is_a_failure(serve: Serve) -> None:
    """An answer that ends before its announced length is a failure."""

    def treat(connection: socket.socket, _ended: threading.Event) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive.")

    server = serve(treat)

    with pytest.raises(TransportError, match="broke the connection off"):
        make_transport().request("GET", server.origin)


def test_transport_goes_on_after_a_failure(serve: Serve) -> None:
    """A connection that the deadline cut off is not used again."""
    late = threading.Event()

    def treat(connection: socket.socket, ended: threading.Event) -> None:
        if not late.is_set():
            late.set()
            dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"a")(connection, ended)
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")(connection, ended)

    server = serve(treat)
    transport = make_transport()
    with pytest.raises(TransportError):
        transport.request("GET", server.origin)

    assert transport.request("GET", server.origin).body == b"ok"


def test_one_late_call_ends_no_other(serve: Serve) -> None:
    """A deadline closes its own call's connection only, though other calls are in progress."""
    slow = serve(dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"a"))
    quick = serve(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
    transport = make_transport()

    def call_for_a_while() -> set[bytes]:
        until = time.monotonic() + 1.5
        seen = set()
        while time.monotonic() < until:
            seen.add(transport.request("GET", quick.origin).body)
        return seen

    with ThreadPoolExecutor(5) as pool:
        late = [pool.submit(transport.request, "GET", slow.origin) for _ in range(3)]
        good = [pool.submit(call_for_a_while) for _ in range(2)]

        assert all(isinstance(future.exception(), TransportError) for future in late)
        assert [future.result() for future in good] == [{b"ok"}, {b"ok"}]


def test_unreachable_server_is_reported() -> None:
    """A refused connection is reported with its host."""
    with pytest.raises(TransportError, match=r"127\.0\.0\.1:1 did not answer: it cannot be reached"):
        make_transport().request("GET", "http://127.0.0.1:1/")


def test_header_that_cannot_be_sent_is_not_shown(serve: Serve) -> None:
    """A token with a line break cannot be sent; neither the message nor its causes quote it."""
    server = serve(silent)

    with pytest.raises(TransportError) as caught:
        make_transport().request("GET", server.origin, headers={"Authorization": f"Bearer {SECRET}\n"})

    assert SECRET not in f"{caught.value}{caught.value.__cause__!r}"
    assert caught.value.__suppress_context__


def test_environment_is_not_read(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxy variables change nothing."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    server = serve(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))

    assert make_transport().request("GET", server.origin).body == b"ok"


@pytest.mark.parametrize("content", [None, b"", b"rubbish"], ids=["absent", "empty", "rubbish"])
def test_unusable_ca_file_is_a_matter_of_configuration(tmp_path: Path, content: bytes | None) -> None:
    """An unusable `ca_file` is reported with its key."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigurationError) as caught:
        PooledTransport(ca_file=path)

    assert str(path) in caught.value.problem
    assert "google.ca_file" in caught.value.remedy
