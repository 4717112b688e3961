"""Our transport as google-auth wants it: `google.auth.transport.Request`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.auth import exceptions
from google.auth import transport as google_transport

from refresher.google.transport import TransportError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from refresher.google.transport import Response, Transport


class RequestAdapter(google_transport.Request):
    """Calls through our transport; its time limits hold, whatever google-auth asks for.

    Attributes:
        last_url: Where the last call went.
        last_answer: What came back; None if nothing did.
        last_failure: Why nothing did, in our own words.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.last_url = ""
        self.last_answer: Response | None = None
        self.last_failure = ""

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,  # noqa: ARG002 - google-auth's signature
        **_more: Any,  # noqa: ANN401 - google-auth's signature
    ) -> google_transport.Response:
        """Make a call.

        Raises:
            google.auth.exceptions.TransportError: There was no answer.
        """
        self.last_url, self.last_answer = url, None
        content = body.encode() if isinstance(body, str) else body
        try:
            response = self._transport.request(method, url, headers=headers, body=content)
        except TransportError as error:
            self.last_failure = str(error)
            raise exceptions.TransportError(str(error)) from error  # type: ignore[no-untyped-call]  # google-auth types it half
        self.last_answer = response
        return _Answer(response)


class _Answer(google_transport.Response):
    def __init__(self, response: Response) -> None:
        self._response = response

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._response.headers

    @property
    def data(self) -> bytes:
        return self._response.body
