"""The metadata server of the machine we run on: its identity tokens and its access token.

https://docs.cloud.google.com/compute/docs/metadata/overview. We ask it ourselves: google-auth reads its address from
the environment at import, tries five times for a quarter of a minute, and asks for more than is needed.
"""

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from refresher.errors import SupplyError
from refresher.google.call import Call, Response, Transport
from refresher.tokens import AccessToken

_ACCOUNT = "/computeMetadata/v1/instance/service-accounts/default"
_ELSEWHERE = "run on Google Cloud, or choose another supplier; google.endpoints.metadata sets another server"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataServer:
    """Asks the metadata server at an origin (scheme, host and port); safe to use from several threads.

    Each method raises a `SupplyError` where no token is available.
    """

    transport: Transport
    origin: str

    def identity_token(self, audience: str) -> str:
        """Return an ID token of the machine's account for an audience, a JWT."""
        call = self._prepare("an ID token", f"/identity?audience={quote(audience, safe='')}&format=full")
        return self._fetch(call).body.decode("utf-8", "replace").strip()

    def access_token(self, now: datetime) -> AccessToken:
        """Return the machine's access token; the server returns the same one for most of its life."""
        call = self._prepare("an access token", "/token")
        return call.read_access_token(call.parse(self._fetch(call)), now)

    def _prepare(self, what: str, path: str) -> Call:
        return Call(
            asked=f"{what} of the metadata server at {self.origin}",
            method="GET",
            url=f"{self.origin}{_ACCOUNT}{path}",
            headers={"Metadata-Flavor": "Google"},
            explain=_explain,
            reach=_ELSEWHERE,
            verify="check that this address really is a metadata server (google.endpoints.metadata)",
        )

    def _fetch(self, call: Call) -> Response:
        response = call.fetch(self.transport)
        if response.headers.get("metadata-flavor") != "Google":
            raise SupplyError(f"{self.origin} is not a metadata server", _ELSEWHERE)
        return response


def _explain(status: int, _text: str) -> str:
    if status == 404:  # noqa: PLR2004 - not found
        return "attach a service account to this machine; on Kubernetes, check the account in the pod's annotation"
    return "check that this address really is a metadata server, and that this process may reach it"
