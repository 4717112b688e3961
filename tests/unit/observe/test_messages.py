import pytest

from refresher.observe.messages import Head, Request, Response, encode, parse_head

HEADS: dict[str, tuple[bytes, int]] = {
    "plain": (b"GET / HTTP/1.1\r\nHost: localhost", 200),
    "no host": (b"GET / HTTP/1.0", 200),
    "any name on a socket": (b"GET / HTTP/1.1\r\nHost: refresher", 200),
    "address": (b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8099", 200),
    "address of version 6": (b"GET / HTTP/1.1\r\nHost: [::1]:8099", 200),
    "its own name": (b"GET / HTTP/1.1\r\nhost:  Worker.Example.COM:8099 ", 200),
    "head": (b"HEAD /livez HTTP/1.1\nHost: x", 200),
    "another site": (b"GET / HTTP/1.1\r\nHost: evil.example", 421),
    "another site that begins like an address": (b"GET / HTTP/1.1\r\nHost: 127.0.0.1.evil.example", 421),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b", 421),
    "post": (b"POST / HTTP/1.1\r\nHost: x", 405),
    "connect": (b"CONNECT /x HTTP/1.1\r\nHost: x", 405),
    "absolute": (b"GET http://x/ HTTP/1.1\r\nHost: x", 400),
    "no path": (b"GET  HTTP/1.1", 400),
    "two spaces": (b"GET / x HTTP/1.1", 400),
    "lower case": (b"get / HTTP/1.1", 400),
    "version 2": (b"PRI * HTTP/2.0", 400),
    "version 0.9": (b"GET /", 400),
    "empty": (b"", 400),
    "binary": (b"\x16\x03\x01\x02\x00\x01\x00", 400),
    "byte beyond ASCII": (b"GET /\xff HTTP/1.1", 400),
    "null": (b"GET /\0 HTTP/1.1", 400),
    "path too long": (b"GET /" + b"a" * 5000 + b" HTTP/1.1", 400),
    "many fields": (b"GET /?" + b"a=b&" * 40 + b" HTTP/1.1", 400),
}


@pytest.mark.parametrize(("head", "status"), HEADS.values(), ids=list(HEADS))
def test_head_is_understood_or_refused(head: bytes, status: int) -> None:
    """What probes, scrapers and browsers send is understood; anything else is refused with its own status."""
    parsed = parse_head(head, "worker.example.com")

    assert (parsed.status if isinstance(parsed, Response) else 200) == status


@pytest.mark.parametrize(
    ("target", "request_"),
    [
        ("/", Request("/")),
        ("/readyz/a?artifact=boto&exchange", Request("/readyz/a", (("artifact", "boto"), ("exchange", "")))),
        ("/?q=a%20b+c&page=2", Request("/", (("q", "a b c"), ("page", "2")))),
        ("/%72eadyz", Request("/readyz")),
        ("/readyz?x=1", Request("/readyz")),
        ("/status.json?x=1&targets=no", Request("/status.json", (("targets", "no"),))),
        ("/%ff", Request("/\ufffd")),
    ],
)
def test_target_is_decoded(target: str, request_: Request) -> None:
    """The path is decoded, and the query is read in its order."""
    assert parse_head(f"GET {target} HTTP/1.1".encode()) == Head(is_head=False, request=request_)


def test_response_closes_and_is_not_kept() -> None:
    """Every response has its length, ends the connection, and is neither stored nor guessed at by browsers."""
    lines = encode(Response(503, b"abc", headers=(("X-Extra", "1"),))).decode().split("\r\n")

    assert lines[0] == "HTTP/1.1 503 Service Unavailable"
    assert {
        "Content-Length: 3",
        "Connection: close",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
    } < set(lines)
    assert lines[-3:] == ["X-Extra: 1", "", ""]
