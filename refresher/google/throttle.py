"""A server's word about when counts for all who ask it: until then each gets its refusal again, without a call.

When each tries again is decided in `refresher.policy`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from refresher.google.call import Response, Transport


class PacedTransport:
    """A transport that asks no server before the moment that it named; safe to use from several threads.

    `monotonic` returns the seconds of a clock that never steps.
    """

    def __init__(self, transport: Transport, monotonic: Callable[[], float]) -> None:
        self._transport = transport
        self._monotonic = monotonic
        self._refusals: dict[str, tuple[float, Response]] = {}

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Response:
        """Make one call and return its answer, or the last refusal of a server that asks to wait."""
        server = urlsplit(url).netloc
        until, refusal = self._refusals.get(server, (0.0, None))
        if refusal is not None and (left := until - self._monotonic()) > 0:
            return replace(refusal, headers={**refusal.headers, "retry-after": str(math.ceil(left))})
        response = self._transport.request(method, url, headers=headers, body=body)
        if (wait := response.retry_after) is not None:
            self._refusals[server] = (self._monotonic() + wait.total_seconds(), response)
        return response
