from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from refresher.errors import ExchangeError, RefresherError, SupplyError
from refresher.google.call import Call, Response, TransportError, read_error_text
from refresher.tokens import AccessToken
from tests.failures import is_retryable
from tests.fakes import FakeTransport
from tests.tokens import NOW, make_jwt

if TYPE_CHECKING:
    from collections.abc import Callable


def answer(body: bytes, status: int = 200) -> Response:
    """Return an answer."""
    return Response(status=status, headers={}, body=body)


def prepare(**fields: Any) -> Call:  # noqa: ANN401 - fields of a call
    """Return a call for a token."""
    return Call(asked="a token of the test", url="https://host.example/token", **fields)


def fail(call: Call, response: Response | None, make: Callable[[Call, FakeTransport], object]) -> RefresherError:
    """Return the failure of a call."""
    with pytest.raises(call.error) as caught:
        make(call, FakeTransport(lambda _: response))
    return caught.value


@pytest.mark.parametrize(
    ("fields", "body", "kind"),
    [
        ({}, None, None),
        ({"form": {"a": "b c"}}, b"a=b+c", "application/x-www-form-urlencoded"),
        ({"document": {"a": [1]}}, b'{"a": [1]}', "application/json"),
    ],
    ids=["nothing", "form", "document"],
)
def test_body_is_sent_with_its_type(fields: dict[str, Any], body: bytes | None, kind: str | None) -> None:
    """A form, a JSON document or nothing is sent, with the bearer token and further headers."""
    transport = FakeTransport(lambda _: answer(b"{}"))

    prepare(bearer="ya29.x", headers={"X-Extra": "1"}, **fields).fetch(transport)

    (request,) = transport.requests
    assert (request.method, request.url, request.body) == ("POST", "https://host.example/token", body)
    assert request.headers.get("Content-Type") == kind
    assert request.headers["Authorization"] == "Bearer ya29.x"
    assert request.headers["X-Extra"] == "1"


@pytest.mark.parametrize(
    ("status", "words"),
    [(each, "was refused") for each in (400, 401, 403, 404)]
    + [(429, "was throttled")]
    + [(each, "failed") for each in (408, 500, 503)],
)
def test_only_what_decides_is_a_refusal(status: int, words: str) -> None:
    """Time-outs, throttling and server errors may pass, and nothing was refused; every other error has to be fixed."""
    error = fail(prepare(error=ExchangeError), answer(b"", status), Call.fetch)

    assert error.problem == f"a token of the test {words} with HTTP {status}"
    assert error.retryable is (words != "was refused")
    assert error.http_status == status


def test_refusal_has_the_servers_words_and_no_secret() -> None:
    """What was sent and comes back is taken out of the server's sentence."""
    body = json.dumps({"error": {"message": "No: shh-secret, ya29.sent"}}).encode()
    call = prepare(bearer="ya29.sent", secrets=("shh-secret",), explain=lambda status, text: f"fix {status} {text}")

    error = fail(call, answer(body, 403), Call.fetch)

    assert error.problem == "a token of the test was refused with HTTP 403: No: …, …"
    assert error.remedy == "fix 403 No: …, …"


def test_refusal_is_looked_up_in_the_catalogue() -> None:
    """Without a remedy of its own, a refusal has the one of the catalogue."""
    error = fail(prepare(), answer(b'{"error": "throttled due to rate limit"}', 429), Call.fetch)

    assert "request a higher quota" in error.remedy


@pytest.mark.parametrize(
    ("reach", "remedy"),
    [
        (None, "make this machine reach https://host.example (DNS, firewall, HTTPS_PROXY; or NO_PROXY for this host)"),
        ("open the door", "open the door"),
    ],
)
def test_server_that_does_not_answer_is_named(reach: str | None, remedy: str) -> None:
    """Where there is no answer, the failure shows the host and why, and may pass."""
    error = fail(prepare(reach=reach), None, Call.fetch)

    assert error.problem == "a token of the test failed: host did not answer: it cannot be reached"
    assert error.remedy == remedy
    assert error.retryable


@pytest.mark.parametrize("reach", [None, "open the door"])
def test_remedy_of_the_transport_comes_first(reach: str | None) -> None:
    """Where the transport knows what alone can be wrong, that is the remedy."""

    def be_silent(_request: object) -> Response:
        raise TransportError("host did not answer: its certificate is not trusted", "set google.ca_file")

    with pytest.raises(SupplyError) as caught:
        prepare(reach=reach).fetch(FakeTransport(be_silent))

    assert caught.value.remedy == "set google.ca_file"


def test_other_statuses_can_be_accepted() -> None:
    """Each call has its own statuses of success."""
    response = answer(b"{}", 201)

    assert prepare(accepted=(200, 201)).fetch(FakeTransport(lambda _: response)) is response


@pytest.mark.parametrize("body", [b"", b"rubbish", b"[1]", b"7", b"\xff\xfe", b"[" * 100_000])
def test_answer_that_is_not_an_object_is_rejected(body: bytes) -> None:
    """An answer without a JSON object may be of another server, and passes perhaps."""
    error = fail(prepare(verify="look there"), answer(body), Call.fetch_document)

    assert error.problem == "a token of the test failed: the response is not a JSON object"
    assert (error.remedy, error.retryable) == ("look there", True)


@pytest.mark.parametrize("document", [{}, {"token": ""}, {"token": 7}, {"token": None}])
def test_missing_text_is_rejected(document: dict[str, Any]) -> None:
    """A text that is missing, empty or something else is named by its key."""
    with pytest.raises(SupplyError, match="the response has no `token`", check=is_retryable):
        prepare().read_text(document, "token")


def test_access_token_is_read() -> None:
    """The life of an access token counts from now."""
    token = prepare().read_access_token({"access_token": "ya29.x", "expires_in": 3599}, NOW)

    assert token == AccessToken(value="ya29.x", expires_at=NOW + timedelta(seconds=3599))
    assert "ya29" not in repr(token)


@pytest.mark.parametrize("seconds", [None, "3599", 0, -1, 86401, 10**30, 0.5])
def test_access_token_without_a_sensible_life_is_rejected(seconds: object) -> None:
    """An access token whose life is missing or impossible is rejected, and not shown."""
    with pytest.raises(SupplyError, match="no `expires_in`") as caught:
        prepare().read_access_token({"access_token": "ya29.x", "expires_in": seconds}, NOW)

    assert "ya29" not in str(caught.value)


def test_call_shows_nothing_that_it_sends() -> None:
    """The repr of a call holds no secret."""
    assert "shh" not in repr(prepare(bearer="shh", form={"a": "shh"}, secrets=("shh",)))


@pytest.mark.parametrize(
    ("body", "text"),
    [
        pytest.param(b'{"error": {"code": 403, "message": "No.", "status": "X"}}', "No.", id="api"),
        pytest.param(b'{"error": "invalid_grant", "error_description": "Stale."}', "Stale.", id="oauth"),
        pytest.param(b'{"error": "invalid_grant"}', "invalid_grant", id="oauth-without-description"),
        pytest.param(b'{"kind": "Status", "message": "Forbidden."}', "Forbidden.", id="kubernetes"),
        pytest.param(b'{"error": {"message": 7}}', "", id="number"),
        pytest.param(b'{"error": null}', "", id="null"),
        pytest.param(b"[1]", "", id="list"),
        pytest.param(b"<html>", "an HTML page: without a title", id="html"),
        pytest.param(b"<!DOCTYPE html><title>Error\n404</title>", "an HTML page: Error 404", id="html-with-title"),
        pytest.param(
            b'{"error": {"message": "No.", "details": [{"reason": "SERVICE_DISABLED"}]}}',
            "No. (SERVICE_DISABLED)",
            id="reason",
        ),
        pytest.param(b'{"error": {"message": "No.", "details": [{"reason": "a <b>"}, 7]}}', "No.", id="no-reason"),
        pytest.param(b"\xff\xfe", "", id="binary"),
        pytest.param(b"[" * 100_000, "", id="deep"),
        pytest.param(b"", "", id="empty"),
    ],
)
def test_servers_words_are_found_in_each_shape(body: bytes, text: str) -> None:
    """The sentence of an API's, an OAuth and a Kubernetes error is returned, with its reason; of a page its title."""
    assert read_error_text(answer(body)) == text


def test_servers_words_hold_no_token() -> None:
    """A token that a server quotes is taken out, whether or not it was sent."""
    body = json.dumps({"error": f"Bad {make_jwt()} and plain-secret"}).encode()

    assert read_error_text(answer(body), "plain-secret") == "Bad … and …"
