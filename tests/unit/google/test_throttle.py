from __future__ import annotations

from datetime import timedelta

import pytest

from refresher.errors import SupplyError
from refresher.google.call import Call, Response
from refresher.google.throttle import PacedTransport
from tests.fakes import FakeClock, FakeTransport, Request

URL = "https://sts.example/v1/token"
OTHER = "https://iam.example/v1/x"


class Server:
    """Servers of which one throttles for a while, and a transport that keeps to that."""

    def __init__(self, status: int = 429, **headers: str) -> None:
        self.clock = FakeClock()
        self.refusal = Response(
            status=status, headers={key.replace("_", "-"): value for key, value in headers.items()}, body=b"{}"
        )
        self.is_throttling = True
        self.network = FakeTransport(self._answer)
        self.transport = PacedTransport(self.network, self.clock.monotonic)

    def _answer(self, request: Request) -> Response:
        is_refused = self.is_throttling and request.url == URL
        return self.refusal if is_refused else Response(status=200, headers={}, body=b"{}")


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"retry_after": "30"}, 30),
        (503, {"retry_after": "7"}, 7),
        (429, {"retry_after": "86400"}, 300),
        (429, {"retry_after": "Wed, 21 Oct 2026 07:28:00 GMT"}, 1),
        (429, {}, 1),
    ],
    ids=["as-it-says", "unavailable", "at-most-five-minutes", "a-date", "nothing-said"],
)
def test_server_is_not_asked_before_the_moment_that_it_named(
    status: int, headers: dict[str, str], seconds: int
) -> None:
    """Until then every caller gets its refusal with what is left of the wait; other servers are asked as always."""
    server = Server(status, **headers)
    server.transport.request("POST", URL)
    server.clock.pass_(timedelta(seconds=seconds - 0.5))

    held = server.transport.request("POST", URL)
    other = server.transport.request("POST", OTHER)
    server.clock.pass_(timedelta(seconds=1))
    server.is_throttling = False
    after = server.transport.request("POST", URL)

    assert (held.status, held.retry_after) == (status, timedelta(seconds=1))
    assert (other.status, after.status) == (200, 200)
    assert [request.url for request in server.network.requests] == [URL, OTHER, URL]


@pytest.mark.parametrize("status", [400, 403, 500, 503])
def test_other_failures_hold_no_one_up(status: int) -> None:
    """A refusal that names no moment holds no caller up, except a 429."""
    server = Server(status)

    answers = [server.transport.request("POST", URL).retry_after for _ in range(3)]

    assert answers == [None] * 3
    assert len(server.network.requests) == 3


def test_failure_carries_the_moment() -> None:
    """The error of a throttled call shows how long the server asks to wait, and that it may pass."""
    call = Call(asked="a token", url=URL)

    with pytest.raises(SupplyError) as caught:
        call.fetch(Server(retry_after="30").transport)

    assert (caught.value.retry_after, caught.value.retryable) == (timedelta(seconds=30), True)
    assert caught.value.copy().retry_after == timedelta(seconds=30)


def test_callers_of_a_small_quota_are_all_served_without_a_storm() -> None:
    """With a quota of ten a second, three hundred callers that keep to the gate meet a refusal a second at most."""
    clock = FakeClock()
    used: dict[int, int] = {}
    refused: list[int] = []

    def answer(_request: Request) -> Response:
        second = int(clock.monotonic())
        used[second] = used.get(second, 0) + 1
        if used[second] > 10:
            refused.append(second)
            return Response(status=429, headers={}, body=b"{}")
        return Response(status=200, headers={}, body=b"{}")

    transport, waiting, seconds = PacedTransport(FakeTransport(answer), clock.monotonic), 300, 0
    while waiting and seconds < 100:
        waiting -= sum(transport.request("POST", URL).status == 200 for _ in range(waiting))
        clock.pass_(timedelta(seconds=1))
        seconds += 1

    assert waiting == 0
    assert seconds <= 60
    assert len(refused) <= seconds
