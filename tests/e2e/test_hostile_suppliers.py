"""The daemon with suppliers that hang: every kind of them at the same time, and a good target that stays fresh."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from refresher.suppliers.interface import KINDS
from tests.line_server import LineServer, closing_at_once, dripping, silent
from tests.program import ISSUER, Worker, account_of, secret_in, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.line_server import Treat
    from tests.program import Log

KEY_VERSION = "projects/my-project/locations/global/keyRings/workers/cryptoKeys/signer/cryptoKeyVersions/1"
SERVERS: dict[str, Treat] = {
    "silent": silent,
    "drips": dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b" "),
    "closes": closing_at_once,
}
QUIET = {"file"}
"""Kinds that call no server and no program."""

PROGRAMS = {
    "sleeps": "sleep 600",
    "forks": "sleep 600 & sleep 600 & wait",
    "floods": "yes rubbish",
    "prints-rubbish": "head -c 20000 /dev/urandom",
}


@pytest.fixture(params=list(SERVERS.values()), ids=list(SERVERS))
def server(request: pytest.FixtureRequest) -> Iterator[LineServer]:
    """Return each bad server in turn."""
    made = LineServer(request.param)
    yield made
    made.close()


@pytest.fixture
def worker(server: LineServer, tmp_path: Path) -> Iterator[Worker]:
    """Return a worker whose Google endpoints are all the bad server."""
    origins = dict.fromkeys(("sts", "iam_credentials", "cloud_kms", "metadata"), server.origin)
    made = Worker(place=tmp_path, lifetime="20s", google={"emulator": True, "endpoints": origins})
    made.make_keys()
    yield made
    assert secret_in(made.everything_printed()) is None


def suppliers_of(worker: Worker, server: LineServer) -> dict[str, dict[str, Any]]:
    """Return a supplier of every kind that calls a server or program, each with the bad server or program only."""
    for name in ("secret", "own-token", "user.json"):
        (worker.place / name).write_text("shh")
        (worker.place / name).chmod(0o400)
    (worker.place / "user.json").chmod(0o600)
    user = {"type": "authorized_user", "client_id": "i", "client_secret": "s", "refresh_token": "1//r"}
    (worker.place / "user.json").write_text(json.dumps(user | {"token_uri": f"{server.origin}/token"}))
    client = {"kind": "client_credentials", "issuer": ISSUER, "client_id": "worker", "secret_file": "secret"}
    programs = {
        name: {"kind": "command", "argv": ["/bin/sh", "-c", script], "timeout": "2s"}
        for name, script in PROGRAMS.items()
    }
    return programs | {
        "metadata": {"kind": "google_id_token"},
        "generated": {"kind": "google_id_token", "via": "generate_id_token", "credentials": "user.json"},
        "opaque": {"kind": "google_access_token", "accept_unsupported": True},
        "signed": {"kind": "sign_jwt", "issuer": ISSUER, "service_account": account_of("signer")},
        "kms": {"kind": "self_issued", "issuer": ISSUER, "signer": {"kms": KEY_VERSION}},
        "client": client | {"token_url": f"{server.origin}/token"},
        "cluster": {"kind": "kubernetes", "api_server": server.origin, "token_file": "own-token"},
    }


def are_reported(log: Log, names: set[str]) -> bool:
    """Return whether all have failed in the log: alone, or as one of many with the same remedy."""
    events = log.events("token.supply_failed")
    together = max((event["targets"] for event in events if "targets" in event), default=0)
    return len(names - {event.get("target") for event in events}) <= together


def test_good_target_stays_fresh_beside_them(worker: Worker, server: LineServer) -> None:
    """Each bad supplier fails within its time limit and is reported, and the good target always has enough lifetime."""
    bad = suppliers_of(worker, server)
    assert {supplier["kind"] for supplier in bad.values()} == set(KINDS) - QUIET
    document = worker.document("good")
    document["identities"]["good"]["supplier"] = "worker"
    document["suppliers"] |= bad
    for name in bad:
        subject = "system:serviceaccount:users:alice" if name == "cluster" else f"user-{name}"
        document["identities"][name] = {"service_account": account_of(name), "supplier": name, "subject": subject}
    document["identities"]["generated"]["source_service_account"] = account_of("source")
    document["targets"] |= {name: {} for name in bad}
    worker.write(document)

    with worker.daemon() as log:
        until(lambda: are_reported(log, set(bad)), what="each bad supplier is reported")
        published = len(log.events("token.published", target="good"))
        until(lambda: len(log.events("token.published", target="good")) > published, what="good is refreshed")
        state = worker.status()["good"]["state"]

    assert state in ("fresh", "due")
    assert not log.events("token.overdue", target="good")
    assert not log.events("token.expired", target="good")
    assert not [name for name in bad if (worker.directory(name) / "token").exists()]
