from __future__ import annotations

import json
import os
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from refresher.errors import SupplyError
from refresher.google.call import Response
from refresher.google.google_auth import CredentialsFile
from refresher.google.source_credentials import SourceCredential, open_credentials
from tests.failures import is_permanent, is_retryable
from tests.fakes import FakeTransport, Request
from tests.tokens import NOW

if TYPE_CHECKING:
    from collections.abc import Callable

METADATA = "http://metadata.example"
REFRESH_TOKEN = "1//refresh-token"
USER = {"type": "authorized_user", "client_id": "id", "client_secret": "shh", "refresh_token": REFRESH_TOKEN}


def metadata(request: Request) -> Response:
    """Answer as a metadata server with a token for an hour."""
    body = b'{"access_token": "ya29.machine", "expires_in": 3600}'
    return Response(status=200, headers={"metadata-flavor": "Google"}, body=body)


def oauth(request: Request) -> Response:
    """Answer as a token endpoint that has a token for an hour."""
    body = b'{"access_token": "ya29.file", "expires_in": 3600, "token_type": "Bearer"}'
    return Response(status=200, headers={"content-type": "application/json"}, body=body)


def refusing(status: int) -> Response:
    """Return a token endpoint's refusal that quotes what it was sent."""
    document = {"error": "invalid_grant", "error_description": f"Bad: {REFRESH_TOKEN}"}
    return Response(status=status, headers={}, body=json.dumps(document).encode())


def open_file(path: Path, transport: FakeTransport) -> SourceCredential:
    """Return the credentials of a file."""
    return open_credentials(path, transport, metadata=METADATA)


def user_file(tmp_path: Path, document: object = USER) -> Path:
    """Return a credentials file."""
    path = tmp_path / "credentials.json"
    path.write_text(json.dumps(document))
    return path


def test_token_is_kept_until_five_minutes_before_its_end() -> None:
    """One call is enough until less than five minutes are left."""
    transport = FakeTransport(metadata)
    source = open_credentials(None, transport, metadata=METADATA)

    for minutes in (0, 30, 55):
        source.access_token(NOW + timedelta(minutes=minutes))
    before = len(transport.requests)
    source.access_token(NOW + timedelta(minutes=55, seconds=1))

    assert (before, len(transport.requests)) == (1, 2)


def test_callers_that_come_together_cause_one_call() -> None:
    """Eight threads that need a token at once make one request."""
    barrier = threading.Barrier(8)
    transport = FakeTransport(metadata)
    source = open_credentials(None, transport, metadata=METADATA)

    def ask() -> str:
        barrier.wait(10)
        return source.access_token(NOW).value

    with ThreadPoolExecutor(8) as pool:
        tokens = {future.result() for future in [pool.submit(ask) for _ in range(8)]}

    assert tokens == {"ya29.machine"}
    assert len(transport.requests) == 1


def test_held_token_serves_while_no_server_answers() -> None:
    """In its last minutes a token still serves if no other can be obtained, but not in its last seconds."""
    transport = FakeTransport(metadata)
    source = open_credentials(None, transport, metadata=METADATA)
    held = source.access_token(NOW)
    transport.answer = lambda _: None

    late = source.access_token(NOW + timedelta(minutes=59))
    with pytest.raises(SupplyError, check=is_retryable):
        source.access_token(NOW + timedelta(minutes=59, seconds=45))

    assert late == held


def test_refusal_is_reported_while_a_token_is_held() -> None:
    """A refusal that stays until something is fixed is reported at once, even if the held token would still serve."""
    transport = FakeTransport(metadata)
    source = open_credentials(None, transport, metadata=METADATA)
    source.access_token(NOW)
    transport.answer = lambda _: refusing(403)

    with pytest.raises(SupplyError, check=is_permanent):
        source.access_token(NOW + timedelta(minutes=58))


def test_clock_that_went_back_brings_another_token() -> None:
    """A token that was fetched in the future is replaced, since its remaining life is unknown."""
    transport = FakeTransport(metadata)
    source = open_credentials(None, transport, metadata=METADATA)
    source.access_token(NOW)

    source.access_token(NOW - timedelta(hours=1))

    assert len(transport.requests) == 2


def test_caller_that_waited_for_the_fetch_is_served() -> None:
    """A caller that came shortly before another's fetch ended takes what was fetched."""
    transport = FakeTransport(metadata)
    source = open_credentials(None, transport, metadata=METADATA)
    source.access_token(NOW)

    source.access_token(NOW - timedelta(seconds=20))

    assert len(transport.requests) == 1


def test_nothing_is_read_before_it_is_needed(tmp_path: Path) -> None:
    """Building a source reads neither the file nor the network."""
    transport = FakeTransport(oauth)

    open_file(tmp_path / "absent", transport)

    assert transport.requests == []


def test_credentials_file_is_refreshed_through_our_transport(tmp_path: Path) -> None:
    """google-auth's credentials are refreshed once, through our transport, and their token expires at an aware time."""
    transport = FakeTransport(oauth)
    source = open_file(user_file(tmp_path), transport)
    now = datetime.now(UTC)

    token = source.access_token(now)
    source.access_token(now)

    assert token.value == "ya29.file"
    assert timedelta(minutes=59) < token.expires_at - now < timedelta(minutes=61)
    assert [request.url for request in transport.requests] == ["https://oauth2.googleapis.com/token"]


def test_service_account_key_is_loaded_without_a_warning(tmp_path: Path) -> None:
    """A key file works; google-auth's warning about documents from outside is not passed on (warnings are errors)."""
    pem = rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    document = {
        "type": "service_account",
        "client_email": "sa@p.iam.gserviceaccount.com",
        "private_key": pem.decode(),
        "private_key_id": "k",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    source = open_file(user_file(tmp_path, document), FakeTransport(oauth))

    assert source.access_token(datetime.now(UTC)).value == "ya29.file"


def test_federated_file_calls_sts_alone(tmp_path: Path) -> None:
    """An external_account file makes the exchange and no look-up of a project, and starts no thread."""
    (tmp_path / "token").write_text("subject")
    document = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/a/providers/b",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "https://sts.googleapis.com/v1/token",
        "credential_source": {"file": str(tmp_path / "token")},
    }
    transport = FakeTransport(oauth)
    before = set(threading.enumerate())

    token = open_file(user_file(tmp_path, document), transport).access_token(datetime.now(UTC))

    assert token.value == "ya29.file"
    assert [request.url for request in transport.requests] == ["https://sts.googleapis.com/v1/token"]
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("", id="empty"),
        pytest.param("[]", id="list"),
        pytest.param("{}", id="no-type"),
        pytest.param('{"type": "unheard-of"}', id="unknown-type"),
        pytest.param('{"type": "authorized_user"}', id="no-members"),
        pytest.param('{"type": "external_account"}', id="external-account-without-members"),
        pytest.param('{"type": "external_account", "credential_source": 1}', id="external-account-of-rubbish"),
        pytest.param('{"type": "service_account", "private_key": "shh", "client_email": "x"}', id="no-key"),
        pytest.param(
            '{"type": "service_account", "private_key": "shh", "client_email": "x", "token_uri": "y"}', id="k"
        ),
    ],
)
def test_unusable_file_is_reported_and_not_shown(tmp_path: Path, content: str) -> None:
    """A file that google-auth cannot load is a failure of supply that quotes nothing of it."""
    path = tmp_path / "credentials.json"
    path.write_text(content)

    with pytest.raises(SupplyError) as caught:
        open_file(path, FakeTransport(oauth)).access_token(NOW)

    assert str(path) in caught.value.problem
    assert "shh" not in f"{caught.value}{caught.value.__cause__!r}"


def test_absent_file_is_reported(tmp_path: Path) -> None:
    """A file that is not there is named."""
    with pytest.raises(SupplyError, match="No such file"):
        open_file(tmp_path / "absent", FakeTransport(oauth)).access_token(NOW)


def test_mended_file_is_read_again(tmp_path: Path) -> None:
    """After a refusal the file is loaded again, so that an exchanged key needs no restart."""
    path = user_file(tmp_path)
    transport = FakeTransport(lambda _: refusing(400))
    source = open_file(path, transport)
    with pytest.raises(SupplyError):
        source.access_token(NOW)

    path.write_text(json.dumps({**USER, "refresh_token": "1//another"}))
    transport.answer = oauth
    source.access_token(NOW)

    assert b"another" in (transport.requests[-1].body or b"")


@pytest.mark.parametrize(
    ("response", "retryable"),
    [
        pytest.param(None, True, id="unreachable"),
        pytest.param(refusing(400), False, id="refused"),
        pytest.param(refusing(401), False, id="unauthorised"),
        pytest.param(Response(status=200, headers={}, body=b"{}"), False, id="no-token"),
        pytest.param(Response(status=200, headers={}, body=b"rubbish"), False, id="rubbish"),
        pytest.param(Response(status=200, headers={}, body=b"[1]"), False, id="list"),
        pytest.param(
            Response(status=200, headers={}, body=b'{"access_token": "ya29.q", "expires_in": "soon"}'),
            False,
            id="no-number",
        ),
    ],
)
def test_refusals_are_translated_without_secrets(tmp_path: Path, response: Response | None, retryable: bool) -> None:  # noqa: FBT001 - a table's column
    """Each failure of the token endpoint is reported, and neither request nor answer is quoted."""
    source = open_file(user_file(tmp_path), FakeTransport(lambda _: response))

    with pytest.raises(SupplyError) as caught:
        source.access_token(NOW)

    shown = f"{caught.value}{caught.value.__cause__!r}"
    assert caught.value.retryable is retryable
    assert not any(secret in shown for secret in (REFRESH_TOKEN, "shh", "ya29"))


def federated(tmp_path: Path, source: dict[str, object]) -> Path:
    """Return the file of a federated identity that reads its subject token from a source."""
    document = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "https://sts.googleapis.com/v1/token",
        "credential_source": source,
    }
    return user_file(tmp_path, document)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["fifo", "directory"])
def test_other_than_regular_credentials_file_is_reported_at_once(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """A FIFO in the place of the credentials, whose other end is never opened, is reported and not waited for."""
    path = tmp_path / "credentials.json"
    make(path)

    with pytest.raises(SupplyError, match=r"credentials\.json is not a regular file"):
        open_file(path, FakeTransport(oauth)).access_token(NOW)


@pytest.mark.parametrize("size", [0, 1024 * 1024])
def test_endless_credentials_are_not_read_to_their_end(tmp_path: Path, size: int) -> None:
    """A device, or a file larger than any credentials, is refused."""
    path = Path("/dev/zero")
    if size:
        path = tmp_path / "large.json"
        path.write_bytes(b" " * (size + 1))

    with pytest.raises(SupplyError, match=r"not a regular file|larger than"):
        open_file(path, FakeTransport(oauth)).access_token(NOW)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["fifo", "directory"])
@pytest.mark.parametrize("key", ["file", "certificate_config_location", "trust_chain_path"])
def test_other_than_regular_source_file_is_reported_at_once(
    tmp_path: Path, make: Callable[[Path], None], key: str
) -> None:
    """A source file of a federated identity that google-auth would wait for is reported, with both files' names."""
    source = tmp_path / "subject-token"
    make(source)
    config = {"certificate_config_location": str(tmp_path / "absent")}
    path = federated(tmp_path, {key: str(source)} if key == "file" else {"certificate": config | {key: str(source)}})
    transport = FakeTransport(oauth)

    with pytest.raises(SupplyError, match="not a regular file", check=is_retryable) as caught:
        open_file(path, transport).access_token(NOW)

    assert str(source) in caught.value.problem
    assert str(path) in caught.value.problem
    assert transport.requests == []


class LateProgram:
    """Credentials whose program google-auth ended."""

    def refresh(self, _request: object) -> None:
        """Fail as google-auth does."""
        raise subprocess.TimeoutExpired(["program"], 5.0, output=b"shh")


def test_program_that_takes_too_long_is_reported(tmp_path: Path) -> None:
    """An executable source that did not end in its time is a retryable failure, and nothing it printed is quoted."""
    file = CredentialsFile(path=tmp_path, credentials=LateProgram(), source_files=())  # type: ignore[arg-type]  # a fake

    with pytest.raises(SupplyError, match="did not end within 5 s", check=is_retryable) as caught:
        file.fetch_access_token(FakeTransport(oauth))

    assert "timeout_millis" in caught.value.remedy
    assert "shh" not in f"{caught.value}{caught.value.__cause__!r}"


def test_fifo_for_the_output_of_a_program_is_reported_at_once(tmp_path: Path) -> None:
    """The output file of an executable source, which google-auth reads first, may be absent but no FIFO."""
    kept = tmp_path / "kept"
    path = federated(tmp_path, {"executable": {"command": "/bin/false", "output_file": str(kept)}})
    source = open_file(path, FakeTransport(oauth))
    with pytest.raises(SupplyError, match="no request was sent"):
        source.access_token(NOW)

    os.mkfifo(kept)

    with pytest.raises(SupplyError, match="not a regular file", check=is_retryable):
        source.access_token(NOW)


def test_silent_token_server_is_named(tmp_path: Path) -> None:
    """Where no server answers, the failure shows the host and the reason."""
    with pytest.raises(SupplyError, match="host did not answer: it cannot be reached", check=is_retryable):
        open_file(user_file(tmp_path), FakeTransport(lambda _: None)).access_token(NOW)
