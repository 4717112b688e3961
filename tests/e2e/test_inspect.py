"""`refresher inspect` on what the product itself wrote."""

from __future__ import annotations

import json
import ssl
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from refresher.emulator.certificates import make_certificates
from tests.program import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def published(worker: Worker) -> Worker:
    """Return a worker with a published target."""
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


def test_foreign_token_is_reported(published: Worker) -> None:
    """A token of no target is reported with the reason; rubbish is refused with a remedy."""
    foreign = published.place / "foreign.yaml"
    document = json.loads(json.dumps(published.document("carol")))
    foreign.write_text(json.dumps(document))
    foreign.chmod(0o600)

    found = published.run("inspect", str(published.directory("alice") / "token"), "--config", str(foreign)).stdout

    assert "it is not a token of target carol: sub is 'user-alice', not 'user-carol'" in found
    (published.place / "rubbish").write_bytes(b"\xff\xfe")
    assert "is not text" in published.run("inspect", str(published.place / "rubbish"), status=2).stderr
    (published.place / "rubbish").write_bytes(b" \n")
    assert "it is empty" in published.run("inspect", str(published.place / "rubbish"), status=2).stderr
    variables = str(published.directory("alice") / "env")
    assert "neither a token" in published.run("inspect", variables, status=2).stderr
    assert "cannot be read" in published.run("inspect", str(published.place / "absent"), status=2).stderr


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[str]:
    """Return an issuer over TLS that serves the files below `served`, with a certificate of its own."""
    certificates = make_certificates(tmp_path)
    (tmp_path / "served" / ".well-known").mkdir(parents=True)

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - the library's signature
            super().__init__(*arguments, directory=str(tmp_path / "served"), **options)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - the library's signature
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate_file, certificates.key_file)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_keys_are_discovered_if_asked_to(tmp_path: Path, issuer: str) -> None:
    """With --discover the issuer's published keys verify a token; without it, or without keys, that is reported."""
    worker = Worker(place=tmp_path, google={"emulator": True, "ca_file": "ca.pem"})
    jwks = worker.make_keys()
    document = worker.document("alice")
    document["suppliers"]["worker"]["issuer"] = issuer
    worker.write(document)
    worker.once()
    token = str(worker.directory("alice") / "token")
    own = worker.command("inspect", token, "--discover").stdout
    # from here on no key of the configuration's own may help
    (tmp_path / "keys").rename(tmp_path / "gone")

    unasked = worker.command("inspect", token).stdout
    absent = worker.command("inspect", token, "--discover").stdout
    (tmp_path / "served" / "keys").write_text(json.dumps(jwks))
    (tmp_path / "served" / ".well-known" / "openid-configuration").write_text(
        json.dumps({"issuer": issuer, "jwks_uri": f"{issuer}/keys"})
    )
    found = worker.command("inspect", token, "--discover").stdout
    untrusted = worker.run("inspect", token, "--discover").stdout

    assert "verified with key" in own
    assert "not verified: no keys available" in unasked
    assert f"not verified: the discovery document of {issuer} was refused with HTTP 404" in absent
    assert f"verified with key {jwks['keys'][0]['kid']}" in found
    assert f"not verified: the discovery document of {issuer} failed: 127.0.0.1" in untrusted
    assert "certificate is not trusted" in untrusted
