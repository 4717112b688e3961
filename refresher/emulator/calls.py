"""A request and an answer as the services' rules see them: no sockets, no framework."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from refresher.emulator.errors import api_refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from refresher.emulator.cloud import Cloud


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request.

    Attributes:
        method: The HTTP method, upper case.
        path: Percent-decoded.
        query: The query's fields; the last one of a name counts.
        headers: By lower-case name.
        body: All bytes.
        facts: What a service notes for the journal.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    facts: dict[str, str] = field(default_factory=dict)

    def json(self) -> dict[str, Any]:
        """Give the body as a JSON object; an empty body is an empty object.

        Raises:
            Refusal: It is not one.
        """
        try:
            document = json.loads(self.body or b"{}")
        except (ValueError, RecursionError):
            raise api_refusal("bad_body") from None
        if not isinstance(document, dict):
            raise api_refusal("bad_body")
        return document

    def form(self) -> dict[str, str]:
        """Give the body as a form, blank values kept."""
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))

    def bearer_token(self) -> str | None:
        """Give the token of the Authorization header."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer: a JSON document, or text.

    Attributes:
        document: Sent as JSON; None if `text` is sent.
        text: Sent as it is.
        status: The HTTP status.
        headers: Beyond content type and length.
    """

    document: Any = None
    text: str | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


if TYPE_CHECKING:
    Rule = Callable[[Cloud, Call, Mapping[str, str]], Reply]
