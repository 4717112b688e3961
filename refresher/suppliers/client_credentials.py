"""Subject tokens of an OpenID provider, had as a client of it: the `client_credentials` supplier (RFC 6749, 4.4).

The client shows a secret (section 2.3.1) or a JWT signed with its own key (RFC 7523, section 2.2). The access token it
is given must be a JWT: an opaque one says nothing to Google's STS. Where the token endpoint is, is configured or read
from the issuer's discovery document (OpenID Connect Discovery 1.0, section 4) and kept.
"""

from __future__ import annotations

import base64
import json
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from refresher.errors import SupplyError
from refresher.google.answers import document_of, error_text_of, forms_of, is_passing
from refresher.google.transport import TransportError
from refresher.keys.signing import PrivateKey, UnsupportedKeyError, encode
from refresher.tokens import SubjectToken, UnreadableTokenError, peek

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from refresher.google.transport import Response, Transport
    from refresher.suppliers.interface import SupplierContext

_OK = 200
_LARGEST_SECRET = 64 * 1024
_ASSERTION_SECONDS = 60
_SHORTEST_BLANKED = 7
"""A shorter secret is part of ordinary words, and blanking it in them would tell it."""
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Who asks, and how it proves that.

    Attributes:
        client_id: As the issuer knows it.
        authentication: `client_secret_basic`, `client_secret_post` or `private_key_jwt`.
        secret: Reads the secret, or the private key in PEM; asked at each supply, since it may be replaced.
        key_id: `kid` of the assertion; None for the key's thumbprint.
        parameters: Further parameters of the request, such as `scope` and `audience`.
    """

    client_id: str
    authentication: str
    secret: Callable[[], str]
    key_id: str | None
    parameters: Mapping[str, str]


class ClientCredentialsSupplier:
    """Asks the token endpoint for each token; safe to use from several threads.

    Args:
        transport: Makes the calls.
        issuer: Whose discovery document is read.
        token_url: The token endpoint; None to discover it.
        client: Who asks.
        random: Gives what makes each assertion one of a kind.
    """

    def __init__(
        self, *, transport: Transport, issuer: str, token_url: str | None, client: Client, random: Callable[[], str]
    ) -> None:
        self._transport = transport
        self._issuer = issuer
        self._token_url = token_url
        self._client = client
        self._random = random

    def supply(self, context: SupplierContext, now: datetime) -> SubjectToken:  # noqa: ARG002 - one client, one subject
        """Ask for a token.

        Raises:
            SupplyError: The secret cannot be read, the issuer refused, or its token is no JWT.
            SupplyError: The issuer did not answer, or not as it should.
        """
        secret = self._client.secret()
        token_url = self._token_url or self._discover()
        headers, form = self._request(token_url, secret, now)
        response = self._call("POST", token_url, headers, urlencode(form).encode())
        if response.status != _OK:
            credential = headers.get("Authorization", "").removeprefix("Basic ")
            raise self._refusal(response, secret, credential, form.get("client_assertion", ""))
        self._token_url = token_url
        token = (document_of(response) or {}).get("access_token")
        if not isinstance(token, str) or not token:
            raise SupplyError(
                f"{_origin(token_url)} answered without an access token",
                "see whether something else answers there",
                retryable=True,
            )
        try:
            return peek(token)
        except UnreadableTokenError as error:
            raise SupplyError(
                f"the access token of {self._issuer} is no JWT that Google could read: {error}",
                "have the issuer give this client JWT access tokens (often by an audience, below parameters:)",
            ) from error

    def _discover(self) -> str:
        """Give the token endpoint of the issuer's discovery document."""
        url = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
        response = self._call("GET", url, {}, None)
        if response.status != _OK:
            raise self._refusal(response)
        document = document_of(response) or {}
        found = document.get("token_endpoint")
        if document.get("issuer") != self._issuer or not isinstance(found, str) or not is_safe(found):
            raise SupplyError(
                f"{url} does not name the token endpoint of issuer {self._issuer}",
                "mend issuer:, or set token_url:",
                retryable=True,
            )
        return found

    def _request(self, token_url: str, secret: str, now: datetime) -> tuple[dict[str, str], dict[str, str]]:
        """Give headers and form of a request."""
        client = self._client
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        form = {"grant_type": "client_credentials", **client.parameters}
        match client.authentication:
            case "client_secret_basic":
                # RFC 6749, section 2.3.1: both are form-encoded first
                pair = f"{quote(client.client_id, safe='')}:{quote(secret, safe='')}"
                headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
            case "client_secret_post":
                form |= {"client_id": client.client_id, "client_secret": secret}
            case _:
                form |= {
                    "client_id": client.client_id,
                    "client_assertion_type": _ASSERTION_TYPE,
                    "client_assertion": self._assertion(token_url, secret, now),
                }
        return headers, form

    def _assertion(self, token_url: str, pem: str, now: datetime) -> str:
        """Give the client's own JWT (RFC 7523, section 3)."""
        try:
            key = PrivateKey.from_pem(pem.encode())
        except UnsupportedKeyError as error:
            raise SupplyError(
                f"the key of client {self._client.client_id} cannot be used: {error}", "give EC P-256 or RSA in PKCS#8"
            ) from error
        issued_at = int(now.timestamp())
        header = {"alg": key.algorithm, "kid": self._client.key_id or key.kid, "typ": "JWT"}
        claims = {
            "iss": self._client.client_id,
            "sub": self._client.client_id,
            "aud": token_url,
            "iat": issued_at,
            "exp": issued_at + _ASSERTION_SECONDS,
            "jti": self._random(),
        }
        message = f"{_encoded(header)}.{_encoded(claims)}"
        return f"{message}.{encode(key.sign(message.encode()))}"

    def _call(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Response:
        try:
            return self._transport.request(method, url, headers=headers, body=body)
        except TransportError as error:
            raise SupplyError(
                f"the issuer {self._issuer} was not reached: {error}",
                f"let this machine reach {_origin(url)}",
                retryable=True,
            ) from error

    def _refusal(self, response: Response, *secrets: str) -> SupplyError:
        text = error_text_of(response, *(secret for secret in secrets if len(secret) >= _SHORTEST_BLANKED))
        short = [form for secret in secrets if 0 < len(secret) < _SHORTEST_BLANKED for form in forms_of(secret)]
        if any(form in text for form in short):
            text = "its words are withheld, since the secret is in them"
        return SupplyError(
            f"the issuer {self._issuer} refused client {self._client.client_id} with HTTP {response.status}: {text}",
            "check client_id, its secret, authentication and parameters at the issuer",
            retryable=is_passing(response.status),
        )


def secret_of_file(path: Path) -> str:
    """Give the secret in a file, without white space around it.

    Raises:
        SupplyError: It cannot be read, or others can read it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
                raise SupplyError(
                    f"the secret file {path} can be read or written by others, or is no file", f"chmod 0400 {path}"
                )
            text = file.read(_LARGEST_SECRET).decode().strip()
    except OSError as error:
        raise SupplyError(
            f"the secret file {path} cannot be read: {error.strerror}", "create it, for the daemon's user alone"
        ) from error
    except UnicodeDecodeError:
        text = ""
    if not text:
        raise SupplyError(f"the secret file {path} holds no text", "put the secret there, and nothing else")
    return text


def secret_of_variable(name: str, environment: Mapping[str, str]) -> str:
    """Give the secret in a variable of the daemon's.

    Raises:
        SupplyError: There is none.
    """
    if not environment.get(name):
        # not named: somebody may have written the secret itself
        problem = "the daemon lacks the variable that secret_variable names"
        raise SupplyError(problem, "set it to the client's secret where it is started")
    return environment[name]


def is_safe(url: str) -> bool:
    """Tell whether a secret may be sent to a URL: https, or http on the loopback."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _encoded(part: Mapping[str, Any]) -> str:
    return encode(json.dumps(part, separators=(",", ":")).encode())
