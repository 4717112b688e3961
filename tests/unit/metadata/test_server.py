import json
import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from refresher.clock import SystemClock
from refresher.errors import RefresherError
from refresher.metadata.connection import Limits
from refresher.metadata.endpoint import Endpoint
from refresher.metadata.plan import Facts, IdToken, Obtained
from refresher.metadata.server import MetadataServer
from refresher.tokens import AccessToken

TOKEN = "/computeMetadata/v1/instance/service-accounts/default/token"
IDENTITY = "/computeMetadata/v1/instance/service-accounts/default/identity"
EMAIL = "/computeMetadata/v1/instance/service-accounts/default/email"


def compose(path: str, *lines: str, method: str = "GET") -> bytes:
    """Return the bytes of a request as clients send it."""
    head = [f"{method} {path} HTTP/1.1", "Host: 169.254.169.254", "Metadata-Flavor: Google", *lines]
    return "".join(f"{line}\r\n" for line in [*head, ""]).encode()


@dataclass
class Orders:
    """Obtains ID tokens as a test decides: at once, or later."""

    asked: list[tuple[str, Callable[[Obtained], None]]] = field(default_factory=list)
    obtained: Obtained | None = None

    def __call__(self, audience: str, done: Callable[[Obtained], None]) -> None:
        self.asked.append((audience, done))
        if self.obtained is not None:
            done(self.obtained)


class Client:
    """One connection, and what was received on it."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=5)
        self._received = b""

    def send(self, content: bytes) -> None:
        """Send bytes as they are."""
        self.socket.sendall(content)

    def receive(self) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of the next response."""
        while b"\r\n\r\n" not in self._received:
            self._received += self._read()
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        size = int(headers["content-length"])
        while len(self._received) < size:
            self._received += self._read()
        body, self._received = self._received[:size], self._received[size:]
        return int(first.split()[1]), headers, body

    def ask(self, content: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send a request and return the response."""
        self.send(content)
        return self.receive()

    def is_closed(self) -> bool:
        """Return whether the server closed the connection, after it was read to its end."""
        try:
            return self.socket.recv(65536) == b""
        except ConnectionResetError:
            return True

    def _read(self) -> bytes:
        content = self.socket.recv(65536)
        assert content, "closed"
        return content


class Served:
    """Endpoints on the loopback, and clients of them."""

    def __init__(self, server: MetadataServer, stack: ExitStack) -> None:
        self._server = server
        self._stack = stack
        self.orders = Orders()

    def add(self, name: str, *, limits: Limits | None = None) -> tuple[Endpoint, tuple[str, int]]:
        """Serve one more endpoint, and return its address."""
        facts = Facts(name=name, email=f"{name}@my-project.iam.gserviceaccount.com", scopes=("scope",))
        endpoint = Endpoint(facts, clock=SystemClock(), order=self.orders, limits=limits)
        listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._server.serve(endpoint, [listener])
        return endpoint, listener.getsockname()

    def withdraw(self, endpoint: Endpoint) -> None:
        """End an endpoint."""
        self._server.withdraw(endpoint)

    def connect(self, address: tuple[str, int]) -> Client:
        """Return a client that is closed at the end."""
        client = Client(address)
        self._stack.callback(client.socket.close)
        return client


@pytest.fixture
def served() -> Iterator[Served]:
    """A server without endpoints; a bug in it fails the test."""
    with open_server() as found:
        yield found


@contextmanager
def open_server() -> Iterator[Served]:
    """A server that collects bugs."""
    bugs: list[RefresherError] = []
    with ExitStack() as stack, MetadataServer(bugs.append) as server:
        yield Served(server, stack)
    assert not bugs


def make_token(value: str, life: timedelta = timedelta(hours=1)) -> AccessToken:
    """Return an access token that lives from now on."""
    return AccessToken(value=value, expires_at=datetime.now(UTC) + life)


def test_token_of_the_endpoint_is_served_on_one_connection_again_and_again(served: Served) -> None:
    """Connections are kept, and each response has the headers by which clients know a metadata server."""
    endpoint, address = served.add("alice")
    endpoint.serve_token(make_token("ya29.alice"))
    client = served.connect(address)

    found = [client.ask(compose(TOKEN)) for _ in range(3)]

    assert [json.loads(body)["access_token"] for _, _, body in found] == ["ya29.alice"] * 3
    headers = found[0][1]
    assert headers["metadata-flavor"] == "Google"
    assert headers["server"] == "Metadata Server for VM"
    assert headers["cache-control"] == "no-store"
    assert headers["connection"] == "keep-alive"


def test_another_token_is_served_from_the_next_request_on(served: Served) -> None:
    """A snapshot is replaced under a connection that is kept."""
    endpoint, address = served.add("alice")
    client = served.connect(address)
    endpoint.serve_token(make_token("ya29.first"))
    first = client.ask(compose(TOKEN))

    endpoint.serve_token(make_token("ya29.second"))

    assert b"ya29.first" in first[2]
    assert b"ya29.second" in client.ask(compose(TOKEN))[2]


def test_each_endpoint_serves_its_own_token(served: Served) -> None:
    """Which listener accepted decides, whatever the request names."""
    endpoints = {name: served.add(name) for name in ("alice", "bob")}
    for name, (endpoint, _) in endpoints.items():
        endpoint.serve_token(make_token(f"ya29.{name}"))
    clients = {name: served.connect(address) for name, (_, address) in endpoints.items()}

    found = [(name, client.ask(compose(TOKEN))[2]) for _ in range(50) for name, client in clients.items()]

    assert all(f"ya29.{name}".encode() in body for name, body in found)
    path = TOKEN.replace("default", "bob@my-project.iam.gserviceaccount.com")
    assert clients["alice"].ask(compose(path))[0] == 404


def test_request_is_held_until_the_token_is_there(served: Served) -> None:
    """Clients that do not try again get the first token too."""
    endpoint, address = served.add("alice")
    client = served.connect(address)
    client.send(compose(TOKEN))
    other = served.connect(address)
    assert other.ask(compose(EMAIL))[0] == 200, "what needs no token is answered meanwhile"

    endpoint.serve_token(make_token("ya29.alice"))

    status, _, body = client.receive()
    assert (status, json.loads(body)["access_token"]) == (200, "ya29.alice")


def test_request_is_503_with_the_problem_when_no_token_comes(served: Served) -> None:
    """What passes is 503, and the connection is kept for the next attempt."""
    endpoint, address = served.add("alice", limits=Limits(patience=0.05))
    endpoint.note_problem("IAM Credentials does not answer")
    client = served.connect(address)

    status, headers, body = client.ask(compose(TOKEN))

    assert (status, headers["metadata-flavor"]) == (503, "Google")
    assert body.endswith(b"not available yet: IAM Credentials does not answer\n")
    endpoint.serve_token(make_token("ya29.alice"))
    assert client.ask(compose(TOKEN))[0] == 200


def test_expired_token_is_not_served(served: Served) -> None:
    """A token at its end is 503, never an `expires_in` below 1."""
    endpoint, address = served.add("alice", limits=Limits(patience=0.05))
    endpoint.serve_token(make_token("ya29.alice", timedelta(seconds=0.5)))

    assert served.connect(address).ask(compose(TOKEN))[0] == 503


def test_token_is_served_while_another_can_not_be_minted(served: Served) -> None:
    """A failed attempt changes nothing for clients until the token expires."""
    endpoint, address = served.add("alice")
    endpoint.serve_token(make_token("ya29.alice"))

    endpoint.note_problem("IAM Credentials does not answer")

    assert served.connect(address).ask(compose(TOKEN))[0] == 200


def test_pipelined_requests_are_answered_in_order(served: Served) -> None:
    """One that is held holds those after it on the same connection."""
    endpoint, address = served.add("alice")
    client = served.connect(address)
    client.send(compose(EMAIL) + compose(TOKEN) + compose("/", method="HEAD") + compose(EMAIL))
    assert client.receive()[2] == b"alice@my-project.iam.gserviceaccount.com"

    endpoint.serve_token(make_token("ya29.alice"))

    assert b"ya29.alice" in client.receive()[2]


def test_head_has_no_body(served: Served) -> None:
    """HEAD is answered like GET, without what follows the head."""
    _, address = served.add("alice")
    client = served.connect(address)

    client.send(compose(EMAIL, "Connection: close", method="HEAD"))

    content = b"".join(iter(lambda: client.socket.recv(65536), b""))
    assert content.startswith(b"HTTP/1.1 200 OK\r\n")
    assert content.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (compose(EMAIL, "Connection: close"), 200),
        (b"GET / HTTP/1.0\r\nHost: 169.254.169.254\r\n\r\n", 200),
        (compose(EMAIL, "Content-Length: 5") + b"hello", 413),
        (compose(EMAIL, "Transfer-Encoding: chunked") + b"0\r\n\r\n", 413),
        (compose(EMAIL, "Content-Length: 5", "Transfer-Encoding: chunked") + b"hello", 413),
        (compose(EMAIL, "Content-Length: 0", "Content-Length: 5") + b"hello", 400),
        (compose(EMAIL, "X: " + "x" * 9000), 431),
        (compose("/" + "x" * 9000), 431),
        (compose(EMAIL, *(f"X{number}: 1" for number in range(100))), 431),
        (b"GET / HTTP/1.1\r\nHost : 169.254.169.254\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: 169.254.169.254\r\n folded: 1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: 169.254.169.254\r\nX: a\x00b\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (b"GET /\r\n\r\n", 403),
        (b"CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n", 405),
        (compose(EMAIL, "Upgrade: h2c", "Connection: Upgrade"), 200),
    ],
)
def test_connection_ends_after_what_is_unusual(served: Served, content: bytes, status: int) -> None:
    """What has a body or too large a head, or is not a request, is refused, and nothing after it is read."""
    endpoint, address = served.add("alice")
    endpoint.serve_token(make_token("ya29.alice"))
    client = served.connect(address)

    client.send(content + compose(TOKEN) * (status not in (200, 405)))

    assert client.receive()[0] == status
    assert client.is_closed()


def test_further_connections_wait_while_a_target_has_its_share(served: Served) -> None:
    """A container that opens many connections delays itself alone, and the next is served when one ends."""
    _, address = served.add("alice", limits=Limits(connections=2))
    _, others = served.add("bob")
    held = [served.connect(address) for _ in range(2)]
    for client in held:
        client.send(b"GET / HT")
    waiting = served.connect(address)
    waiting.send(compose(EMAIL))

    assert served.connect(others).ask(compose(EMAIL))[0] == 200
    held[0].socket.close()

    assert waiting.receive()[0] == 200


def test_idle_connection_makes_room_for_another(served: Served) -> None:
    """A kept connection on which everything was answered is closed first."""
    _, address = served.add("alice", limits=Limits(connections=2))
    kept = [served.connect(address) for _ in range(2)]
    for client in kept:
        client.ask(compose(EMAIL))

    assert served.connect(address).ask(compose(EMAIL))[0] == 200
    assert kept[0].is_closed()


def test_flood_is_served_slowly_and_delays_no_one_else(served: Served) -> None:
    """Requests beyond the share of a target wait for the next period."""
    _, address = served.add("alice", limits=Limits(turns=5, period=0.2))
    _, others = served.add("bob")
    client = served.connect(address)
    client.send(compose(EMAIL) * 12)

    assert served.connect(others).ask(compose(EMAIL))[0] == 200
    assert [client.receive()[0] for _ in range(12)] == [200] * 12


@pytest.mark.slow
@pytest.mark.parametrize(("begin", "drip"), [(b"", b""), (b"GET / HTT", b""), (compose(EMAIL, "X: ")[:-4], b"x")])
def test_connection_that_drips_is_closed(served: Served, begin: bytes, drip: bytes) -> None:
    """The head of a request has its time as a whole, however often a byte of it arrives."""
    _, address = served.add("alice", limits=Limits(head=0.4))
    client = served.connect(address)
    began = time.monotonic()
    client.send(begin)
    client.socket.settimeout(0.05)

    with suppress(ConnectionError):
        while time.monotonic() - began < 10:
            with suppress(TimeoutError):
                client.send(drip)
                assert client.socket.recv(100) == b""
                break

    assert 0.3 < time.monotonic() - began < 3


@pytest.mark.slow
def test_idle_connection_is_closed(served: Served) -> None:
    """A kept connection ends when nothing is asked for long."""
    _, address = served.add("alice", limits=Limits(idle=0.2))
    client = served.connect(address)
    client.ask(compose(EMAIL))

    assert client.is_closed()


@pytest.mark.slow
def test_response_that_is_not_read_ends_the_connection(served: Served) -> None:
    """A peer that asks and never reads holds nothing but a few responses."""
    _, address = served.add("alice", limits=Limits(head=0.4, turns=1_000_000))
    client = served.connect(address)
    client.socket.settimeout(5)

    def ask_for_ever() -> None:
        while True:
            client.send(compose("/computeMetadata/v1/?recursive=true") * 20)

    with pytest.raises((ConnectionError, TimeoutError)):
        ask_for_ever()


@pytest.mark.slow
def test_ten_thousand_connections_delay_no_one_else(served: Served) -> None:
    """Connections that one container opens wait in the kernel, and another's are answered at once."""
    _, address = served.add("alice")
    _, others = served.add("bob")
    held: list[socket.socket] = []
    try:
        for _ in range(10_000):
            each = socket.socket()
            each.settimeout(0)
            held.append(each)
            each.connect_ex(address)
            if len(held) % 200 == 0:
                while held:
                    held.pop().close()
                began = time.monotonic()
                assert served.connect(others).ask(compose(EMAIL))[0] == 200
                assert time.monotonic() - began < 1
    finally:
        for each in held:
            each.close()


@pytest.mark.parametrize("seed", range(20))
def test_damaged_requests_are_refused(served: Served, seed: int) -> None:
    """Whatever bytes a request has, the server goes on, and no token is in the answer to a damaged one."""
    chance = random.Random(seed)  # noqa: S311 - to damage requests
    endpoint, address = served.add("alice")
    endpoint.serve_token(make_token("ya29.alice"))
    for _ in range(30):
        content = bytearray(compose(TOKEN.replace("token", "email"), "X: y", "Content-Length: 0"))
        for _ in range(chance.randint(1, 8)):
            place = chance.randrange(len(content))
            content[place : place + chance.randint(0, 3)] = chance.randbytes(chance.randint(0, 3))
        client = Client(address)
        client.send(bytes(content))
        client.socket.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda client=client: client.socket.recv(65536), b""))  # type: ignore[misc]
        client.socket.close()
        assert b"ya29" not in answer

    assert served.connect(address).ask(compose(TOKEN))[0] == 200


def test_nothing_is_answered_after_the_endpoint_was_withdrawn(served: Served) -> None:
    """Kept connections end, what was held is not answered, and no connection is accepted."""
    endpoint, address = served.add("alice")
    kept, holding = served.connect(address), served.connect(address)
    kept.ask(compose(EMAIL))
    holding.send(compose(TOKEN))

    served.withdraw(endpoint)

    assert kept.is_closed()
    assert holding.is_closed()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=5)


def test_id_token_is_obtained_once_for_all_that_ask(served: Served) -> None:
    """Requests for one audience share a call, and later ones are answered from memory."""
    _, address = served.add("alice")
    clients = [served.connect(address) for _ in range(3)]
    for client in clients:
        client.send(compose(f"{IDENTITY}?audience=api"))
    asked = wait_for(served.orders.asked)
    now = datetime.now(UTC)

    asked[0][1](IdToken(value="a.b.c", issued_at=now, expires_at=now + timedelta(hours=1)))

    assert [client.receive()[2] for client in clients] == [b"a.b.c"] * 3
    assert clients[0].ask(compose(f"{IDENTITY}?audience=api&format=full"))[2] == b"a.b.c"
    assert [audience for audience, _ in served.orders.asked] == ["api"]


def test_id_token_that_can_not_be_obtained_is_503_with_the_problem(served: Served) -> None:
    """A role that is missing may be granted at any time, so it is not 4xx."""
    _, address = served.add("alice")
    served.orders.obtained = "generateIdToken was refused"

    status, _, body = served.connect(address).ask(compose(f"{IDENTITY}?audience=api"))

    assert (status, body) == (503, b"the ID token is not available yet: generateIdToken was refused\n")


def wait_for(asked: list[tuple[str, Callable[[Obtained], None]]]) -> list[tuple[str, Callable[[Obtained], None]]]:
    """Return the orders as soon as there is one."""
    deadline = datetime.now(UTC) + timedelta(seconds=5)
    while not asked:
        assert datetime.now(UTC) < deadline
    return asked
