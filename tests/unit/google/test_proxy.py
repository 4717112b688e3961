from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.request import getproxies_environment

import pytest

from refresher.errors import ConfigurationError
from refresher.google.call import TransportError
from refresher.google.transport import Limits, PooledTransport, is_proxied, parse_proxy
from tests.line_server import read_request

if TYPE_CHECKING:
    import socket
    import threading

    from tests.line_server import Serve

pytestmark = pytest.mark.slow  # a proxy that hangs, until a deadline
STS = "https://sts.googleapis.com/v1/token"


@pytest.mark.parametrize(
    ("environment", "url", "expected"),
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
def test_calls_to_other_machines_are_proxied(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str, *, expected: bool
) -> None:
    """Calls over https to other machines go through the proxy, except to hosts of NO_PROXY."""
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert is_proxied(url, getproxies_environment()) is expected


@pytest.mark.parametrize(
    ("text", "url", "credentials"),
    [
        ("http://egress.example:3128", "http://egress.example:3128", None),
        ("https://egress.example/", "https://egress.example", None),
        ("egress.example:3128", "http://egress.example:3128", None),
        ("http://me:p%40ss@10.0.0.1:3128", "http://10.0.0.1:3128", "me:p@ss"),
        ("http://me@[fd00::1]:3128", "http://[fd00::1]:3128", "me:"),
    ],
)
def test_proxy_is_parsed(text: str, url: str, credentials: str | None) -> None:
    """A proxy may be written with or without its scheme, and with our name and password there."""
    assert parse_proxy(text) == (url, credentials)


@pytest.mark.parametrize(
    "text",
    [
        "socks5://me:opensesame@p:1",
        "http://",
        "http://me:opensesame@p:port",
        "http://[p:1",
        "http://me:opensesame@a b:1",
        "\x00",
        "%%%",
        "!",
        "p:0",
        "http://p:99999",
    ],
)
def test_other_text_is_refused(text: str) -> None:
    """A text that cannot be a proxy is refused without being repeated."""
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY") as caught:
        PooledTransport(ca_file=None, proxies={"https": text})

    assert "opensesame" not in f"{caught.value.problem} {caught.value.remedy}"


@pytest.mark.parametrize(
    ("text", "place"),
    [("socks5://me:opensesame@proxy.example:1080", "proxy.example:1080"), ("ftp://[::1]:9", "[::1]:9")],
)
def test_proxy_of_another_kind_is_refused_with_its_place(text: str, place: str) -> None:
    """Where host and port are known, the remedy has them, and no password."""
    with pytest.raises(ConfigurationError) as caught:
        parse_proxy(text)

    assert caught.value.remedy == f"set it to http://{place} if an HTTP proxy answers there, or unset it"
    assert "opensesame" not in caught.value.problem


@pytest.mark.parametrize(
    ("status", "reason", "remedy"),
    [
        ("407 Proxy Authentication Required", "the proxy of HTTPS_PROXY demands a login (HTTP 407)", "http://USER:"),
        ("403 Forbidden", "the proxy of HTTPS_PROXY does not connect us (HTTP 403)", "allow sts.googleapis.com in"),
    ],
)
def test_refusal_of_a_proxy_has_its_status(serve: Serve, status: str, reason: str, remedy: str) -> None:
    """A proxy that answers is reached: its status is in the problem, and the remedy fits it."""

    def treat(connection: socket.socket, _ended: threading.Event) -> None:
        read_request(connection)
        connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())

    transport = PooledTransport(ca_file=None, proxies={"https": serve(treat).origin})

    with pytest.raises(TransportError) as caught:
        transport.request("GET", STS)

    assert reason in str(caught.value)
    assert remedy in caught.value.remedy


def test_proxy_gets_our_credentials(serve: Serve) -> None:
    """The proxy gets the name and password meant for it, before anything else; the call ends when it refuses."""
    seen: list[bytes] = []

    def treat(connection: socket.socket, _ended: threading.Event) -> None:
        seen.append(read_request(connection))
        connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

    proxies = {"https": serve(treat).origin.replace("//", "//me:opensesame@")}
    transport = PooledTransport(ca_file=None, proxies=proxies)

    with pytest.raises(TransportError, match="the proxy of HTTPS_PROXY") as caught:
        transport.request("GET", STS)

    assert seen[0].startswith(b"CONNECT sts.googleapis.com:443 HTTP/1.")
    assert b"bWU6b3BlbnNlc2FtZQ==" in seen[0]
    assert "opensesame" not in str(caught.value)


@pytest.mark.parametrize("proxy", ["127.0.0.1:1", "nowhere.invalid:3128"], ids=["dead", "unknown"])
def test_proxy_that_cannot_be_reached_is_named_first(proxy: str) -> None:
    """The remedy begins with HTTPS_PROXY and shows its host, and no password."""
    transport = PooledTransport(ca_file=None, proxies={"https": f"http://me:opensesame@{proxy}"})

    with pytest.raises(TransportError) as caught:
        transport.request("GET", STS)

    assert caught.value.remedy.startswith("set HTTPS_PROXY to a proxy that runs and allows sts.googleapis.com: ")
    assert f": {proxy} does not" in caught.value.remedy
    assert "opensesame" not in f"{caught.value} {caught.value.remedy}"


def test_proxy_that_is_silent_is_not_waited_for(serve: Serve) -> None:
    """The deadline of a call includes the time of the proxy."""

    def treat(connection: socket.socket, ended: threading.Event) -> None:
        read_request(connection)
        while not ended.wait(0.05):
            connection.sendall(b"H")

    limits = Limits(connect=0.5, read=0.5, call=1.0)
    transport = PooledTransport(ca_file=None, proxies={"https": serve(treat).origin}, limits=limits)

    with pytest.raises(TransportError, match="no complete response within 1 s"):
        transport.request("GET", STS)
