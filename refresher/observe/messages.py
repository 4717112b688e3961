"""Requests and responses of HTTP/1.1 (RFC 9112), as much as probes, scrapers and browsers need: pure functions."""

import re
from contextlib import suppress
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

_MOST_FIELDS = 16
_FIELDS = {
    "/": ("q", "state", "page"),
    "/status.json": ("targets",),
    "/readyz/": ("artifact", "exchange"),
}
"""The fields that a path takes; requests that differ in nothing else share an answer."""

_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    421: "Misdirected Request",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
_REQUEST_LINE = re.compile(rb"([A-Z]{1,16}) (/[!-~]{0,4095}) HTTP/1\.[0-9]")


class Response(NamedTuple):
    """What is answered: a status of HTTP, a body, and its headers."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


class Request(NamedTuple):
    """What is asked for.

    Attributes:
        path: Decoded.
        query: Fields in their order; without a value it is empty.
    """

    path: str
    query: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, target: str) -> "Request":
        """Return what the target of a request line asks for, without the fields that its path does not take.

        Raises:
            ValueError: It has too many fields.
        """
        encoded, _, query = target.partition("?")
        fields = parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        path = unquote(encoded)
        known = _FIELDS.get("/readyz/" if path.startswith("/readyz/") else path, ())
        return cls(path, tuple(each for each in fields if each[0] in known))

    @property
    def target(self) -> str | None:
        """The target that `/readyz/TARGET` is asked for."""
        return self.path.removeprefix("/readyz/") if self.path.startswith("/readyz/") else None


class Head(NamedTuple):
    """The head of a request that was understood."""

    is_head: bool
    request: Request


def parse_head(head: bytes, own_host: str | None = None) -> Head | Response:
    """Return what the head of a request asks for, or the refusal of one that can't be answered.

    A name in `Host` that another site's owner could point at this machine is refused: a browser would let that site
    read the answers (DNS rebinding). Addresses, `localhost`, names without a dot and `own_host` can't be such.
    """
    first, *lines = head.replace(b"\r\n", b"\n").split(b"\n")
    matched = _REQUEST_LINE.fullmatch(first)
    if matched is None:
        return Response(400, b"this is not a request of HTTP/1.1\n")
    method, target = matched[1], matched[2].decode("ascii")
    hosts = [line[len(b"host:") :].strip() for line in lines if line.lower().startswith(b"host:")]
    if len(hosts) > 1 or not all(_is_own(host.decode("latin-1"), own_host) for host in hosts):
        return Response(421, b"ask with the address of this machine, or localhost, as the host\n")
    if method not in (b"GET", b"HEAD"):
        return Response(405, b"use GET\n", headers=(("Allow", "GET, HEAD"),))
    try:
        return Head(method == b"HEAD", Request.parse(target))
    except ValueError:
        return Response(400, b"there are too many fields in the query\n")


def _is_own(host: str, own_host: str | None) -> bool:
    name = re.sub(r":[0-9]{0,5}$", "", host).lower()
    if "." not in name.strip("[]") or name.endswith(".localhost") or name == own_host:
        return True
    with suppress(ValueError):
        ip_address(name.strip("[]"))
        return True
    return False


def encode(response: Response) -> bytes:
    """Return the head of a response."""
    fields = (
        ("Content-Type", response.content_type),
        ("Content-Length", str(len(response.body))),
        ("Connection", "close"),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        *response.headers,
    )
    lines = [f"HTTP/1.1 {response.status} {_REASONS[response.status]}", *(f"{name}: {value}" for name, value in fields)]
    return "\r\n".join([*lines, "", ""]).encode("ascii")
