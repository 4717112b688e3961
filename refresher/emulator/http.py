"""A request and an answer as the services' rules see them: no sockets, no framework."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import parse_qsl

from refresher.emulator.errors import api_refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from refresher.emulator.cloud import Cloud
    from refresher.emulator.errors import Refusal
    from refresher.emulator.faults import Fault
    from refresher.emulator.mapping import Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request.

    Attributes:
        method: The HTTP method, upper case.
        path: Percent-decoded segment by segment; a slash that was encoded is `ENCODED_SLASH`.
        query: The query's fields; the last one of a name counts.
        queries: All of them, in order.
        scheme: `http` or `https`.
        headers: By lower-case name.
        body: All bytes.
        facts: What a service notes for the journal and the audit log.
        faults: The fault that was taken for it, once it was looked for.
        keys_at_hand: Whether discovery was tried already, so that what is not known now is not to be had.
        identity: What the claims of its subject token were mapped to elsewhere; None if they were not.
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
    keys_at_hand: bool = False
    identity: Identity | Refusal | None = None

    @property
    def is_again(self) -> bool:
        """Whether it was made before, and had to wait for an answer from elsewhere."""
        return self.keys_at_hand or self.identity is not None

    def json(self) -> dict[str, Any]:
        """Give the body as a JSON object; an empty body is an empty object.

        Raises:
            Refusal: It is not one.
        """
        try:
            return parse_json_object(self.body or b"{}")
        except ValueError:
            raise api_refusal("bad_body") from None

    def form(self) -> dict[str, str]:
        """Give the body as a form, blank values kept."""
        try:
            return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))
        except ValueError:  # more fields than anybody sends
            raise api_refusal("bad_body") from None

    def bearer_token(self) -> str | None:
        """Give the token of the Authorization header."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else None


ENCODED_SLASH = "\x1f"
"""Stands for `%2F` in a path, so that patterns tell it from a slash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer: a JSON document, a text, or bytes.

    Attributes:
        document: Sent as JSON; None if something else is sent.
        text: Sent as it is, in UTF-8.
        content: Sent as it is.
        status: The HTTP status.
        headers: Beyond content type and length.
        fault: What is to go wrong while it is sent.
    """

    document: Any = None
    text: str | None = None
    content: bytes | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """Which rule answers which requests.

    Attributes:
        operation: Its name for faults, quotas and the audit log, such as `sts.token`.
        method: The HTTP method.
        pattern: The path; `{name}` is one segment, `{name**}` any number of them.
        rule: What answers.
        changes: Whether it changes what exists, so that it is to be kept.
    """

    operation: str
    method: str
    pattern: str
    rule: Rule
    changes: bool = False


def parse_json_object(content: bytes) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ValueError: It is none, is nested too deeply, or has lone surrogates, which are no text (RFC 8259, section 8.2).
    """
    try:
        document = json.loads(content, parse_constant=_no_json)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    if not isinstance(document, dict):
        raise ValueError("the JSON is no object")  # noqa: TRY004 - bad content, whatever its type
    if b"\\u" in content:
        json.dumps(document, ensure_ascii=False).encode()
    return document


def read_text(document: Mapping[str, Any], name: str, default: str = "") -> str:
    """Give a text of a JSON document.

    Raises:
        Refusal: It is there and is no text.
    """
    value = document.get(name)
    if value is None:
        return default
    if not isinstance(value, str):
        raise api_refusal("bad_field", field=name)
    return value


def read_object(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Give an object of a JSON document, an empty one if it is absent.

    Raises:
        Refusal: It is there and is no object.
    """
    value = document.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise api_refusal("bad_field", field=name)
    return value


def read_list(document: Mapping[str, Any], name: str) -> list[Any]:
    """Give a list of a JSON document, an empty one if it is absent.

    Raises:
        Refusal: It is there and is no list.
    """
    value = document.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise api_refusal("bad_field", field=name)
    return value


def read_texts(document: Mapping[str, Any], name: str) -> list[str]:
    """Give a list of texts of a JSON document.

    Raises:
        Refusal: It is something else.
    """
    values = read_list(document, name)
    if not all(isinstance(value, str) for value in values):
        raise api_refusal("bad_field", field=name)
    return values


def read_flag(document: Mapping[str, Any], name: str) -> bool:
    """Give a boolean of a JSON document, False if it is absent.

    Raises:
        Refusal: It is something else.
    """
    value = document.get(name)
    if value is not None and not isinstance(value, bool):
        raise api_refusal("bad_field", field=name)
    return bool(value)


def _no_json(_: str) -> NoReturn:
    raise ValueError("NaN and infinities are no JSON")


if TYPE_CHECKING:
    Rule = Callable[[Cloud, Call, Mapping[str, str]], Reply]
