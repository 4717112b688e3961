"""What a daemon and a caller of `once` make of each other, both in one process, over a real socket."""

import json
import os
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread

import pytest

from refresher.app.control import Control
from refresher.app.control_socket import open_control
from refresher.app.request import RefusedRequestError, Request, ask_daemon, parse_request, render_outcomes
from refresher.engine.events import Event as Reported
from refresher.engine.outcome import Result
from refresher.engine.plan import MintedArtifact, Plan, Target
from refresher.engine.reporter import Reporter
from refresher.errors import ConfigurationError, NotReadyError, PublishError, SupplyError
from refresher.publishing.walk import InsecureDirectoryError
from tests.fakes import FakeChain, FakeClock, FakeSupplier
from tests.program import until
from tests.unit.engine.conftest import clock, supplier, target_of

__all__ = ["clock", "supplier", "target_of"]

MakeTarget = Callable[..., Target]
ACCESS = MintedArtifact(name="access_token")


class Site:
    """A daemon that takes requests in a root, with a plan that a test sets."""

    def __init__(self, root: Path, clock: FakeClock, supplier: FakeSupplier) -> None:
        self.root = root
        self.configuration = root / "refresher.yaml"
        self.clock = clock
        self.supplier = supplier
        self.chain = FakeChain(clock)
        self.plan: Plan | None = None
        self.next: Plan | None = None
        self.followed = 0
        self.events: list[Reported] = []
        self.reporter = Reporter(self.events.append)
        root.mkdir()
        (root / ".lock").touch(mode=0o600)

    @property
    def socket(self) -> Path:
        """Where the daemon takes requests."""
        return self.root / ".control" / "socket"

    def build_plan(self, *targets: Target) -> Plan:
        """Return a plan of these targets."""
        named = {target.name: target for target in targets}
        return Plan(
            root=self.root,
            targets=named,
            suppliers={"worker": self.supplier},
            threads={"worker": 4},
            chain=lambda: self.chain,
        )

    def follow(self) -> None:
        """Bring the next plan into force."""
        self.followed += 1
        self.plan = self.next or self.plan

    @contextmanager
    def running(self, *targets: Target, seconds: float = 60.0) -> Iterator[None]:
        """Take requests for the length of a `with` block."""
        self.plan = self.build_plan(*targets)
        with Control(self.configuration, lambda: self.plan, self.follow, self.clock, self.reporter, seconds=seconds):
            until(self.socket.is_socket, what="the socket")
            yield

    def ask(
        self, *names: str, force: bool = False, configuration: str = ""
    ) -> dict[tuple[str, str], tuple[Result, str]]:
        """Ask as `once` does; return result and problem by target and artifact."""
        request = Request(configuration or os.path.realpath(self.configuration), names, force)
        answer = ask_daemon(self.root, request)
        assert answer is not None
        return {key: (each.result, "" if each.error is None else each.error.problem) for key, each in answer.items()}

    def send(self, text: bytes) -> bytes:
        """Send anything; return everything that is answered."""
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(20)
            peer.connect(str(self.socket))
            peer.sendall(text)
            return b"".join(iter(lambda: peer.recv(65536), b""))


@pytest.fixture
def site(tmp_path: Path, clock: FakeClock, supplier: FakeSupplier) -> Site:
    """Return a daemon whose root is that of the targets."""
    return Site(tmp_path / "root", clock, supplier)


def test_daemon_does_the_pass_and_reports_each_job(site: Site, target_of: MakeTarget, clock: FakeClock) -> None:
    """Each target and artifact has its result, and the log shows who asked for what."""
    with site.running(target_of("alice", minted=(ACCESS,)), target_of("bob")):
        first = site.ask("alice", "bob")
        kept = site.ask("alice")
        clock.pass_(timedelta(seconds=1))
        forced = site.ask("bob", force=True)

    published = (Result.PUBLISHED, "")
    assert first == {("alice", ""): published, ("alice", "access_token"): published, ("bob", ""): published}
    assert {result for result, _ in kept.values()} == {Result.KEPT}
    assert forced == {("bob", ""): published}
    requests = [event for event in site.events if event.name == "once.requested"]
    assert len(requests) == 3
    assert requests[-1].fields == {"uid": os.geteuid(), "pid": os.getpid(), "targets": 1, "force": True}


def test_log_shows_what_a_pass_did(site: Site, target_of: MakeTarget) -> None:
    """What is published and what fails on request is logged as in the daemon's own work."""
    with site.running(target_of("alice", minted=(ACCESS,)), target_of("bob")):
        site.ask("alice")
        site.supplier.failure = SupplyError("the issuer is down", "start it")
        site.ask("bob")
        site.reporter.flush()

    known = [(event.name, event.fields.get("target")) for event in site.events if event.name != "once.requested"]
    assert known == [("token.published", "alice"), ("artifact.published", "alice"), ("token.supply_failed", "bob")]


def test_failures_arrive_with_remedy_and_exit_status(site: Site, target_of: MakeTarget) -> None:
    """What fails for the daemon fails for the caller, with the same texts and the same exit status."""
    site.supplier.failure = SupplyError("the issuer is down", "start it")
    with site.running(target_of("alice")):
        answer = ask_daemon(site.root, Request(os.path.realpath(site.configuration), ("alice", "carol")))

    assert answer is not None
    failed, unknown = answer["alice", ""].error, answer["carol", ""].error
    assert isinstance(failed, SupplyError)
    assert (failed.problem, failed.remedy) == ("the issuer is down", "start it")
    assert isinstance(unknown, ConfigurationError)
    assert 'no target "carol"' in unknown.problem


def test_changes_of_the_configuration_are_followed_first(site: Site, target_of: MakeTarget) -> None:
    """A target that was added a moment ago is refreshed, since the daemon looks before it begins."""
    with site.running(target_of("alice")):
        site.next = site.build_plan(target_of("alice"), target_of("bob"))

        assert site.ask("bob") == {("bob", ""): (Result.PUBLISHED, "")}


def test_another_configuration_is_refused(site: Site, target_of: MakeTarget) -> None:
    """The error shows both files, and how the daemon's own is named."""
    with site.running(target_of("alice")), pytest.raises(RefusedRequestError) as caught:
        site.ask("alice", configuration="/etc/other.yaml")

    assert "not with /etc/other.yaml" in caught.value.problem
    assert caught.value.remedy == f"name that file: --config {site.configuration}"
    assert site.followed == 0


def test_pass_that_does_not_end_is_a_failure_in_time(site: Site, target_of: MakeTarget) -> None:
    """What hangs is reported as not ended, and what ended is reported as such."""
    gate = Event()
    with site.running(target_of("alice"), target_of("bob", identity="bob"), seconds=1.5):
        site.ask("bob")
        supply = site.supplier.supply

        def hang(*arguments: object) -> object:
            gate.wait()
            return supply(*arguments)  # type: ignore[arg-type]  # handed on

        site.supplier.supply = hang  # type: ignore[method-assign, assignment]  # of this test's own fake
        answer = site.ask("alice", "bob")
        gate.set()

    assert answer["bob", ""] == (Result.KEPT, "")
    assert "has not ended after" in answer["alice", ""][1]


def test_passes_that_hang_are_bounded(site: Site, target_of: MakeTarget) -> None:
    """While four passes hang, the fifth is refused at once; it is done once they have ended."""
    gate, supply = Event(), site.supplier.supply

    def hang(*arguments: object) -> object:
        gate.wait()
        return supply(*arguments)  # type: ignore[arg-type]  # handed on

    site.supplier.supply = hang  # type: ignore[method-assign, assignment]  # of this test's own fake
    with site.running(target_of("alice")):
        callers = [Thread(target=site.ask, args=("alice",)) for _ in range(4)]
        for caller in callers:
            caller.start()
        until(lambda: len(site.events) == 4, what="four passes")

        with pytest.raises(RefusedRequestError, match="is doing 4 passes"):
            site.ask("alice")
        gate.set()
        for caller in callers:
            caller.join()

        until(lambda: is_taken(site), what="a pass")


def is_taken(site: Site) -> bool:
    """Return whether the daemon has a place for another pass."""
    try:
        return bool(site.ask("alice"))
    except RefusedRequestError:
        return False


@pytest.mark.parametrize(
    "text",
    [
        b"\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"[]\n",
        b"null\n",
        b"[" * 60_000 + b"\n",
        b'{"configuration": "/a", "targets": [1], "force": false}\n',
        b'{"configuration": "/a", "targets": ["alice"], "force": 1}\n',
        b'{"configuration": "/a", "targets": "alice", "force": true}\n',
        b'{"configuration": "/a", "targets": [], "force": true, "more": 1}\n',
        b"\xff\n",
    ],
)
def test_what_is_not_a_request_is_turned_away(site: Site, target_of: MakeTarget, text: bytes) -> None:
    """The connection is closed without an answer, and the next request is served."""
    with site.running(target_of("alice")):
        assert site.send(text) == b""
        assert site.ask("alice") == {("alice", ""): (Result.PUBLISHED, "")}

    with pytest.raises(ValueError, match="not a request"):
        parse_request(text)


def test_caller_that_sends_nothing_or_never_reads_delays_nobody(site: Site, target_of: MakeTarget) -> None:
    """A silent peer is dropped after a second; one that goes away in the middle of a pass is forgotten."""
    with site.running(target_of("alice")):
        silent, gone = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        silent.connect(str(site.socket))
        gone.connect(str(site.socket))
        gone.sendall(Request(os.path.realpath(site.configuration), ("alice",), force=True).render())
        gone.close()

        assert site.ask("alice")["alice", ""][0] in (Result.KEPT, Result.PUBLISHED)
        silent.close()


def test_request_that_is_too_long_is_turned_away(site: Site, target_of: MakeTarget) -> None:
    """Nothing is read beyond a megabyte."""
    with site.running(target_of("alice")):
        with pytest.raises(ConnectionError):
            site.send(b"x" * (4 << 20))
        assert site.ask("alice") == {("alice", ""): (Result.PUBLISHED, "")}


def test_directory_is_the_daemons_alone_and_is_removed(site: Site) -> None:
    """Directory and socket have modes 0700 and 0600, whatever they had, and are gone at the end."""
    site.socket.parent.mkdir(mode=0o755)

    with open_control(site.root) as (_, is_in_place):
        modes = [stat.S_IMODE(path.lstat().st_mode) for path in (site.socket.parent, site.socket)]
        assert is_in_place()

    assert modes == [0o700, 0o600]
    assert not site.socket.parent.exists()
    assert not is_in_place()


def test_stale_socket_is_replaced_and_another_file_is_not(site: Site) -> None:
    """What a killed daemon left makes room; a file of that name is an error that leaves it as it is."""
    site.socket.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(site.socket))
    with open_control(site.root):
        assert site.socket.is_socket()
    site.socket.parent.mkdir(mode=0o700)
    site.socket.write_text("mine")

    with pytest.raises(InsecureDirectoryError, match="is not a socket"), open_control(site.root):
        pass

    assert site.socket.read_text() == "mine"


def test_directory_that_is_a_link_is_refused(site: Site, tmp_path: Path) -> None:
    """The daemon does not listen where another user's link leads."""
    site.socket.parent.symlink_to(tmp_path)

    with pytest.raises(PublishError, match="can't be listened on"), open_control(site.root):
        pass


def test_fault_is_reported_once_and_heals(site: Site, target_of: MakeTarget) -> None:
    """What keeps the daemon from listening is one event; without it the daemon listens."""
    site.socket.parent.mkdir(mode=0o700)
    site.socket.write_text("mine")
    site.plan = site.build_plan(target_of("alice"))
    with Control(site.configuration, lambda: site.plan, site.follow, site.clock, site.reporter):
        until(lambda: site.events, what="a fault")
        site.socket.unlink()
        until(site.socket.is_socket, what="the socket")

    assert [event.name for event in site.events] == ["daemon.fault"]


def test_socket_follows_its_root(site: Site, target_of: MakeTarget, tmp_path: Path) -> None:
    """When the root is replaced, or the plan has another one, requests are taken there."""
    with site.running(target_of("alice")):
        site.root.rename(tmp_path / "former")
        site.root.mkdir()
        (site.root / ".lock").touch(mode=0o600)
        until(site.socket.is_socket, what="the socket in the new root")

        assert site.ask("alice") == {("alice", ""): (Result.PUBLISHED, "")}


def close_first(listener: socket.socket) -> None:
    """Close the first connection that comes."""
    listener.accept()[0].close()


def answer_first(listener: socket.socket) -> None:
    """Answer the first connection that comes, if any does, as a daemon that had nothing to do."""
    with suppress(OSError):
        peer, _ = listener.accept()
        with peer:
            peer.recv(1000)
            peer.sendall(b"\n" + render_outcomes({}))


@pytest.mark.parametrize("what", ["nothing", "no lock", "open", "stale", "silent", "closing"])
def test_daemon_that_does_not_answer_counts_as_none(site: Site, what: str) -> None:
    """Without a daemon, with a directory that others can enter, or with one that closes, the caller goes on alone."""
    if what == "no lock":
        (site.root / ".lock").unlink()
    if what == "nothing":
        assert ask_daemon(site.root, Request("/a", ())) is None
        return
    site.socket.parent.mkdir(mode=0o755 if what == "open" else 0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(site.socket))
        if what == "stale":
            listener.close()
        else:
            listener.listen(1)
        if what == "closing":
            Thread(target=close_first, args=(listener,)).start()
        if what in ("no lock", "open"):  # another user could have put it there
            listener.settimeout(1)
            Thread(target=answer_first, args=(listener,)).start()

        assert ask_daemon(site.root, Request("/a", ()), seconds=0.2) is None


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"\n", "ended before the refresh did"),
        (b"\n{", "ended before the refresh did"),
        (b'\n{"outcomes": [1]}', "ended before the refresh did"),
        (b'\n{"outcomes": [{"target": "a", "artifact": "", "result": "odd"}]}', "ended before the refresh did"),
        (b"\n[]", "ended before the refresh did"),
        (None, "has not answered for"),
    ],
)
def test_daemon_that_does_not_end_its_answer_is_an_error(site: Site, answer: bytes | None, problem: str) -> None:
    """Once a daemon has begun, a caller waits for an answer in time and for no other text."""
    site.socket.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(site.socket))
        listener.listen(1)
        released = Event()

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(b"\n" if answer is None else answer)
                if answer is None:
                    released.wait()

        serving = Thread(target=serve)
        serving.start()
        with pytest.raises(NotReadyError, match=problem):
            ask_daemon(site.root, Request("/a", ("a",)), silent_seconds=0.3)
        released.set()
        serving.join()


def test_request_survives_the_way() -> None:
    """What is rendered is what is parsed."""
    request = Request("/etc/refresher/refresher.yaml", ("alice", "bob"), force=True)

    assert parse_request(request.render()) == request
    assert json.loads(request.render()) == {
        "configuration": "/etc/refresher/refresher.yaml",
        "targets": ["alice", "bob"],
        "force": True,
    }


def test_pass_of_another_time_keeps_the_token(site: Site, target_of: MakeTarget, clock: FakeClock) -> None:
    """What is due is published by a request without force."""
    with site.running(target_of("alice")):
        site.ask("alice")
        clock.pass_(timedelta(minutes=40))

        assert site.ask("alice") == {("alice", ""): (Result.PUBLISHED, "")}
