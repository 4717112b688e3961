"""Tokens that their files' owner, or a supplier, invented: every terminal and parser can read the messages."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.program import Worker
from tests.tokens import jwt_of

if TYPE_CHECKING:
    from pathlib import Path

POOL = "https://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/workers"
AUDIENCE = f"{POOL}/providers/refresher"
ODD = {"surrogate": "\ud800", "escapes": "\x1b[2J\x1b[31mready\nbob fresh", "long": "A" * 5_000}


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    """Return a worker whose tokens of alice and bob are published."""
    made = Worker(place=tmp_path)
    made.make_keys()
    made.configure("alice", "bob")
    made.once()
    return made


def claiming(odd: str) -> str:
    """Return a token that lives for an hour and has unusual values in every claim that is shown."""
    now = int(time.time())
    return jwt_of({"iss": odd, "sub": odd, "aud": [odd, AUDIENCE], odd: odd, "iat": now, "exp": now + 3600}, kid=odd)


def is_plain(text: str) -> bool:
    """Return whether a text is short and has no effect on a terminal."""
    return all(line.isprintable() for line in text.splitlines()) and "\r" not in text and len(text) < 40_000


@pytest.mark.parametrize("odd", ODD.values(), ids=list(ODD))
def test_odd_claims_hide_nobody(worker: Worker, odd: str) -> None:
    """For any claims in alice's token, each command describes it in plain text, and bob as usual."""
    token = worker.directory("alice") / "token"
    token.chmod(0o600)
    token.write_text(claiming(odd))

    status = worker.command("status")
    report = worker.command("status", "--json")
    waited = worker.command("wait", "--timeout", "0s", status=6)
    worker.command("wait", "bob", "--timeout", "0s")
    explained = worker.command("inspect", str(token), status=5)

    by_name: dict[str, Any] = {target["name"]: target for target in json.loads(report.stdout)["targets"]}
    assert (by_name["alice"]["state"], by_name["bob"]["state"]) == ("foreign", "fresh")
    by_name["alice"]["subject"].encode()
    assert "the token of target alice is foreign: iss is" in status.stdout
    for done in (status, report, waited, explained):
        assert is_plain(done.stdout + done.stderr)


@pytest.mark.parametrize("odd", ODD.values(), ids=list(ODD))
def test_odd_supplies_are_told_in_plain_words(worker: Worker, odd: str) -> None:
    """The claims of a supplier's token reach neither terminal nor log unescaped, whether it is refused or published."""
    (worker.place / "supplied").write_text(claiming(odd))
    document = worker.document("alice", "bob")
    document["suppliers"]["odd"] = {"kind": "command", "argv": ["/bin/cat", str(worker.place / "supplied")]}
    document["identities"]["alice"] |= {"supplier": "odd"}
    document["identities"]["bob"] |= {"supplier": "worker"}
    worker.write(document)

    refused = worker.once("--force", status=3)
    del document["identities"]["alice"]["subject"]
    worker.write(document)
    with worker.daemon() as log:
        published = log.wait_for("token.published", target="alice")

    assert "the supplied token is not published: sub is" in refused.stderr
    assert "1 target published" in refused.stderr
    assert is_plain(refused.stderr)
    assert is_plain(published["subject"] + published["issuer"])
