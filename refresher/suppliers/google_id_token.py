"""Google-signed ID tokens as subject tokens: the `google_id_token` supplier, from either of two sources.

The metadata server speaks for the machine's own account alone, so its tokens have one subject for everybody;
`generateIdToken` speaks for a source service account of each identity. The `sub` is that account's unique id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from refresher.errors import SupplyError
from refresher.google.iam_credentials import generate_id_token
from refresher.google.metadata_server import MetadataServer
from refresher.tokens import SubjectToken, UnreadableTokenError, peek

if TYPE_CHECKING:
    from datetime import datetime

    from refresher.google.source_credentials import SourceCredential
    from refresher.google.transport import Transport
    from refresher.resources import Endpoints
    from refresher.suppliers.interface import SupplierContext


class MetadataIdTokenSupplier:
    """ID tokens of the machine's own account."""

    def __init__(self, *, transport: Transport, origin: str) -> None:
        self._server = MetadataServer(transport=transport, origin=origin)

    def supply(self, context: SupplierContext, now: datetime) -> SubjectToken:  # noqa: ARG002 - Google's clock counts
        """Fetch a token; the server may give the same one again.

        Raises:
            SupplyError: There is none to be had.
        """
        return _peeked(self._server.identity_token(context.audience), "the metadata server")


class GeneratedIdTokenSupplier:
    """ID tokens of each identity's source service account."""

    def __init__(self, *, transport: Transport, endpoints: Endpoints, source: SourceCredential) -> None:
        self._transport = transport
        self._endpoints = endpoints
        self._source = source

    def supply(self, context: SupplierContext, now: datetime) -> SubjectToken:
        """Have a token made.

        Raises:
            SupplyError: There is none to be had.
        """
        if context.source_service_account is None:
            raise SupplyError(
                f"identity {context.identity} has no source service account",
                f"set identities.{context.identity}.source_service_account",
            )
        access_token, _ = self._source.access_token(now)
        token = generate_id_token(
            self._transport,
            self._endpoints,
            service_account=context.source_service_account,
            audience=context.audience,
            access_token=access_token,
        )
        return _peeked(token, "IAM Credentials")


def _peeked(token: str, source: str) -> SubjectToken:
    try:
        return peek(token)
    except UnreadableTokenError as error:
        raise SupplyError(
            f"what {source} gave is no ID token: {error}", "see whether something else answers there", retryable=True
        ) from error
