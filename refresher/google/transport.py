"""One pool of connections for every HTTP call that we make, with a bound on each call's time and size.

Each connect and each read has its limit, and so has the whole call (`refresher.google.deadline`), so that a server
which drips bytes for ever cannot keep a worker. No redirect is followed. Calls over https go through the proxy of
`HTTPS_PROXY`, unless `NO_PROXY` exempts the host; what we call over plain http is on this machine: the metadata server,
an emulator. Requests and answers hold tokens: neither appears in a message, nor does the text of a foreign exception,
which may quote them.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from urllib.request import proxy_bypass

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
from refresher.google.call import Response, TransportError
from refresher.google.deadline import BOUNDED_POOLS, Deadline, WatchedSocket

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LARGEST_ANSWER = 1024 * 1024
_CONNECTIONS = 32
_CHUNK = 64 * 1024
_LOOPBACK = re.compile(r"localhost|127\.[0-9.]+|\[?::1\]?")
_PROXY_REMEDY = "set it to http://HOST:PORT or https://HOST:PORT, or unset it"
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (ProxyError, "the proxy of HTTPS_PROXY cannot be reached, or does not connect us"),
    (NameResolutionError, "its name is unknown"),
    (NewConnectionError, "it cannot be reached"),
    (ConnectTimeoutError, "it cannot be reached in time"),
    (TimeoutError, "it did not answer in time"),
    (SSLError, "its certificate is not trusted, or it does not speak TLS"),
    (ProtocolError, "it broke the connection off, or does not speak HTTP"),
)


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


class PooledTransport:
    """The transport of the process: connections are kept and shared.

    Args:
        ca_file: Certificates to trust in addition to the system's; None for the system's alone.
        ca_key: The key of the configuration that names `ca_file`.
        limits: How long a call may take.
        proxies: Proxies by scheme, and exempt hosts as `no`, as `urllib.request.getproxies_environment` returns them.

    Raises:
        ConfigurationError: `ca_file` can't be read or holds no certificate, or the proxy is not an HTTP proxy.
    """

    def __init__(
        self,
        *,
        ca_file: Path | None,
        ca_key: str = "google.ca_file",
        limits: Limits | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> None:
        self._limits = limits or Limits()
        self._proxies = dict(proxies or {})
        trust = _load_trust(ca_file, ca_key)
        options: dict[str, Any] = {
            "num_pools": 16,
            "maxsize": _CONNECTIONS,
            "retries": False,
            "timeout": urllib3.Timeout(connect=self._limits.connect, read=self._limits.read),
            "ssl_context": trust,
        }
        self._direct = urllib3.PoolManager(**options)
        self._proxied = self._direct
        if proxy := self._proxies.get("https"):
            url, credentials = parse_proxy(proxy)
            login = urllib3.make_headers(proxy_basic_auth=credentials)
            self._proxied = urllib3.ProxyManager(url, proxy_headers=login, proxy_ssl_context=trust, **options)
        self._direct.pool_classes_by_scheme = self._proxied.pool_classes_by_scheme = BOUNDED_POOLS

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Response:
        """Make one call and return its answer, whatever the status.

        Raises:
            TransportError: No answer came within the time, or it was too large.
        """
        host = urlsplit(url).netloc.rpartition("@")[2]
        pool = self._proxied if is_proxied(url, self._proxies) else self._direct
        deadline = Deadline(self._limits.call)
        try:
            with deadline:
                answer = pool.request(
                    method, url, body=body, headers=dict(headers or {}), redirect=False, preload_content=False
                )
                content = _read(answer, host)
        except (HTTPError, OSError, ValueError) as error:
            reason = None if deadline.has_passed else _explain(error)
            # no cause: its text may quote a header or the answer
            raise self._translate(host, reason) from None
        if deadline.has_passed:
            raise self._translate(host, None)
        lowered = {name.lower(): value for name, value in answer.headers.items()}
        return Response(status=answer.status, headers=lowered, body=content)

    def _translate(self, host: str, reason: str | None) -> TransportError:
        reason = reason or f"no complete response within {self._limits.call:g} s"
        return TransportError(f"{host} did not answer: {reason}")


def is_proxied(url: str, proxies: Mapping[str, str]) -> bool:
    """Return whether a URL is called through the proxy for https; this machine never is."""
    parts = urlsplit(url)
    if "https" not in proxies or parts.scheme != "https" or _LOOPBACK.fullmatch(parts.hostname or ""):
        return False
    return not proxy_bypass(parts.netloc.rpartition("@")[2], proxies)


def _load_trust(ca_file: Path | None, ca_key: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.sslsocket_class = WatchedSocket
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=str(ca_file))
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            reason = error.strerror if isinstance(error, OSError) else "it is not a path"
            raise ConfigurationError(
                f"{ca_file} cannot be used as trust: {reason}",
                f"set {ca_key} to a readable PEM file of certificates",
            ) from error
    return context


def parse_proxy(text: str) -> tuple[str, str | None]:
    """Return a proxy's URL without credentials, and these as `USER:PASSWORD`; messages show neither.

    Raises:
        ConfigurationError: It is not the URL of an HTTP proxy.
    """
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port
    except ValueError:
        raise ConfigurationError("HTTPS_PROXY is not a URL", _PROXY_REMEDY) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError("HTTPS_PROXY does not name an HTTP proxy", _PROXY_REMEDY)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    credentials = None if parts.username is None else f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return f"{parts.scheme}://{host}" + ("" if port is None else f":{port}"), credentials


def _read(answer: urllib3.BaseHTTPResponse, host: str) -> bytes:
    content = bytearray()
    try:
        for chunk in answer.stream(_CHUNK, decode_content=False):
            content += chunk
            if len(content) > LARGEST_ANSWER:
                raise TransportError(  # noqa: TRY301 - handled as every other failure
                    f"{host} answered with more than {LARGEST_ANSWER} bytes"
                )
    except BaseException:
        answer.close()
        raise
    finally:
        answer.release_conn()
    return bytes(content)


def _explain(error: Exception) -> str:
    found = next((reason for kind, reason in _REASONS if isinstance(error, kind)), None)
    return found or f"the call is impossible ({type(error).__name__})"
