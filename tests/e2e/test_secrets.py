"""No command, endpoint, page or log shows a secret, whatever works and whatever fails."""

from __future__ import annotations

import base64
import os
import shutil
import socket
from typing import TYPE_CHECKING

import pytest

from refresher.app.request import Request
from refresher.cli.root import COMMANDS
from tests.program import account_of, secret_in, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from refresher.emulator.testing import Scenario
    from tests.program import Worker

TARGETS = ("alice", "carol", "dave")
"""Alice works; the supplier of carol holds no token; the account of dave is granted to no one."""

EXEMPT = {"token"}
"""Prints a token on standard output, and only there."""

APART = {"run", "demo", "emulator"}
"""They run on: the daemon's log is searched here, the output of demo and emulator where they are tested."""

PATHS = ("/", "/status.json", "/metrics", "/livez", "/readyz", "/absent", *(f"/readyz/{name}" for name in TARGETS))
QUERIES = ("", "?exchange", "?artifact=access_token", "?page=2&search=alice")


def invocations(worker: Worker, name: str) -> list[list[str]]:
    """Return ways to call a command, with what it needs; those that fail too."""
    config = ["--config", str(worker.configuration)]
    keys = ["--directory", str(worker.place / "keys")]
    directory = worker.directory("alice")
    known: dict[str, list[list[str]]] = {
        "once": [[*config, "--force"], config, [*config, "dave"]],
        "check": [config, [*config, "--json"]],
        "adc": [[*config, target] for target in TARGETS],
        "env": [[*config, "alice", "--format", form] for form in ("dotenv", "shell", "docker", "kubernetes", "json")],
        "status": [config, [*config, "--json"]],
        "wait": [
            [*config, "--timeout", "0s"],
            [*config, "--timeout", "0s", "--exchange"],
            ["--directory", str(directory), "--timeout", "0s"],
        ],
        "token": [[*config, target, "--kind", kind] for target in TARGETS for kind in ("subject", "access", "jwt")],
        "inspect": [
            *([str(each), *config] for each in (directory, worker.directory("carol"))),
            *([str(each), *config] for each in sorted(directory.rglob("*")) if each.is_file()),
            [str(worker.place / "garbage")],
            [str(next((worker.place / "keys").glob("*.pem")))],
        ],
        "discovery": [[*config, "worker"]],
        "keys": [[verb, *keys] for verb in ("list", "jwks", "rotate", "activate")],
        "schema": [[]],
        "doctor": [config, [*config, "--json"], [*config, "--offline"]],
        "targets": [["list", *config], ["list", *config, "--json"]],
    }
    return known[name]


def list_secrets(worker: Worker) -> Iterator[str]:
    """Return what the files hold now: tokens, assertions and keys, whole and in parts that a message may quote."""
    files = [path for path in worker.root.rglob("*") if path.is_file() and not path.name.startswith(".")]
    for path in files:
        if path.name in ("token", "access_token") or path.parent.name == "id_tokens":
            value = path.read_text()
            yield from (value[index : index + 24] for index in range(0, len(value) - 24, 24))
            yield base64.b64encode(value.encode()).decode()[:48]
    for path in (worker.place / "keys").glob("*.pem"):
        yield from (line for line in path.read_text().splitlines() if "-----" not in line and len(line) > 24)
    yield "hunter2-hunter2-hunter2"


def ask(path: Path, target: str) -> str:
    """Ask the daemon over its socket; return the whole answer."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: client.recv(65536), b"")).decode()


def ask_for_everything(worker: Worker) -> str:
    """Make the daemon replace every file; return the whole answer."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(worker.root / ".control" / "socket"))
        client.sendall(Request(os.path.realpath(worker.configuration), TARGETS, force=True).render())
        answer = b"".join(iter(lambda: client.recv(65536), b"")).decode()
    assert '"published"' in answer
    return answer


@pytest.mark.timeout(300)
def test_nothing_that_is_printed_or_served_holds_a_secret(cloud: tuple[Worker, Scenario]) -> None:
    """Every command, endpoint, page and log line of a machine where some things work and some fail is searched.

    The searched-for secrets are what every token file, artifact and key held at any time of the run, in parts, and the
    password of a proxy; and whatever looks like a token of Google's or ours, which covers what only memory held.
    """
    worker, google = cloud
    google.add_service_account(account_of("dave"))
    garbage = worker.place / "garbage"
    garbage.write_text("hunter2-hunter2-hunter2")
    garbage.chmod(0o600)
    socket_path = worker.place / "status" / "http.sock"
    document = worker.document(*TARGETS, canary="1m", listen=f"unix:{socket_path}")
    document["suppliers"]["broken"] = {"kind": "file", "path": str(garbage), "provider": "main"}
    document["suppliers"]["worker"]["provider"] = "main"
    for name in TARGETS:
        document["identities"][name]["supplier"] = "broken" if name == "carol" else "worker"
        document["targets"][name] = {
            "artifacts": {"access_token": True, "id_tokens": {"api": {"audience": "https://api.test"}}}
        }
    worker.write(document)
    secrets: set[str] = set()
    printed: list[tuple[str, str]] = []

    def search() -> None:
        secrets.update(list_secrets(worker))

    with worker.daemon("-v") as log:
        log.wait_for("artifact.published", target="alice", count=2)
        log.wait_for("exchange.refused", target="dave")
        log.wait_for("token.supply_failed", target="carol")
        search()
        for name in COMMANDS.keys() - APART:
            for arguments in invocations(worker, name):
                done = worker.run(name, *arguments, status=None)
                search()
                shown = done.stderr if name in EXEMPT else done.stdout + done.stderr
                printed.append((f"{name} {arguments}", shown))
                if name in EXEMPT:
                    secrets.update(part for part in done.stdout.split(".") if len(part) > 24)
        until(socket_path.is_socket, what="the daemon's socket")
        printed += [(path + query, ask(socket_path, path + query)) for path in PATHS for query in QUERIES]
        printed.append(("control", ask_for_everything(worker)))
        search()
        shutil.copy(worker.directory("alice") / "token", garbage)
        worker.write(document | {"suppliers": {"broken": {"kind": "file", "path": "garbage", "secret": "hunter2"}}})
        log.wait_for("config.rejected")
        printed += [(name, worker.command(name, status=None).stderr) for name in ("check", "status", "wait")]
        search()
    printed.append(("log", log.path.read_text()))

    assert len(secrets) > 50
    for where, text in printed:
        assert secret_in(text) is None, where
        assert not [each for each in secrets if each in text], where
    worker.outputs.clear()
