"""The metadata server of the machine we run on: its identity tokens and its access token.

https://docs.cloud.google.com/compute/docs/metadata/overview. We ask it ourselves: google-auth reads its address from
the environment at import, tries five times for a quarter of a minute, and asks for more than is needed.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

from refresher.errors import SupplyError
from refresher.google.answers import document_of, is_passing
from refresher.google.transport import TransportError

if TYPE_CHECKING:
    from refresher.google.transport import Response, Transport

_ACCOUNT = "/computeMetadata/v1/instance/service-accounts/default"
_FLAVOR = {"Metadata-Flavor": "Google"}
_OK = 200
_NOT_FOUND = 404
_LONGEST_LIFE = 24 * 3600


class MetadataServer:
    """Asks one metadata server; safe to use from several threads.

    Args:
        transport: Makes the calls.
        origin: Scheme, host and port of the server.
    """

    def __init__(self, *, transport: Transport, origin: str) -> None:
        self._transport = transport
        self._origin = origin

    def identity_token(self, audience: str) -> str:
        """Give an ID token of the machine's account for an audience, a JWT.

        Raises:
            SupplyError: There is none to be had.
        """
        found = self._get(f"{_ACCOUNT}/identity?audience={quote(audience, safe='')}&format=full")
        return found.body.decode("utf-8", "replace").strip()

    def access_token(self, now: datetime) -> tuple[str, datetime]:
        """Give the machine's access token and when it ends, UTC; the server gives the same one for most of its life.

        Raises:
            SupplyError: There is none to be had.
        """
        document = document_of(self._get(f"{_ACCOUNT}/token")) or {}
        token, seconds = document.get("access_token"), document.get("expires_in")
        if not isinstance(token, str) or not token or not isinstance(seconds, int) or not 0 < seconds <= _LONGEST_LIFE:
            raise SupplyError(
                f"the metadata server at {self._origin} gave no access token that lives",
                "see whether something else answers there",
                retryable=True,
            )
        return token, now + timedelta(seconds=seconds)

    def _get(self, path: str) -> Response:
        try:
            response = self._transport.request("GET", f"{self._origin}{path}", headers=_FLAVOR)
        except TransportError as error:
            raise SupplyError(
                f"no metadata server answers: {error}",
                "run on Google Cloud, or choose another supplier; google.endpoints.metadata names another server",
                retryable=True,
            ) from error
        if response.status != _OK:
            raise self._refused(response)
        if response.headers.get("metadata-flavor") != "Google":
            raise SupplyError(
                f"what answers at {self._origin} is no metadata server",
                "run on Google Cloud, or choose another supplier; google.endpoints.metadata names another server",
            )
        return response

    def _refused(self, response: Response) -> SupplyError:
        if response.status == _NOT_FOUND:
            return SupplyError(
                f"the metadata server at {self._origin} knows no service account",
                "attach one to this machine; on Kubernetes, check the account that the pod is annotated with",
            )
        return SupplyError(
            f"the metadata server at {self._origin} answered HTTP {response.status}",
            "see whether something else answers there, and whether this process may reach it",
            retryable=is_passing(response.status),
        )
