from __future__ import annotations

import socket
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from refresher.app.suppliers import DeferredSupplier
from refresher.config.loading import load
from refresher.errors import SupplyError
from refresher.tokens import peek
from tests.contract.conftest import KINDS, REMOTE, SECRETS, built
from tests.tokens import AUDIENCE, make_jwt

if TYPE_CHECKING:
    from collections.abc import Callable

    from refresher.suppliers.interface import SupplierContext
    from tests.contract.conftest import Case

    MakeCase = Callable[..., Case]


def failure_of(case: Case) -> SupplyError:
    """Give the failure of a supply, having seen that it has problem and remedy and shows no secret anywhere."""
    with pytest.raises(SupplyError) as caught:
        case.supply()
    error = caught.value
    shown = "".join(traceback.format_exception(error)) + repr(error) + str(error)
    assert error.problem
    assert error.remedy
    assert not any(secret in shown for secret in SECRETS)
    return error


def test_token_is_what_was_asked_for(case: Case) -> None:
    """A token lives now, for the audience asked for, and for the subject where the supplier may choose it."""
    token = case.supply()

    assert token.issued_at <= case.now + timedelta(seconds=2)
    assert token.expires_at > case.now + timedelta(minutes=5)
    assert token.issued_at.utcoffset() == token.expires_at.utcoffset() == timedelta(0)
    assert (token.unverified_claims is not None) is case.is_jwt
    if token.unverified_claims is not None:
        assert token.unverified_claims.audience == (AUDIENCE,)
        assert token.unverified_claims.subject == case.subject_of("user-1") or not case.chooses_subject


def test_what_is_told_is_what_the_token_says(case: Case) -> None:
    """Life and claims told beside a JWT are those that a reader finds in it."""
    token = case.supply()

    if case.is_jwt:
        read = peek(token.value)
        assert (token.issued_at, token.expires_at) == (read.issued_at, read.expires_at)
        assert token.unverified_claims == read.unverified_claims


def test_no_text_shows_the_token(case: Case) -> None:
    """Neither the token's repr nor the supplier's holds the secret."""
    token = case.supply()

    for text in (repr(token), str(token), repr(case.supplier), str(vars(case.supplier))):
        assert token.value not in text
        assert not any(secret in text for secret in SECRETS)


def test_subjects_get_tokens_of_their_own(case: Case) -> None:
    """Two identities never get the same token from a supplier that may choose the subject."""
    one, two = case.supply("user-1"), case.supply("user-2")

    if case.chooses_subject:
        assert one.value != two.value
        assert one.unverified_claims != two.unverified_claims


def test_eight_threads_are_served_at_once(case: Case) -> None:
    """Eight threads each get their own subject's token, from one supplier that nobody used before."""
    subjects = [f"user-{number}" for number in range(40)]

    with ThreadPoolExecutor(8) as pool:
        tokens = list(pool.map(case.supply, subjects))

    found = [token.unverified_claims.subject if token.unverified_claims else None for token in tokens]
    if case.chooses_subject:
        assert found == [case.subject_of(subject) for subject in subjects]
    else:
        assert len(set(found)) == 1


@pytest.mark.parametrize("kind", REMOTE)
@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        (400, False),
        (401, False),
        (403, False),
        (404, False),
        (408, True),
        (429, True),
        (500, True),
    ],
)
def test_refusals_are_classified(case_of: MakeCase, kind: str, status: int, retryable: bool) -> None:  # noqa: FBT001 - a table's column
    """What may pass by itself is transient, everything else is for somebody to mend."""
    case = case_of(kind)
    case.google.fail(status, b'{"error": {"message": "No: ya29.source, eyJhbGciOi.eyJzdWIi.c2VjcmV0"}}')

    assert failure_of(case).retryable is retryable


@pytest.mark.parametrize("kind", REMOTE)
@pytest.mark.parametrize(
    "body",
    [b"", b"rubbish", b"[]", b"{}", b"\xff\xfe", b"[" * 50_000],
    ids=["empty", "text", "list", "{}", "bin", "deep"],
)
def test_rubbish_is_a_failure(case_of: MakeCase, kind: str, body: bytes) -> None:
    """An answer that holds no token is a failure of supply, never a crash."""
    case = case_of(kind)
    case.google.fail(200, body)

    assert failure_of(case).retryable


@pytest.mark.parametrize("kind", REMOTE)
def test_unreachable_server_may_come_back(case_of: MakeCase, kind: str) -> None:
    """A refused connection is a failure that may pass."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    case = case_of(kind, origin=f"http://127.0.0.1:{port}")

    assert failure_of(case).retryable


@pytest.mark.parametrize("kind", REMOTE)
def test_supplier_recovers(case_of: MakeCase, kind: str) -> None:
    """After a failure the same supplier serves again."""
    case = case_of(kind)
    case.google.fail(503)
    failure_of(case)

    case.google.status = None

    assert case.supply().expires_at > case.now


LOCAL = {
    "self_issued": KINDS["self_issued"],
    "file": KINDS["file"],
    "google_id_token-credentials": "{kind: google_id_token, via: generate_id_token, credentials: absent.json}",
    "google_access_token-credentials": (
        "{kind: google_access_token, accept_unsupported: true, credentials: absent.json}"
    ),
}


@pytest.mark.parametrize("kind", LOCAL)
def test_absent_files_are_a_failure_of_supply(case_of: MakeCase, kind: str) -> None:
    """Without its files a supplier is configured all the same, and says what it lacks when it is asked."""
    case = case_of(kind, supplier=LOCAL[kind], prepare=False)

    assert str(case.directory) in failure_of(case).problem


@pytest.mark.parametrize("kind", LOCAL)
def test_ruined_files_are_a_failure_of_supply(case_of: MakeCase, kind: str) -> None:
    """Files that hold something else are told and not quoted."""
    case = case_of(kind, supplier=LOCAL[kind])
    secret = b'{"type": "authorized_user", "refresh_token": "1//refresh-token", "client_secret": "shh-client"'
    for path in (case.directory / "absent.json", case.directory / "source-token", *case.directory.glob("keys/*.pem")):
        path.unlink(missing_ok=True)
        path.write_bytes(secret)
        path.chmod(0o400)

    failure_of(case)


def test_key_made_later_is_found(case_of: MakeCase) -> None:
    """A supplier that could not be built is built when what it lacked is there."""
    case = case_of("self_issued", prepare=False)
    failure_of(case)

    later = case_of("self_issued")

    assert later.directory == case.directory
    assert case.supply().expires_at > case.now


def test_unusable_trust_is_a_failure_of_supply(case_of: MakeCase) -> None:
    """A `ca_file` that is none fails the supply with the key to mend, not the process."""
    case = case_of("google_id_token-metadata")
    path = case.directory / "refresher.yaml"
    path.write_text(path.read_text().replace("emulator: true", "emulator: true, ca_file: absent.pem"))

    case.supplier = built(load(path))

    assert "google.ca_file" in failure_of(case).remedy


def test_bug_in_a_supplier_is_a_failure_of_supply(case_of: MakeCase) -> None:
    """An unforeseen exception is told by its kind alone: its text may quote a token."""

    class Broken:
        def supply(self, context: SupplierContext, now: object) -> None:
            raise ZeroDivisionError(make_jwt())

    case = case_of("self_issued")
    case.supplier = DeferredSupplier(Broken)  # type: ignore[arg-type]  # broken on purpose

    assert "ZeroDivisionError" in failure_of(case).problem
