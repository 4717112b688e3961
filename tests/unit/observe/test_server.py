import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from refresher.observe import connections
from refresher.observe.connections import MOST_CONNECTIONS, Connection, Crowd
from refresher.observe.server import Server
from refresher.observe.survey import Survey
from refresher.settings.values import Listen, TcpSocket, UnixSocket
from tests.program import until
from tests.status_socket import ask
from tests.unit.observe.conftest import Fleet


@contextmanager
def serving(fleet: Fleet, address: Listen, survey: Survey | None = None) -> Iterator[list[str]]:
    """Answer on an address for the length of a `with` block; yield the addresses that are listened on."""
    addresses: list[str] = []
    found = survey or fleet.survey
    with Server(fleet.board, found, fleet.clock, lambda: (address, None), fleet.bugs.append, addresses.append):
        until(lambda: addresses or fleet.bugs, what="an address")
        yield addresses


def exchange(path: Path, request: bytes) -> bytes:
    """Send a request and return everything that comes back."""
    parts = []
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(20)
        peer.connect(str(path))
        peer.sendall(request)
        while part := peer.recv(65536):
            parts.append(part)
    return b"".join(parts)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the server answers."""
    return tmp_path / "status" / "http.sock"


def test_head_is_answered_without_a_body(fleet: Fleet, path: Path) -> None:
    """HEAD has the head of GET and no body."""
    fleet.adopt("alice")
    with fleet.survey, serving(fleet, UnixSocket(path)):
        whole = exchange(path, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        head = exchange(path, b"HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n")

    assert whole == head + b"live\n"
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert head.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /livez HTTP/1.1\nHost: x\n\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /readyz HTTP/1.1\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody",
    ],
    ids=["line feeds", "a second request", "a body"],
)
def test_one_request_is_answered_and_the_rest_dropped(fleet: Fleet, path: Path, request_: bytes) -> None:
    """A connection has one answer, whole, whatever follows the request."""
    fleet.adopt("alice")
    with fleet.survey, serving(fleet, UnixSocket(path)):
        assert exchange(path, request_).count(b"HTTP/1.1 200 OK") == 1


def test_large_answer_arrives_whole(fleet: Fleet, path: Path) -> None:
    """An answer larger than the socket's buffer arrives whole, also at a client that pauses."""
    fleet.adopt(*(f"t{number}" for number in range(800)), publish=False)
    with fleet.survey, serving(fleet, UnixSocket(path)), socket.socket(socket.AF_UNIX) as peer:
        until(lambda: fleet.survey.as_of is not None, what="all verdicts")
        peer.connect(str(path))
        peer.sendall(b"GET /status.json HTTP/1.1\r\n\r\n")
        peer.recv(10)
        assert len(ask(path, "/status.json").read_json()["targets"]) == 800
        received = 10
        while part := peer.recv(65536):
            received += len(part)

    assert received > 400_000


@pytest.mark.slow
def test_file_system_that_hangs_delays_only_what_asks_about_files(fleet: Fleet, path: Path) -> None:
    """While no file can be looked at, the page and liveness answer at once, and a probe of a target is not ready."""
    fleet.adopt("alice")
    with serving(fleet, UnixSocket(path)):  # the survey does not run, as if it hung
        began = time.monotonic()
        answers = [ask(path, target) for target in ("/livez", "/", "/metrics", "/status.json")]
        late = ask(path, "/readyz/alice")

    assert [each.status for each in answers] == [200] * 4
    assert max(each.seconds for each in answers) < 2
    assert (late.status, late.body.splitlines()[1]) == (503, "the files could not be looked at in time")
    assert time.monotonic() - began < connections.ANSWER_SECONDS + 5


def test_clients_that_ask_for_the_same_share_an_answer(fleet: Fleet, path: Path) -> None:
    """Within a second the same document is written once, and each client has it."""
    fleet.adopt("alice")
    with fleet.survey, serving(fleet, UnixSocket(path)):
        first = ask(path, "/metrics")
        fleet.adopt("alice", "bob")
        second = ask(path, "/metrics")
        other = ask(path, "/?q=bob")

    assert first.body == second.body
    assert "bob" in other.body


def test_tcp_answers_addresses_alone(fleet: Fleet) -> None:
    """On TCP a request for another site's name is refused."""
    fleet.adopt("alice")
    with fleet.survey, serving(fleet, TcpSocket("127.0.0.1", 0)) as addresses:
        host, _, port = addresses[0].rpartition(":")
        seen = []
        for name in (f"{host}:{port}", f"localhost:{port}", "evil.example"):
            with socket.create_connection((host, int(port)), timeout=20) as peer:
                peer.sendall(f"GET /livez HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
                seen.append(peer.recv(100)[9:12])

    assert seen == [b"200", b"200", b"421"]


def test_bug_in_an_answer_ends_nothing(fleet: Fleet, path: Path) -> None:
    """A bug while answering is reported without its text, and the server answers again."""
    fleet.adopt("alice")
    plan, fleet.board.plan = fleet.board.plan, "no plan"  # type: ignore[assignment]  # what can't be
    with serving(fleet, UnixSocket(path)):
        assert [ask(path, "/").status for _ in range(2)] == [500, 500]
        fleet.board.plan = plan
        assert ask(path, "/?q=alice").status == 200

    assert [each.problem.partition(" at ")[0] for each in fleet.bugs] == [
        "an answer over HTTP: unexpected AttributeError"
    ]


@pytest.mark.parametrize("what", ["socket", "directory", "replaced"])
def test_socket_that_was_removed_is_reported_and_listened_on_again(fleet: Fleet, path: Path, what: str) -> None:
    """A socket that lost its place, with its directory or alone, answers again, and the fault names it."""
    fleet.adopt("alice")
    with fleet.survey, serving(fleet, UnixSocket(path)) as addresses:
        if what == "replaced":
            path.rename(path.with_name("aside"))
            with socket.socket(socket.AF_UNIX) as another:
                another.bind(str(path))
        elif what == "socket":
            path.unlink()
        else:
            path.parent.rename(path.parent.with_name("aside"))
        until(lambda: len(addresses) == 2, what="another listener")
        assert exchange(path, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").endswith(b"live\n")

    (fault,) = fleet.bugs
    assert fault.problem == f"listen: unix:{path} was removed or replaced: nothing can be asked"


def test_who_opens_many_connections_loses_his_own() -> None:
    """Beyond the limit the oldest connection of the process that has most is closed, never another's only one."""
    crowd, sockets = Crowd(), [socket.socketpair() for _ in range(MOST_CONNECTIONS + 3)]
    made = [Connection(pair[0], None) for pair in sockets]
    for connection in made:
        connection.caller = (1000, 1)
    made[0].caller = (1000, 2)
    made[1].caller = (0, 3)

    excess = []
    for connection in made:
        if (found := crowd.add(connection)) is not None:
            crowd.remove(found)
            excess.append(made.index(found))
    for pair in sockets:
        for end in pair:
            end.close()

    assert excess == [2, 3, 4]
    assert len(list(crowd)) == MOST_CONNECTIONS
