"""Subject tokens of a Kubernetes service account, by the TokenRequest API: the `kubernetes` supplier.

https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/. The daemon asks with the
token that its own pod has, read anew each time since the kubelet replaces it, for the account that the identity's
subject names. A projected volume needs none of this: that is a `file`.
"""

from __future__ import annotations

import json
import os
import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from refresher.errors import SupplyError
from refresher.google.answers import clean, document_of, error_text_of, is_passing
from refresher.google.transport import TransportError
from refresher.tokens import SubjectToken, UnreadableTokenError, peek

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from pathlib import Path

    from refresher.google.transport import Response, Transport
    from refresher.suppliers.interface import SupplierContext

_CREATED = (200, 201)
_LARGEST = 64 * 1024
_SUBJECT = re.compile(r"system:serviceaccount:(?P<namespace>[a-z0-9-]{1,63}):(?P<name>[a-z0-9.-]{1,253})")


class KubernetesSupplier:
    """Requests tokens of service accounts; safe to use from several threads.

    Args:
        transport: Makes the calls, and trusts the cluster's authority.
        api_server: Origin of the API server.
        token_path: Where the daemon's own token is.
        lifetime: Of each subject token; the API server may shorten it.
    """

    def __init__(self, *, transport: Transport, api_server: str, token_path: Path, lifetime: timedelta) -> None:
        self._transport = transport
        self._api_server = api_server
        self._token_path = token_path
        self._seconds = int(lifetime.total_seconds())

    def supply(self, context: SupplierContext, now: datetime) -> SubjectToken:  # noqa: ARG002 - the API server has a clock
        """Request a token.

        Raises:
            SupplyError: The subject is no service account, the daemon has no token, or the API server refused.
            SupplyError: The API server did not answer, or not as it should.
        """
        account = _SUBJECT.fullmatch(context.subject or "")
        if account is None:
            raise SupplyError(
                f"the subject of identity {context.identity} is no Kubernetes service account",
                "set it to system:serviceaccount:NAMESPACE:NAME",
            )
        namespace, name = account["namespace"], account["name"]
        bearer = self._own_token()
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [context.audience], "expirationSeconds": self._seconds},
        }
        response = self._request(namespace, name, bearer, json.dumps(request).encode())
        if response.status not in _CREATED:
            raise self._refusal(response, f"{namespace}/{name}", bearer)
        status = (document_of(response) or {}).get("status")
        try:
            return peek(str(status["token"] if isinstance(status, dict) else None))
        except (UnreadableTokenError, KeyError) as error:
            raise SupplyError(
                f"{self._api_server} answered without a token",
                "see whether something else answers there",
                retryable=True,
            ) from error

    def _request(self, namespace: str, name: str, bearer: str, body: bytes) -> Response:
        try:
            return self._transport.request(
                "POST",
                f"{self._api_server}/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token",
                headers={"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"},
                body=body,
            )
        except TransportError as error:
            raise SupplyError(
                f"the API server {self._api_server} was not reached: {error}",
                "let the daemon's pod reach it, and the supplier's ca_file name the cluster's authority",
                retryable=True,
            ) from error

    def _refusal(self, response: Response, account: str, bearer: str) -> SupplyError:
        """Give the failure that an error answer stands for; Kubernetes says why in `message`."""
        said = (document_of(response) or {}).get("message")
        text = clean(said, bearer) if isinstance(said, str) else error_text_of(response, bearer)
        return SupplyError(
            f"the API server refused a token of {account} with HTTP {response.status}: {text}",
            self._remedy(response.status, account),
            retryable=is_passing(response.status),
        )

    def _remedy(self, status: int, account: str) -> str:
        match status:
            case HTTPStatus.UNAUTHORIZED:
                return f"see what renews {self._token_path}: that token is over, or another cluster's"
            case HTTPStatus.FORBIDDEN:
                return f"let the daemon's own account create serviceaccounts/token of {account} (RBAC)"
            case HTTPStatus.NOT_FOUND:
                return f"create the service account {account}, or mend the identity's subject"
            case HTTPStatus.UNPROCESSABLE_ENTITY:
                return f"let the cluster's admission policies allow the daemon tokens of {account} for this audience"
            case _:
                return "see the log of the API server"

    def _own_token(self) -> str:
        try:
            descriptor = os.open(self._token_path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                text = file.read(_LARGEST).decode("ascii").strip()
        except OSError as error:
            raise SupplyError(
                f"the daemon's own token {self._token_path} cannot be read: {error.strerror}",
                "run it in a pod with automountServiceAccountToken, or set token_file",
            ) from error
        except UnicodeDecodeError:
            text = ""
        if not text or not text.isprintable():
            raise SupplyError(f"{self._token_path} holds no token", "see what mounts it")
        return text
