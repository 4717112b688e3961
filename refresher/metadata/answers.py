"""What a metadata endpoint answers: a request and the facts of one target in, a response out; pure functions.

It answers as the metadata server of a Compute Engine machine with the target's service account does
(https://docs.cloud.google.com/compute/docs/metadata/overview), and refuses more than that server: other hosts, other
methods, requests that a proxy forwarded. Nothing of the machine is served, and nothing is asked of its real metadata
server. What passes is 503 and never 4xx: some clients give up for good after a 4xx. Waiting for tokens, and whose
request it is, is decided in `refresher.metadata.endpoint`.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from urllib.parse import parse_qsl

from refresher.metadata.plan import Facts
from refresher.tokens import AccessToken

LONGEST_AUDIENCE = 2048
GCLOUD_AUDIENCE = "32555940559.apps.googleusercontent.com"
"""gcloud asks for an ID token of its own with each refresh. It ignores a 404 and fails at any other error."""

_HOSTS = frozenset(
    ["127.0.0.1", "169.254.169.254", "metadata", "metadata.google.internal", "metadata.google.internal."]
)
_HOST = re.compile(r"([a-z0-9.-]{1,64})(?::[0-9]{1,5})?", re.ASCII | re.IGNORECASE)
_PATH = re.compile(r"/[A-Za-z0-9._~@+-][A-Za-z0-9._~@+/-]*|/", re.ASCII)
"""A path as clients write it. Nothing is decoded: no name below the root needs it."""
_FORWARDED = ("x-forwarded-for", "forwarded", "via")
_ABSENT = "there is no such entry"
_MOST_FIELDS = 32
_JSON, _LEAF, _TEXT = "application/json", "application/text", "text/plain; charset=utf-8"
_BOUND = frozenset(["mtls", "alts"])


class Request(NamedTuple):
    """What is asked: the method, the target of the request line, and the headers with names in lower case."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]]


class Response(NamedTuple):
    """What is answered; `is_last` asks for the end of the connection."""

    status: int
    body: bytes
    content_type: str = _TEXT
    is_last: bool = False


class AccessTokenWanted(NamedTuple):
    """The request is for an access token, and none can be served now."""


class IdTokenWanted(NamedTuple):
    """The request is for an ID token of an audience."""

    audience: str


Answer = Response | AccessTokenWanted | IdTokenWanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What an endpoint serves from: replaced as a whole, never changed.

    Attributes:
        token: The access token; None before the first.
        problem: Why the last attempt to mint one failed; None if it did not. No secret.
    """

    facts: Facts
    token: AccessToken | None = field(default=None, repr=False)
    problem: str | None = None


class _RefusalError(Exception):
    """Ends the work on a request with this response."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.response = refuse(status, text)


def answer(request: Request, snapshot: Snapshot, now: datetime) -> Answer:
    """Return the response to a request, or which token has to be obtained first."""
    try:
        return _answer(request, _check(request), snapshot, now)
    except _RefusalError as refusal:
        return refusal.response


def _answer(request: Request, flavor: str | None, snapshot: Snapshot, now: datetime) -> Answer:
    path, _, query = request.target.partition("?")
    if _PATH.fullmatch(path) is None or "//" in path or "/." in path:
        raise _RefusalError(404, _ABSENT)
    if path == "/":  # by which clients find out where they are; Go asks without the header
        return Response(200, b"computeMetadata/\n", _LEAF)
    if flavor != "Google":
        raise _RefusalError(403 if flavor is None else 404, "the header Metadata-Flavor: Google is missing")
    entry, fields = _find_entry(path, snapshot.facts), _read_query(query)
    if entry is _TOKEN:
        if fields.get("transport") in _BOUND or "binding-enforcement" in fields:
            raise _RefusalError(400, "tokens that are bound to a connection are not available")
        return answer_access_token(snapshot.token, now) or AccessTokenWanted()
    if entry is _IDENTITY:
        return IdTokenWanted(_read_audience(fields))
    return _show(entry, fields, is_directory=path.endswith("/"))


def _check(request: Request) -> str | None:
    """Return the value of Metadata-Flavor, once all else about the headers was checked.

    Checks come in the order of what they protect from: other methods, forwarded requests, other hosts.
    """
    if request.method not in ("GET", "HEAD"):
        raise _RefusalError(405, "only GET and HEAD are answered")
    headers: dict[str, str] = {}
    for name, value in request.headers:
        if name in headers and name in ("host", "metadata-flavor"):
            raise _RefusalError(400, f"the header {name} is there twice")
        headers[name] = value
    if any(name in headers for name in _FORWARDED):
        raise _RefusalError(403, "requests that a proxy forwarded are refused")
    host = _HOST.fullmatch(headers.get("host", ""))
    if host is None or host[1].lower() not in _HOSTS:  # a name that an attacker's DNS points here
        raise _RefusalError(403, "this is not the host that was asked for")
    return headers.get("metadata-flavor")


def _find_entry(path: str, facts: Facts) -> object:
    entry: object = {"computeMetadata": {"v1": _build_tree(facts)}}
    for name in filter(None, path.split("/")):
        key = "universe-domain" if name == "universe_domain" else name
        if not isinstance(entry, dict) or key not in entry:
            raise _RefusalError(404, _ABSENT)
        entry = entry[key]
    return entry


def _read_query(query: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"))
    except ValueError:
        raise _RefusalError(400, "the query can't be read") from None


def answer_access_token(token: AccessToken | None, now: datetime) -> Response | None:
    """Return the document of an access token; None if it does not live for another second: 0 is kept for ever."""
    seconds = 0 if token is None else int((token.expires_at - now).total_seconds())
    if token is None or seconds < 1:
        return None
    return _reply_json({"access_token": token.value, "expires_in": seconds, "token_type": "Bearer"})


def answer_id_token(value: str) -> Response:
    """Return an ID token as the metadata server does: the bare JWT, without a newline."""
    return Response(200, value.encode(), "text/html")


def postpone(subject: str, problem: str | None) -> Response:
    """Return the response for a token that is not there yet; every client that tries again gets it later."""
    return refuse(503, f"{subject} is not available yet" + (f": {problem}" if problem else ""))


def refuse(status: int, text: str, *, is_last: bool = False) -> Response:
    """Return a refusal, with a text for a person."""
    return Response(status, f"{text}\n".encode(), is_last=is_last)


_TOKEN, _IDENTITY = object(), object()
"""Stand for the two tokens of an account, which no listing with `recursive` contains."""

_Tree = Mapping[str, object]


def _build_tree(facts: Facts) -> _Tree:
    account = {
        "aliases": ("default",),
        "email": facts.email,
        "identity": _IDENTITY,
        "scopes": facts.scopes,
        "token": _TOKEN,
    }
    project = {"project-id": facts.project} if facts.project is not None else {}
    return {
        "instance": {
            "attributes": {},
            "hostname": facts.name,
            "id": int.from_bytes(hashlib.sha256(facts.name.encode()).digest()[:8]) >> 1,
            "name": facts.name,
            "service-accounts": {"default": account, facts.email: account},
        },
        "project": {"attributes": {}, "numeric-project-id": int(facts.project_number), **project},
        "universe": {"universe-domain": facts.universe_domain},
    }


def _read_audience(fields: Mapping[str, str]) -> str:
    audience = fields.get("audience", "")
    if not audience:
        raise _RefusalError(400, "non-empty audience parameter required")
    if audience == GCLOUD_AUDIENCE:
        raise _RefusalError(404, "no ID token is issued for this audience")
    if len(audience) > LONGEST_AUDIENCE or not audience.isprintable():
        raise _RefusalError(400, f"the audience is not printable or has more than {LONGEST_AUDIENCE} characters")
    if fields.get("format", "standard") not in ("standard", "full"):
        raise _RefusalError(400, "format is neither standard nor full")
    return audience


def _show(entry: object, fields: Mapping[str, str], *, is_directory: bool) -> Response:
    """Return a directory, which both forms of its path name, or a value."""
    if isinstance(entry, dict):
        if fields.get("recursive", "").lower() in ("true", "1", "yes"):
            return _reply_json(_list_recursively(entry))
        names = (f"{name}/" if isinstance(inner, dict) else name for name, inner in sorted(entry.items()))
        return Response(200, "".join(f"{name}\n" for name in names).encode(), _LEAF)
    if is_directory:
        raise _RefusalError(404, _ABSENT)
    if fields.get("alt") == "json":
        return _reply_json(entry)
    lines = "".join(f"{each}\n" for each in entry) if isinstance(entry, tuple) else str(entry)
    return Response(200, lines.encode(), _LEAF)


def _list_recursively(entry: _Tree) -> dict[str, object]:
    """Return the document of a directory, its names in camel case but those of accounts, without tokens."""
    found: dict[str, object] = {}
    for name, inner in entry.items():
        if inner is _TOKEN or inner is _IDENTITY:
            continue
        first, *rest = name.split("-") if "@" not in name else [name]
        found[first + "".join(each.capitalize() for each in rest)] = (
            _list_recursively(inner) if isinstance(inner, dict) else inner
        )
    return found


def _reply_json(document: object) -> Response:
    return Response(200, json.dumps(document, separators=(",", ":")).encode(), _JSON)
