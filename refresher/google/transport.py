"""One pool of connections for every HTTP call that we make, with a bound on each call's time and size.

Each connect and each read has its limit, and so has the whole call (`refresher.google.deadline`), so that a server
which drips bytes for ever cannot keep a worker. Nothing is repeated here and no redirect is followed: when to try again
is `refresher.policy`'s. Requests and answers hold tokens: neither appears in a message, nor does the text of a foreign
exception, which may quote them.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    SSLError,
    TimeoutError,  # noqa: A004 - urllib3's own, from which its read and connect timeouts descend
)

from refresher.errors import ConfigurationError
from refresher.google.deadline import Deadline, bounded_pools

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from refresher.google.proxy import Proxy

LARGEST_ANSWER = 1024 * 1024
_CONNECTIONS = 32
_CHUNK = 64 * 1024
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (ProxyError, "the proxy of HTTPS_PROXY cannot be reached, or does not connect us"),
    (NameResolutionError, "its name is not known"),
    (NewConnectionError, "it cannot be reached"),
    (ConnectTimeoutError, "it cannot be reached in time"),
    (TimeoutError, "it did not answer in time"),
    (SSLError, "its certificate is not trusted, or it speaks no TLS"),
    (ProtocolError, "it broke the connection off, or speaks no HTTP"),
)


class TransportError(Exception):
    """No answer could be had; the message names the host and the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An answer.

    Attributes:
        status: The HTTP status.
        headers: By lower-case name.
        body: All bytes; may hold a token, hence in no repr.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a call may take, in seconds.

    Attributes:
        connect: Until there is a connection.
        read: Between any two pieces of the answer.
        call: From the connection, or its reuse, to the last byte.
    """

    connect: float = 3.0
    read: float = 10.0
    call: float = 20.0


class Transport(Protocol):
    """Makes HTTP calls; safe to use from several threads."""

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Response:
        """Make one call and give its answer, whatever the status.

        Raises:
            TransportError: There was none within the time.
        """
        ...


class PooledTransport:
    """The transport of the process: connections are kept and shared.

    Args:
        ca_file: Certificates to trust beside the system's; None for the system's alone.
        ca_key: Of the configuration, which names `ca_file`.
        limits: How long a call may take.
        proxy: Through whom to call; None for nobody.

    Raises:
        ConfigurationError: `ca_file` cannot be read or holds no certificate.
    """

    def __init__(
        self,
        *,
        ca_file: Path | None,
        ca_key: str = "google.ca_file",
        limits: Limits | None = None,
        proxy: Proxy | None = None,
    ) -> None:
        self._limits = limits or Limits()
        trust = _trust(ca_file, ca_key)
        kept: dict[str, Any] = {
            "num_pools": 16,
            "maxsize": _CONNECTIONS,
            "retries": False,
            "timeout": urllib3.Timeout(connect=self._limits.connect, read=self._limits.read),
            "ssl_context": trust,
        }
        self._pool = urllib3.PoolManager(**kept)
        self._pool.pool_classes_by_scheme = bounded_pools()
        self._proxy = proxy
        self._proxied = self._pool
        if proxy is not None:
            known = urllib3.make_headers(proxy_basic_auth=proxy.credentials)
            self._proxied = urllib3.ProxyManager(proxy.url, proxy_headers=known, proxy_ssl_context=trust, **kept)
            self._proxied.pool_classes_by_scheme = bounded_pools()

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Response:
        """Make one call and give its answer, whatever the status.

        Raises:
            TransportError: There was none within the time, or it was too large.
        """
        host = urlsplit(url).netloc.rpartition("@")[2]
        deadline = Deadline(self._limits.call)
        pool = self._proxied if self._proxy is not None and self._proxy.serves(url) else self._pool
        try:
            with deadline:
                answer = pool.request(
                    method, url, body=body, headers=dict(headers or {}), redirect=False, preload_content=False
                )
                content = _read(answer, host)
        except (HTTPError, OSError, ValueError) as error:
            reason = self._too_late() if deadline.has_passed else _reason(error)
            # no cause: its text may quote a header or the answer
            raise TransportError(f"{host} gave no answer: {reason}") from None
        if deadline.has_passed:
            raise TransportError(f"{host} gave no answer: {self._too_late()}")
        lowered = {name.lower(): value for name, value in answer.headers.items()}
        return Response(status=answer.status, headers=lowered, body=content)

    def _too_late(self) -> str:
        return f"it was not done after {self._limits.call:g} s"


def _trust(ca_file: Path | None, ca_key: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=str(ca_file))
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise ConfigurationError(
                f"{ca_file} cannot be used as trust: {error.strerror if isinstance(error, OSError) else 'no path'}",
                f"let {ca_key} name a readable PEM file of certificates",
            ) from error
    return context


def _read(answer: urllib3.BaseHTTPResponse, host: str) -> bytes:
    try:
        return _content(answer, host)
    except BaseException:
        answer.close()
        raise
    finally:
        answer.release_conn()


def _content(answer: urllib3.BaseHTTPResponse, host: str) -> bytes:
    content = bytearray()
    for chunk in answer.stream(_CHUNK, decode_content=False):
        content += chunk
        if len(content) > LARGEST_ANSWER:
            raise TransportError(f"{host} answered with more than {LARGEST_ANSWER} bytes")
    return bytes(content)


def _reason(error: Exception) -> str:
    found = next((reason for kind, reason in _REASONS if isinstance(error, kind)), None)
    return found or f"the call cannot be made ({type(error).__name__})"
