from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from refresher.errors import ConfigurationError
from refresher.google.proxy import proxy_of
from refresher.google.transport import Limits, PooledTransport, TransportError
from tests.line_server import read_request

if TYPE_CHECKING:
    import socket
    import threading

    from tests.line_server import Serve

pytestmark = pytest.mark.slow  # a proxy that hangs, until a deadline
STS = "https://sts.googleapis.com/v1/token"


@pytest.mark.parametrize(
    ("environment", "url", "is_proxied"),
    [
        ({"HTTPS_PROXY": "http://p:1"}, STS, True),
        ({"https_proxy": "p:1"}, STS, True),
        ({"HTTP_PROXY": "http://p:1"}, STS, False),
        ({"HTTPS_PROXY": ""}, STS, False),
        ({}, STS, False),
        ({"HTTPS_PROXY": "http://p:1"}, "http://169.254.169.254/x", False),
        ({"HTTPS_PROXY": "http://p:1"}, "https://localhost:8443/x", False),
        ({"HTTPS_PROXY": "http://p:1"}, "https://127.0.0.1/x", False),
        ({"HTTPS_PROXY": "http://p:1"}, "https://[::1]:8443/x", False),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "example.com, .googleapis.com"}, STS, False),
        ({"HTTPS_PROXY": "http://p:1", "no_proxy": "*"}, STS, False),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "sts.googleapis.com:444"}, STS, True),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "cloud.example"}, "https://api.cloud.example:6443/", False),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "apis.com"}, STS, True),
    ],
)
def test_which_calls_are_proxied(environment: dict[str, str], url: str, *, is_proxied: bool) -> None:
    """Calls over https to other machines use the proxy, except calls to the hosts of NO_PROXY."""
    proxy = proxy_of(environment)

    assert (proxy is not None and proxy.serves(url)) is is_proxied


@pytest.mark.parametrize(
    ("text", "url", "credentials"),
    [
        ("http://proxy.example:3128", "http://proxy.example:3128", None),
        ("https://proxy.example/", "https://proxy.example", None),
        ("proxy.example:3128", "http://proxy.example:3128", None),
        ("http://me:p%40ss@10.0.0.1:3128", "http://10.0.0.1:3128", "me:p@ss"),
        ("http://me@[fd00::1]:3128", "http://[fd00::1]:3128", "me:"),
    ],
)
def test_proxy_is_read(text: str, url: str, credentials: str | None) -> None:
    """A proxy can have a scheme or not, and our credentials, which no repr shows."""
    proxy = proxy_of({"HTTPS_PROXY": text})

    assert proxy is not None
    assert (proxy.url, proxy.credentials) == (url, credentials)
    assert "p@ss" not in repr(proxy)


@pytest.mark.parametrize(
    "text", ["socks5://me:opensesame@p:1", "http://", "http://me:opensesame@p:port", "http://[p:1"]
)
def test_what_is_no_proxy_is_refused(text: str) -> None:
    """An invalid proxy is refused without being quoted."""
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY") as caught:
        proxy_of({"HTTPS_PROXY": text})

    assert "opensesame" not in f"{caught.value.problem} {caught.value.remedy}"


def test_proxy_is_told_who_we_are(serve: Serve) -> None:
    """The proxy gets its user name and password before anything else; the call ends when it refuses."""
    seen: list[bytes] = []

    def treat(connection: socket.socket, _ended: threading.Event) -> None:
        seen.append(read_request(connection))
        connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

    proxy = proxy_of({"HTTPS_PROXY": serve(treat).origin.replace("//", "//me:opensesame@")})
    transport = PooledTransport(ca_file=None, proxy=proxy)

    with pytest.raises(TransportError, match="the proxy of HTTPS_PROXY") as caught:
        transport.request("GET", STS)

    assert seen[0].startswith(b"CONNECT sts.googleapis.com:443 HTTP/1.")
    assert b"bWU6b3BlbnNlc2FtZQ==" in seen[0]
    assert "opensesame" not in str(caught.value)


def test_proxy_that_is_silent_is_not_waited_for(serve: Serve) -> None:
    """The deadline of a call includes the time of the proxy."""

    def treat(connection: socket.socket, ended: threading.Event) -> None:
        read_request(connection)
        while not ended.wait(0.05):
            connection.sendall(b"H")

    proxy = proxy_of({"HTTPS_PROXY": serve(treat).origin})
    transport = PooledTransport(ca_file=None, proxy=proxy, limits=Limits(connect=0.5, read=0.5, call=1.0))

    with pytest.raises(TransportError, match="it was not done after 1 s"):
        transport.request("GET", STS)
