"""The transport of a check-up: clocks are compared, and a silent server is not asked for ever."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from refresher.doctor.transport import ObservingTransport
from refresher.google.call import Response, TransportError

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Server:
    """A server whose clock may differ, or which does not answer."""

    def __init__(self, date: str = "", *, is_silent: bool = False) -> None:
        self.date = date
        self.is_silent = is_silent
        self.calls: list[Mapping[str, str]] = []

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Response:
        self.calls.append(headers or {})
        if self.is_silent:
            raise TransportError("it did not answer")
        return Response(status=200, headers={"date": self.date}, body=b"")


@pytest.mark.parametrize("hours", [0, 1, -1])
def test_clock_of_a_server_is_compared(hours: int) -> None:
    """The difference is known to half a second, in the direction of the server's clock."""
    server = Server(format_datetime(NOW + timedelta(hours=hours), usegmt=True))
    transport = ObservingTransport(server, lambda: NOW)

    transport.request("GET", "https://sts.example/x")
    skew = transport.get_skew("https://sts.example")

    assert skew is not None
    assert abs(skew - timedelta(hours=hours)) <= timedelta(seconds=0.5)
    assert transport.get_skew("https://other.example") is None


@pytest.mark.parametrize("date", ["", "yesterday", "Thu, 99 Jan 2026 00:00:00 GMT"])
def test_date_that_is_none_tells_nothing(date: str) -> None:
    """Without a valid date nothing is known of a clock."""
    transport = ObservingTransport(Server(date), lambda: NOW)

    transport.request("GET", "https://sts.example/x")

    assert transport.get_skew("https://sts.example") is None


def test_silent_server_is_asked_three_times() -> None:
    """After three calls without an answer each further one fails at once; other servers are asked as before."""
    server = Server(is_silent=True)
    transport = ObservingTransport(server, lambda: NOW)

    for _ in range(10):
        with pytest.raises(TransportError):
            transport.request("GET", "https://sts.example/x")

    assert len(server.calls) == 3
    with pytest.raises(TransportError):
        transport.request("GET", "https://other.example/x")
    assert len(server.calls) == 4


def test_calls_name_their_program() -> None:
    """Audit logs can leave out what doctor asks: its calls have a User-Agent of their own."""
    server = Server()

    ObservingTransport(server, lambda: NOW).request("GET", "https://sts.example/x", headers={"Accept": "a"})

    assert server.calls[0]["User-Agent"].startswith("refresher-doctor/")
    assert server.calls[0]["Accept"] == "a"
