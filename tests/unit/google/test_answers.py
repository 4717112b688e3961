from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from refresher.catalogue import entries
from refresher.errors import SupplyError
from refresher.google.answers import clean, document_of, error_text_of, is_passing, refusal_of
from refresher.google.transport import Response
from tests.tokens import make_jwt

if TYPE_CHECKING:
    from refresher.catalogue.entry import Entry

OPAQUE = "AbCdEf0123456789" * 5


def answer(body: bytes, status: int = 400) -> Response:
    """Give an answer."""
    return Response(status=status, headers={}, body=body)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        pytest.param(b'{"error": {"code": 403, "message": "No.", "status": "X"}}', "No.", id="api"),
        pytest.param(b'{"error": "invalid_grant", "error_description": "Stale."}', "Stale.", id="oauth"),
        pytest.param(b'{"error": "invalid_grant"}', "invalid_grant", id="oauth-without-description"),
        pytest.param(b'{"error": {"message": 7}}', "HTTP 400", id="number"),
        pytest.param(b'{"error": null}', "HTTP 400", id="null"),
        pytest.param(b"[1]", "HTTP 400", id="list"),
        pytest.param(b"<html>", "HTTP 400", id="html"),
        pytest.param(b"\xff\xfe", "HTTP 400", id="binary"),
        pytest.param(b"[" * 100_000, "HTTP 400", id="deep"),
        pytest.param(b"", "HTTP 400", id="empty"),
    ],
)
def test_googles_words_are_found_in_both_shapes(body: bytes, text: str) -> None:
    """The sentence of an API's and of an OAuth error is given, and the status of anything else."""
    assert error_text_of(answer(body)) == text


@pytest.mark.parametrize(
    "secret",
    [make_jwt(), make_jwt()[:30], "ya29.c.short-one_x", "1//0refresh-token", OPAQUE],
    ids=["jwt", "jwt-cut-off", "access-token", "refresh-token", "opaque"],
)
def test_what_looks_like_a_secret_is_taken_out(secret: str) -> None:
    """A server that quotes a token does not get it into our messages."""
    assert clean(f"Bad token [{secret}] here") == "Bad token […] here"


def test_what_was_sent_is_taken_out() -> None:
    """A secret that looks like nothing is taken out if it is named."""
    body = json.dumps({"error": {"message": "Bad token plain-secret here"}}).encode()

    assert error_text_of(answer(body), "plain-secret") == "Bad token … here"


@pytest.mark.parametrize("entry", entries.ENTRIES, ids=lambda entry: entry.name)
def test_known_texts_stay_whole(entry: Entry) -> None:
    """Nothing by which an error is recognised looks like a secret, and each entry has cause, remedy and source."""
    assert clean(entry.text) == entry.text
    assert all((entry.cause, entry.remedy.format(service_account="x"), entry.source))


def test_long_texts_are_shortened_to_one_line() -> None:
    """A page of text becomes 500 characters of one line."""
    shortened = clean("many\nwords " * 200)

    assert len(shortened) <= 500
    assert "\n" not in shortened


def test_texts_cannot_move_the_cursor() -> None:
    """Control characters of a foreign text are told, not passed on."""
    assert clean("a\x1b[2J \ud800") == "a\\x1b[2J \\ud800"


def test_names_in_the_catalogue_are_unique() -> None:
    """An id means one failure."""
    names = [entry.name for entry in entries.ENTRIES]

    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("status", "text", "name"),
    [
        (400, "ID Token issued at 1 is stale to sign-in.", "E7"),
        (400, "ID Token issued at null is stale to sign-in.", "E8"),
        (403, "Permission 'iam.serviceAccounts.getOpenIdToken' denied on resource (or it may not exist).", "I1-openid"),
        (403, "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).", "I1"),
        (403, "Permission 'iam.serviceAccounts.implicitDelegation' denied on resource.", "I1-delegation"),
        (403, "The caller does not have permission", "I2"),
        (403, "IAM Service Account Credentials API has not been used in project 1 before", "I2-other"),
        (403, "Request is prohibited by organization's policy. vpcServiceControlsUniqueIdentifier: x", "E17"),
        (404, "Not found; Gaia id not found for email x", "I4"),
        (429, "throttled due to rate limit: sts", "E13"),
        (429, "Quota exceeded", "quota"),
        (500, "INTERNAL", "E15"),
        (418, "teapot", None),
    ],
)
def test_failures_are_recognised(status: int, text: str, name: str | None) -> None:
    """Each known text leads to its own entry, and the narrow ones come before the wide."""
    entry = entries.recognise(status, text)

    assert (entry.name if entry else None) == name


@pytest.mark.parametrize(
    ("status", "passes"),
    [(400, False), (401, False), (403, False), (404, False), (408, True), (429, True), (500, True), (503, True)],
)
def test_only_some_statuses_pass_by_themselves(status: int, passes: bool) -> None:  # noqa: FBT001 - a table's column
    """Time-outs, throttling and server errors are transient, every other refusal is permanent."""
    refusal = refusal_of(answer(b"", status), "a token", service_account="sa@p")

    assert is_passing(status) is passes
    assert isinstance(refusal, SupplyError)
    assert refusal.retryable is passes


def test_only_objects_are_documents() -> None:
    """JSON that is no object is no document."""
    assert document_of(answer(b'{"a": 1}')) == {"a": 1}
    assert document_of(answer(b"1")) is None
