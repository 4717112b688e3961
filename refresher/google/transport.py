"""One pool of connections for every HTTP call that we make, with a bound on each call's time and size.

Each connect and each read has its limit, and so has the whole call, so that a server which drips bytes for ever cannot
keep a worker. No redirect is followed. Calls over https go through the proxy of `HTTPS_PROXY`, unless `NO_PROXY`
exempts the host; what we call over plain http is on this machine: the metadata server, an emulator. Requests and
answers hold tokens: neither appears in a message, nor does the text of a foreign exception, which may quote them.
"""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3 import exceptions
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from refresher.durations import format_seconds
from refresher.errors import ConfigurationError
from refresher.google.call import Response, TransportError
from refresher.google.deadline import Deadline, watch
from refresher.google.trust import explain_tls, load_trust

LARGEST_ANSWER = 1024 * 1024
_LOOPBACK = re.compile(r"localhost|127\.[0-9.]+|\[?::1\]?")
_PROXY_HOST = re.compile(r"[\w-]([\w.-]*[\w-])?\.?|[0-9a-f]*:[0-9a-f:.]+(%[\w-]+)?", re.IGNORECASE)
_PROXY_REMEDY = "set it to http://HOST:PORT or https://HOST:PORT, or unset it"
_TUNNEL = re.compile(r"^Tunnel connection failed: ([0-9]{3})\b")
"""How http.client reports a proxy's refusal."""
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (exceptions.ProxyError, "the proxy of HTTPS_PROXY cannot be reached, or does not connect us"),
    (exceptions.NameResolutionError, "its name is unknown"),
    (exceptions.NewConnectionError, "it cannot be reached"),
    (exceptions.ConnectTimeoutError, "it cannot be reached in time"),
    (exceptions.TimeoutError, "it did not answer in time"),
    (exceptions.SSLError, "it does not speak TLS"),
    (exceptions.ProtocolError, "it broke the connection off, or does not speak HTTP"),
)
"""The first that fits counts: urllib3's read and connect timeouts are a `TimeoutError` too."""


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


class _WatchedSocket(ssl.SSLSocket):
    """The kind of socket for `ssl.SSLContext.sslsocket_class`: watched from its handshake on."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the library's signature
        """Do the TLS handshake."""
        watch(self)
        super().do_handshake(block)


class _PlainConnection(HTTPConnection):
    def connect(self) -> None:
        """Connect."""
        super().connect()
        watch(self.sock)

    def send(self, data: Any) -> None:  # noqa: ANN401 - http.client's signature
        """Send a part of a request, perhaps on a connection that was kept, perhaps to a proxy."""
        watch(self.sock)
        super().send(data)


class _SecureConnection(_PlainConnection, HTTPSConnection):
    pass


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS: dict[str, type[HTTPConnectionPool]] = {"http": _PlainPool, "https": _SecurePool}
"""Connection pools whose connections know the calling thread's deadline."""


class PooledTransport:
    """The transport of the process: connections are kept and shared.

    Args:
        ca_file: Certificates to trust in addition to the system's; None for the system's alone.
        ca_key: The key of the configuration that names `ca_file`.
        proxies: Proxies by scheme, and exempt hosts as `no`, as `urllib.request.getproxies_environment` returns them.
        variables: The environment, of which OpenSSL reads some.

    Raises:
        ConfigurationError: What is to be trusted can't be used, or the proxy is not an HTTP proxy.
    """

    def __init__(
        self,
        *,
        ca_file: Path | None,
        ca_key: str = "google.ca_file",
        limits: Limits | None = None,
        proxies: Mapping[str, str] | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self._limits = limits or Limits()
        self._explain_trust = partial(explain_tls, ca_file=ca_file, ca_key=ca_key, variables=variables or {})
        self._proxies = dict(proxies or {})
        trust = load_trust(ca_file, ca_key, variables or {})
        trust.sslsocket_class = _WatchedSocket
        options: dict[str, Any] = {
            "num_pools": 16,
            "maxsize": 32,
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
        self._direct.pool_classes_by_scheme = self._proxied.pool_classes_by_scheme = _POOLS

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Response:
        """Make one call and return its answer, whatever the status; too large a one is a `TransportError` too."""
        host = urlsplit(url).netloc.rpartition("@")[2]
        pool = self._proxied if is_proxied(url, self._proxies) else self._direct
        deadline, response, reason, remedy, entry = Deadline(self._limits.call), None, "", "", "silent"
        try:
            with deadline:
                answer = pool.request(
                    method, url, body=body, headers=dict(headers or {}), redirect=False, preload_content=False
                )
                lowered = {name.lower(): value for name, value in answer.headers.items()}
                response = Response(status=answer.status, headers=lowered, body=_read(answer, host))
        except (exceptions.HTTPError, OSError, ValueError) as error:
            reason = _explain(error)
            if isinstance(error, exceptions.ProxyError):
                proxy = urlsplit(parse_proxy(self._proxies["https"])[0]).netloc
                remedy = (
                    f"set HTTPS_PROXY to a proxy that runs and allows {host}: {proxy} does not; or unset it; or add "
                    f"the host to NO_PROXY"
                )
                if (refused := _TUNNEL.search(str(error.original_error))) is not None:
                    reason, remedy = _explain_proxy(refused[1], proxy, host)
                reason += f" ({proxy})"
            elif isinstance(error, exceptions.SSLError):
                reason, remedy, entry = *self._explain_trust(error, host), "certificate"
        if deadline.has_passed:
            reason, remedy = f"no complete response within {format_seconds(self._limits.call)}", ""
            entry = "silent"
        if response is None or reason:
            # no cause: its text may quote a header or the answer
            raise TransportError(f"{host} did not answer: {reason}", remedy, entry) from None
        return response


def _explain_proxy(status: str, proxy: str, host: str) -> tuple[str, str]:
    """Return reason and remedy of a proxy that answered our CONNECT with a status other than success."""
    if status == "407":
        login = f"set HTTPS_PROXY to http://USER:PASSWORD@{proxy} with a login that the proxy accepts"
        return (
            f"the proxy of HTTPS_PROXY demands a login (HTTP {status})",
            f"{login}, or allow this machine without one",
        )
    remedy = f"allow {host} in the proxy {proxy}, set HTTPS_PROXY to another one, or add the host to NO_PROXY"
    return f"the proxy of HTTPS_PROXY does not connect us (HTTP {status})", remedy


def is_proxied(url: str, proxies: Mapping[str, str]) -> bool:
    """Return whether a URL is called through the proxy for https; this machine never is."""
    parts = urlsplit(url)
    if "https" not in proxies or parts.scheme != "https" or _LOOPBACK.fullmatch(parts.hostname or ""):
        return False
    from urllib.request import proxy_bypass  # noqa: PLC0415 - 0.4 MiB that nothing needs without a proxy

    return not proxy_bypass(parts.netloc.rpartition("@")[2], proxies)


def parse_proxy(text: str) -> tuple[str, str | None]:
    """Return an HTTP proxy's URL without credentials, and these as `USER:PASSWORD`; messages show neither."""
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ConfigurationError("HTTPS_PROXY is not a URL", _PROXY_REMEDY) from None
    is_usable = bool(port != 0 and _PROXY_HOST.fullmatch(host))
    if is_usable and port and parts.scheme not in {"http", "https"}:
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        remedy = f"set it to http://{place} if an HTTP proxy answers there, or unset it"
        raise ConfigurationError(f"HTTPS_PROXY does not name an HTTP proxy ({place})", remedy)
    if not is_usable or parts.scheme not in {"http", "https"}:
        raise ConfigurationError("HTTPS_PROXY does not name an HTTP proxy", _PROXY_REMEDY)
    host = f"[{host}]" if ":" in host else host
    credentials = None if parts.username is None else f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return f"{parts.scheme}://{host}" + ("" if port is None else f":{port}"), credentials


def _read(answer: urllib3.BaseHTTPResponse, host: str) -> bytes:
    content = bytearray()
    try:
        for chunk in answer.stream(64 * 1024, decode_content=False):
            content += chunk
            if len(content) > LARGEST_ANSWER:
                # handled as every other failure
                raise TransportError(f"{host} answered with more than {LARGEST_ANSWER} bytes")  # noqa: TRY301
    except BaseException:
        answer.close()
        raise
    finally:
        answer.release_conn()
    return bytes(content)


def _explain(error: Exception) -> str:
    found = next((reason for kind, reason in _REASONS if isinstance(error, kind)), None)
    return found or f"the call is impossible ({type(error).__name__})"
