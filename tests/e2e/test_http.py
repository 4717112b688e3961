"""The real daemon answers HTTP on its socket, follows the configuration, and replaces nothing that is not its own."""

import os
import signal
import socket
from pathlib import Path

import pytest

from refresher.emulator.testing import Scenario
from tests.program import Worker, account_of, secret_in, until
from tests.status_socket import ask

PATHS = ("/", "/status.json", "/metrics", "/readyz", "/livez", "/readyz/alice", "/readyz/alice?exchange")


def socket_of(worker: Worker, name: str = "status") -> Path:
    """Return where a worker's daemon answers."""
    return worker.place / name / "http.sock"


def test_daemon_answers_until_it_ends(worker: Worker) -> None:
    """Probes, status and metrics answer from the first target on; the socket is gone after the end."""
    path = socket_of(worker)
    worker.configure("alice", "bob", listen=f"unix:{path}")

    with worker.daemon() as log:
        assert log.wait_for("daemon.listening")["address"] == f"unix:{path}"
        log.wait_for("daemon.ready")
        assert [ask(path, target).status for target in PATHS] == [200, 200, 200, 200, 200, 200, 503]
        (worker.directory("alice") / "token").unlink()
        until(lambda: ask(path, "/readyz/alice").status == 200, what="alice repaired")
        until(lambda: ask(path, "/status.json").read_json()["ready"], what="all targets looked at")
        report = ask(path, "/status.json").read_json()
        assert [(each["name"], each["state"]) for each in report["targets"]] == [("alice", "fresh"), ("bob", "fresh")]
        assert [secret_in(ask(path, target).body) for target in PATHS] == [None] * len(PATHS)
        assert log.end(signal.SIGTERM) == 0

    assert list(path.parent.iterdir()) == []


def test_directory_in_retirement_is_shown(worker: Worker) -> None:
    """The directory of a removed target is in `/status.json` while files are left, unless it is a target again."""
    path = socket_of(worker)
    worker.configure("alice", "bob", listen=f"unix:{path}")

    def list_retiring() -> list[str]:
        found: list[str] = ask(path, "/status.json").read_json()["retiring"]
        return found

    with worker.daemon() as log:
        log.wait_for("daemon.ready")
        assert list_retiring() == []
        worker.configure("alice", listen=f"unix:{path}")
        until(lambda: list_retiring() == ["bob"], what="the directory of bob")
        worker.configure("alice", "bob", listen=f"unix:{path}")
        until(lambda: list_retiring() == [], what="no directory")


def test_socket_of_a_killed_daemon_is_replaced(worker: Worker) -> None:
    """After a kill the socket is left, and the next daemon takes its place; a second one does not."""
    path = socket_of(worker)
    worker.configure("alice", listen=f"unix:{path}")
    with worker.daemon() as log:
        log.wait_for("daemon.listening")
        log.end(signal.SIGKILL)
    assert path.is_socket()

    with worker.daemon() as log:
        log.wait_for("daemon.listening")
        until(lambda: ask(path, "/livez").status == 200, what="a live daemon")
        other = Worker(place=worker.place / "other")
        other.place.mkdir()
        other.make_keys()
        other.configure("carol", listen=f"unix:{path}")
        with other.daemon() as refused:
            fault = refused.wait_for("daemon.fault")
            refused.wait_for("token.published", target="carol")
        assert "another process answers on" in fault["error"]
        assert [each["name"] for each in ask(path, "/status.json").read_json()["targets"]] == ["alice"]


def test_address_follows_the_configuration(worker: Worker) -> None:
    """A changed `listen` moves the server without a restart; `none` ends it."""
    first, second = socket_of(worker), socket_of(worker, "other")
    worker.configure("alice", listen=f"unix:{first}")

    with worker.daemon() as log:
        log.wait_for("daemon.listening", address=f"unix:{first}")
        worker.configure("alice", listen=f"unix:{second}")
        log.wait_for("daemon.listening", address=f"unix:{second}")
        assert not first.exists()
        assert ask(second, "/livez").status == 200
        worker.configure("alice", listen="none")
        until(lambda: not second.exists(), what="no socket")


def test_address_that_cannot_be_listened_on_stops_nothing(worker: Worker) -> None:
    """`check` warns about it, the daemon logs it once with a remedy, publishes, and listens once it is fixed."""
    path = socket_of(worker)
    path.parent.mkdir()
    path.write_text("something else")
    worker.configure("alice", listen=f"unix:{path}")

    assert f"warning: listen: {path} exists and is not a socket" in worker.command("check").stderr
    with worker.daemon() as log:
        fault = log.wait_for("daemon.fault")
        assert fault["error"] == f"listen: {path} exists and is not a socket"
        assert "move it elsewhere" in fault["remedy"]
        log.wait_for("token.published", target="alice")
        path.unlink()
        log.wait_for("daemon.listening")
        assert len(log.events("daemon.fault")) == 1


def test_status_shows_that_it_cannot_ask_what_google_answers(cloud: tuple[Worker, Scenario]) -> None:
    """A lost socket, a TCP address and no address are each named, with what to do; a daemon that answers is asked."""
    worker, _ = cloud
    path, unknown = socket_of(worker), "what Google answers is not known here"
    worker.configure("alice", listen=f"unix:{path}", canary="1m")
    with worker.daemon() as log:
        log.wait_for("daemon.listening")
        assert unknown not in worker.command("status").stderr
        log.process.send_signal(signal.SIGSTOP)
        stopped = worker.command("status")
        log.process.send_signal(signal.SIGCONT)
        assert f"{unknown}: the daemon is stopped" in stopped.stderr
        assert f"resume it: kill -CONT {log.process.pid}" in stopped.stdout
        path.parent.rename(path.parent.with_name("aside"))
        path.parent.write_text("")
        assert f"{unknown}: the daemon can't be asked at unix:{path}" in worker.command("status").stderr
        fault = log.wait_for("daemon.fault")
        assert fault["error"] == f"listen: unix:{path} was removed or replaced: nothing can be asked"
        path.parent.unlink()
        log.wait_for("daemon.listening", count=2)
        assert unknown not in worker.command("status").stderr
        worker.configure("alice", listen="127.0.0.1:0", canary="1m")
        assert "only a unix socket is asked" in worker.command("status").stderr
        worker.configure("alice", listen="none", canary="1m")
        assert f"{unknown}: `listen` is off" in worker.command("status").stderr
    assert unknown not in worker.command("status").stderr


def test_refusal_of_google_is_shown_with_its_remedy(cloud: tuple[Worker, Scenario]) -> None:
    """A binding that is missing shows on the page, in the status, in the metrics and to a probe that asks for it."""
    worker, google = cloud
    path = socket_of(worker)
    google.add_service_account(account_of("carol"))
    worker.configure("alice", "carol", listen=f"unix:{path}", canary="1m")

    with worker.daemon() as log:
        log.wait_for("exchange.refused", identity="carol")
        until(lambda: ask(path, "/readyz/alice?exchange").status == 200, what="alice accepted")

        def read_states() -> dict[str, str]:
            return {each["identity"]: each["state"] for each in ask(path, "/status.json").read_json()["exchanges"]}

        until(lambda: read_states() == {"alice": "accepted", "carol": "refused"}, what="both results")
        refused = ask(path, "/readyz/carol?exchange")
        assert (refused.status, ask(path, "/readyz/carol").status) == (503, 200)
        assert "roles/iam.workloadIdentityUser" in refused.body
        assert 'refresher_exchange_refused{identity="carol"} 1' in ask(path, "/metrics").body
        page = ask(path, "/").body
        assert "Google refuses identity carol" in page
        assert "roles/iam.workloadIdentityUser" in page
        assert "Google refuses identity alice" not in page


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_other_program_that_listens_there_is_named(worker: Worker, kind: str) -> None:
    """Where another program has the daemon's address, `status` and `check` show that, with what finds it."""
    path = socket_of(worker)
    path.parent.mkdir(mode=0o755)
    with socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET) as other:
        other.bind(str(path) if kind == "unix" else ("127.0.0.1", 0))
        other.listen()
        address = f"unix:{path}" if kind == "unix" else f"127.0.0.1:{other.getsockname()[1]}"
        worker.configure("alice", listen=address)
        with worker.daemon() as log:
            log.wait_for("token.published")
            fault = log.wait_for("daemon.fault")
            shown = {name: worker.command(name).stderr for name in ("status", "check")}
            events = log.events("config.warning")

    who = f"process {os.getpid()}" if kind == "unix" else "another process"
    place = address.removeprefix("unix:")
    assert all(f"listen: {who} answers on {place}, and the daemon can't" in text for text in shown.values())
    assert all("run this as root" not in text for text in shown.values())
    assert place in fault["error"]
    assert not [each for each in events if "listen" in each["error"]]
