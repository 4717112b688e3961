"""The transport of a check-up: it remembers how servers' clocks differ, and asks none for ever that does not answer."""

import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from refresher import __version__
from refresher.google.call import Response, Transport, TransportError, read_date

_MOST_SILENCES = 3
"""Calls that one server may leave without an answer; each later one fails at once, so that 1,000 targets end soon."""


class ObservingTransport:
    """A transport that observes the answers; safe to use from several threads."""

    def __init__(self, transport: Transport, now: Callable[[], datetime]) -> None:
        self._transport = transport
        self._now = now
        self._silences: dict[str, int] = {}
        self._failures: dict[str, TransportError] = {}
        self._skews: dict[str, timedelta] = {}
        self._lock = threading.Lock()

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Response:
        """Make one call and return its answer, or raise a `TransportError` at once for a server that stays silent."""
        server = urlsplit(url).netloc
        with self._lock:
            if self._silences.get(server, 0) >= _MOST_SILENCES:
                known = self._failures[server]
                raise TransportError(f"{known}; it is not asked again", known.remedy, known.entry)
        named = {"User-Agent": f"refresher-doctor/{__version__}", **(headers or {})}
        try:
            response = self._transport.request(method, url, headers=named, body=body)
        except TransportError as error:
            with self._lock:
                self._failures[server] = error
                self._silences[server] = self._silences.get(server, 0) + 1
            raise
        with self._lock:
            self._silences[server] = 0
            self._observe(server, response)
        return response

    def get_skew(self, url: str) -> timedelta | None:
        """Return how much a server's clock is ahead of this machine's, to the second; None if it never answered."""
        return self._skews.get(urlsplit(url).netloc)

    def _observe(self, server: str, response: Response) -> None:
        if (date := read_date(response)) is None:
            return
        skew = date - self._now()  # of several answers the one that differs least counts
        if server not in self._skews or abs(skew) < abs(self._skews[server]):
            self._skews[server] = skew
