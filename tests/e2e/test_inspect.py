"""`refresher inspect` on what the product itself wrote."""

from __future__ import annotations

import json
import os
import re
import ssl
import time
from datetime import timedelta
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from refresher.emulator.certificates import make_certificates
from refresher.publishing.artifacts import ARTIFACTS
from tests.program import Worker, account_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from refresher.emulator.testing import Scenario
    from tests.conftest import Need


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

    token = str(published.directory("alice") / "token")
    found = published.run("inspect", token, "--config", str(foreign), status=5).stdout

    assert "it is not a token of target carol: sub is 'user-alice', not 'user-carol'" in found
    (published.place / "rubbish").write_bytes(b"\xff\xfe")
    assert "is not text" in published.run("inspect", str(published.place / "rubbish"), status=2).stderr
    (published.place / "rubbish").write_bytes(b" \n")
    assert "it is empty" in published.run("inspect", str(published.place / "rubbish"), status=2).stderr
    (published.place / "rubbish").write_text("two words")
    assert "neither a token" in published.run("inspect", str(published.place / "rubbish"), status=2).stderr
    assert "can't be read" in published.run("inspect", str(published.place / "absent"), status=2).stderr


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
    without = worker.run("inspect", token).stdout
    absent = worker.command("inspect", token, "--discover").stdout
    (tmp_path / "served" / "keys").write_text(json.dumps(jwks))
    (tmp_path / "served" / ".well-known" / "openid-configuration").write_text(
        json.dumps({"issuer": issuer, "jwks_uri": f"{issuer}/keys"})
    )
    found = worker.command("inspect", token, "--discover").stdout
    untrusted = worker.run("inspect", token, "--discover").stdout

    assert "verified with key" in own
    assert f"not verified: {tmp_path / 'keys'} does not exist" in unasked
    assert "not verified: no keys available" in without
    assert f"not verified: {tmp_path / 'keys'} does not exist" in absent
    assert f"; the discovery document of {issuer} was refused with HTTP 404" in absent
    assert f"verified with key {jwks['keys'][0]['kid']}" in found
    assert f"not verified: the discovery document of {issuer} failed: 127.0.0.1" in untrusted
    assert "certificate is not trusted" in untrusted


def sign_with(worker: Worker, **claims: object) -> str:
    """Return a token of alice's that the worker's own key signed, with some claims changed."""
    key = next((worker.place / "keys").glob("*.pem"))
    present = jwt.decode(worker.token("alice"), options={"verify_signature": False}) | claims
    header = jwt.get_unverified_header(worker.token("alice"))
    return jwt.encode(present, key.read_text(), algorithm="ES256", headers={"kid": header["kid"]})


def tamper(worker: Worker) -> str:
    """Return alice's token with another subject and the old signature."""
    header, _, signature = worker.token("alice").split(".")
    return f"{header}.{sign_with(worker, sub='user-bob').split('.')[1]}.{signature}"


HOUR_AGO = int(time.time()) - 3600
REFUSED = {
    "false signature": (tamper, "the signature is false"),
    "expired": (lambda worker: sign_with(worker, iat=HOUR_AGO - 60, exp=HOUR_AGO), "it expired 1 h"),
    "newline": (lambda worker: worker.token("alice") + "\n", "such as a final newline"),
    "byte order mark": (lambda worker: "\ufeff" + worker.token("alice"), "a byte order mark"),
    "quotes": (lambda worker: f'"{worker.token("alice")}"', "the token in quotes"),
    "Bearer": (lambda worker: f"Bearer {worker.token('alice')}", "the word Bearer before the token"),
    "JSON": (lambda worker: json.dumps({"id_token": worker.token("alice")}), "JSON, with a token in `id_token`"),
    "longer than a day": (lambda worker: sign_with(worker, exp=int(time.time()) + 90_000), "24 h is the most"),
}


@pytest.mark.parametrize(("write", "problem"), REFUSED.values(), ids=list(REFUSED))
def test_exit_status_shows_that_sts_would_refuse(
    published: Worker, write: Callable[[Worker], str], problem: str
) -> None:
    """What STS refuses is a problem, and the exit status is 5, so that a script can use it; REFRESHER_CONFIG counts."""
    path = published.place / "token"
    path.write_text(write(published))
    published.environment = {"REFRESHER_CONFIG": str(published.configuration)}

    done = published.run("inspect", str(path), status=5)

    assert "! STS refuses it" in done.stdout
    assert problem in done.stdout


def test_whole_directory_is_explained(cloud: tuple[Worker, Scenario]) -> None:
    """Every file of a credentials directory is explained; an access token's expiry comes from artifacts.json."""
    worker, google = cloud
    artifacts: dict[str, Any] = {row.name: True for row in ARTIFACTS if row.is_optional}
    artifacts["id_tokens"] = {"api": {"audience": "https://api"}}
    worker.configure("alice", targets={"alice": {"artifacts": artifacts}})
    worker.once()
    place = str(worker.directory("alice"))

    found = worker.command("inspect", place).stdout
    asked = worker.command("inspect", f"{place}/access_token", "--discover").stdout
    google.clock.advance(timedelta(hours=2))
    refused = worker.command("inspect", f"{place}/access_token", "--discover", status=5).stdout

    names = [row.name for row in ARTIFACTS[1:] if not row.is_folder] + ["id_tokens/api"]
    assert re.findall(r"^(\S+): ", found, re.MULTILINE) == names
    assert "bearer token of Google's APIs; it is not a subject token" in found
    assert re.search(r"^  expires +\S+Z \(in 59 min", found, re.MULTILINE)
    assert "GOOGLE_APPLICATION_CREDENTIALS" in found
    assert re.search(rf"email +{account_of('alice')}", asked)
    assert "! tokeninfo was refused with HTTP 400" in refused


def test_directory_that_holds_nothing_of_ours_is_refused(worker: Worker) -> None:
    """A directory without any of our files is not explained, and exits with 2."""
    assert "holds none of our files" in worker.run("inspect", str(worker.place), status=2).stderr


@pytest.mark.parametrize("kind", ["fifo", "device", "sparse"])
def test_file_that_never_ends_is_not_read(worker: Worker, kind: str) -> None:
    """A FIFO, an endless device and a file of 30 GB are refused at once, alone and in a directory."""
    path = worker.place / "odd" / "token"
    path.parent.mkdir()
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case _:
            with path.open("w") as file:
                file.truncate(30 * 2**30)

    alone = worker.run("inspect", str(path), status=2)
    keys = worker.run("inspect", "-", "--keys", str(path), status=2)
    around = worker.run("inspect", str(path.parent), status=5)

    assert "not a regular file" in alone.stderr or "larger than" in alone.stderr
    assert keys.stderr == alone.stderr
    assert str(path) in around.stdout


def test_root_verifies_with_the_keys_of_the_daemon(published: Worker, need: Need) -> None:
    """Root may look at the keys of the daemon's user, and prints what it may not sign with."""
    need.root()
    keys = published.place / "keys"
    for path in (keys, *keys.iterdir()):
        os.chown(path, 54_321, 54_321)

    done = published.command("inspect", str(published.directory("alice") / "token"))
    listed = published.run("keys", "list", "--directory", str(published.place / "keys"))
    refused = published.command("token", "alice", "--kind", "subject", status=None)

    assert "not verified" not in done.stdout
    assert "active" in listed.stdout
    assert published.public_keys()["keys"]
    assert refused.returncode != 0
    assert "run this as it: put `setpriv --reuid=54321 --clear-groups` before the command" in refused.stderr
