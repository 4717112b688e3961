"""`refresher inspect` on what the product itself wrote."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.program import Worker


@pytest.fixture
def published(worker: Worker) -> Worker:
    """Give a worker with a published target."""
    worker.configure("alice", "bob")
    worker.once()
    return worker


def test_own_files_are_explained_without_a_complaint(published: Worker) -> None:
    """Token, ADC document and JWKS of the product's own are what they should be; the token's signature is verified."""
    place = published.directory("alice")
    (published.place / "jwks.json").write_text(
        published.run("keys", "jwks", "--directory", str(published.place / "keys")).stdout
    )

    token = published.command("inspect", str(place / "token")).stdout
    with_keys = published.run("inspect", str(place / "token"), "--keys", str(published.place / "jwks.json")).stdout
    document = published.run("inspect", str(place / "credentials.json")).stdout
    jwks = published.run("inspect", str(published.place / "jwks.json")).stdout

    assert "verified with key" in token
    assert "verified with key" in with_keys
    assert "acts as             alice@" in document
    assert jwks.startswith("JWKS of 1")
    assert "!" not in token + with_keys + document + jwks
    assert published.token("alice").rpartition(".")[2] not in token


def test_foreign_token_is_told(published: Worker) -> None:
    """A token that no target would have is told why; rubbish is refused with what to do."""
    foreign = published.place / "foreign.yaml"
    document = json.loads(json.dumps(published.document("carol")))
    foreign.write_text(json.dumps(document))
    foreign.chmod(0o600)

    found = published.run("inspect", str(published.directory("alice") / "token"), "--config", str(foreign)).stdout

    assert "it is no token of target carol: sub is 'user-alice', not 'user-carol'" in found
    (published.place / "rubbish").write_bytes(b"\xff\xfe")
    assert "is not text" in published.run("inspect", str(published.place / "rubbish"), status=2).stderr
    assert "cannot be read" in published.run("inspect", str(published.place / "absent"), status=2).stderr
