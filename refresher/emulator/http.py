"""An HTTP call and its reply as the services' rules see them: no sockets, no framework."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from refresher.emulator.cloud import Cloud
from refresher.emulator.errors import Refusal, api_refusal
from refresher.emulator.faults import Fault
from refresher.emulator.mapping import Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request.

    Attributes:
        method: The HTTP method, upper case.
        path: Percent-decoded segment by segment; an encoded slash is `ENCODED_SLASH`.
        query: The query's fields; the last one of a name counts.
        queries: All fields of the query, in order.
        scheme: `http` or `https`.
        headers: By lower-case name.
        body: All bytes.
        facts: What a service notes for the journal and the audit log.
        faults: The fault for this request, once the queue was read; empty before.
        keys_discovered: Whether discovery was tried already: a key that is still unknown then is not available.
        identity: What another process mapped the claims of the subject token to; None before that.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    queries: tuple[tuple[str, str], ...] = ()
    scheme: str = "http"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    facts: dict[str, str] = field(default_factory=dict)
    faults: list[Fault | None] = field(default_factory=list)
    keys_discovered: bool = False
    identity: Identity | Refusal | None = None

    @property
    def is_repeated(self) -> bool:
        """Whether this is a second run, after a first one that needed keys or an identity from elsewhere."""
        return self.keys_discovered or self.identity is not None

    def json(self) -> dict[str, Any]:
        """Return the body as a JSON object; an empty body is an empty object.

        Raises:
            Refusal: It is not a JSON object.
        """
        try:
            return parse_json_object(self.body or b"{}")
        except ValueError:
            raise api_refusal("bad_body") from None

    def form(self) -> dict[str, str]:
        """Return the body as a form; fields without a value are empty texts."""
        try:
            return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))
        except ValueError:  # more fields than any real client sends
            raise api_refusal("bad_body") from None

    def bearer_token(self) -> str | None:
        """Return the token of the Authorization header; None without one."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else None


ENCODED_SLASH = "\x1f"
"""Replaces `%2F` in a path, so that patterns can distinguish it from a slash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer: a JSON document, a text, or bytes.

    Attributes:
        document: Sent as JSON; None if something else is sent.
        text: Sent as it is, in UTF-8.
        content: Sent as it is.
        status: The HTTP status.
        headers: Additional headers; content type and length are always set.
        fault: The failure to apply while it is sent.
    """

    document: Any = None
    text: str | None = None
    content: bytes | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: Fault | None = None


Rule = Callable[[Cloud, Call, Mapping[str, str]], Reply]


@dataclass(frozen=True, slots=True)
class Route:
    """The rule for a kind of request.

    Attributes:
        operation: Its name for faults, quotas and the audit log, such as `sts.token`.
        method: The HTTP method.
        pattern: The path; `{name}` is one segment without a colon, `{name*}` one segment, `{name**}` any number of
            them. `{project}` and `{parent}` may contain the colon of a project's id.
        rule: The function that answers.
        changes: Whether it changes the state, so that the state must be saved.
    """

    operation: str
    method: str
    pattern: str
    rule: Rule
    changes: bool = False


def parse_json_object(content: bytes) -> dict[str, Any]:
    """Parse a JSON object.

    Raises:
        ValueError: It is not a JSON object, is nested too deeply, or has lone surrogates, which are not text (RFC 8259,
            section 8.2).
    """
    try:
        document = json.loads(content, parse_constant=_no_json)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    if not isinstance(document, dict):
        raise ValueError("the JSON is not an object")  # noqa: TRY004 - bad content, whatever its type
    if b"\\u" in content:
        json.dumps(document, ensure_ascii=False).encode()
    return document


def read_text(document: Mapping[str, Any], name: str, default: str = "") -> str:
    """Return a text field of a JSON document.

    Raises:
        Refusal: The field is not a text.
    """
    value = document.get(name)
    if value is None:
        return default
    if not isinstance(value, str):
        raise api_refusal("bad_field", field=name)
    return value


def read_object(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an object field of a JSON document; an empty object if it is absent.

    Raises:
        Refusal: The field is not an object.
    """
    value = document.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise api_refusal("bad_field", field=name)
    return value


def read_list(document: Mapping[str, Any], name: str) -> list[Any]:
    """Return a list field of a JSON document; an empty list if it is absent.

    Raises:
        Refusal: The field is not a list.
    """
    value = document.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise api_refusal("bad_field", field=name)
    return value


def read_texts(document: Mapping[str, Any], name: str) -> list[str]:
    """Return a field of a JSON document that is a list of texts; an empty list if it is absent.

    Raises:
        Refusal: The field is not a list of texts.
    """
    values = read_list(document, name)
    if not all(isinstance(value, str) for value in values):
        raise api_refusal("bad_field", field=name)
    return values


def read_flag(document: Mapping[str, Any], name: str) -> bool:
    """Return a boolean field of a JSON document; False if it is absent.

    Raises:
        Refusal: The field is not a boolean.
    """
    value = document.get(name)
    if value is not None and not isinstance(value, bool):
        raise api_refusal("bad_field", field=name)
    return bool(value)


def _no_json(_: str) -> NoReturn:
    raise ValueError("NaN and infinities are not JSON")
