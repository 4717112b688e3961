"""The one way to call an HTTP API: the status checked, the answer parsed, every failure translated.

A `Call` holds what is sent and how its failures read. Requests and answers hold tokens, so that neither appears in a
message. Only the server's own words in an error answer are passed on, without what is or looks like a secret. How an
answer is bounded in size and time is decided in `refresher.google.transport`; nothing is repeated here, since when to
try again is decided in `refresher.policy`.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, Protocol, Self
from urllib.parse import urlencode, urlsplit

from refresher.catalogue import entries
from refresher.catalogue.entries import HTML_PAGE
from refresher.durations import format_span
from refresher.errors import RefresherError, SupplyError
from refresher.policy import CLOCK_SKEW
from refresher.resources import VERIFY_REMEDY
from refresher.text import redact
from refresher.tokens import AccessToken

_THROTTLED = (429, 503)
_HALF_SECOND = timedelta(seconds=0.5)
_SHORTEST_WAIT, _LONGEST_WAIT = timedelta(seconds=1), timedelta(minutes=5)
_LARGEST_TITLE = 4096
_LONGEST_LIFE = 24 * 3600
"""Seconds of an access token; Google's live an hour, by organization policy twelve."""


class TransportError(Exception):
    """There was no answer; the message names the host and the reason, `remedy` what alone can be wrong, if known.

    The `entry` is of `refresher.catalogue`.
    """

    def __init__(self, message: str, remedy: str = "", entry: str = "silent") -> None:
        super().__init__(message)
        self.remedy = remedy
        self.entry = entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An answer: its HTTP status, its headers by lower-case name, and all bytes, which may hold a token."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def retry_after(self) -> timedelta | None:
        """How long the server asks to wait (RFC 9110, section 10.2.3), at most five minutes; None if it does not.

        A 429 that names no number of seconds counts as one second.
        """
        named = re.fullmatch("[0-9]{1,9}", self.headers.get("retry-after", "")) if self.status in _THROTTLED else None
        if named is not None:
            return min(timedelta(seconds=int(named[0])), _LONGEST_WAIT)
        return _SHORTEST_WAIT if self.status == _THROTTLED[0] else None


class Transport(Protocol):
    """Makes HTTP calls; safe to use from several threads."""

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Response:
        """Make one call and return its answer, whatever the status; if none comes in time, raise a `TransportError`."""
        ...


class ClockFault(NamedTuple):
    """How this machine's clock differs from a server's: the entry of the catalogue for it, and the evidence."""

    entry: entries.Entry
    evidence: str

    @property
    def name(self) -> str:
        """The entry's name."""
        return self.entry.name

    @classmethod
    def of_lead(cls, lead: timedelta, server: str) -> Self:
        """Return the fault of a clock that is ahead of a server's by `lead`, or behind if that is negative."""
        name, way = ("clock-ahead", "ahead of") if lead > timedelta() else ("clock-behind", "behind")
        entry = entries.get_entry(name)
        if entry is None:
            raise LookupError(name)
        span = format_span(timedelta(seconds=round(abs(lead).total_seconds())))
        return cls(entry, f"this machine's clock is {span} {way} {server}, by its Date header")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Call:
    """One call, and how its failures read.

    Each method raises an error of the class `error`: the server refused, did not answer, or answered something else.

    Attributes:
        asked: What is asked for, and of whom; every problem begins with it.
        bearer: Access token to send; None for none.
        document: What is sent as JSON, instead of a `form`.
        secrets: What else is sent and must not come back.
        service: What of `refresher.catalogue` recognises its refusals: `google`, `kms`, or `other` for no Google API.
        accepted: The statuses of success.
        explain: Returns the remedy of a refusal from its status and the server's words; None looks it up in
            `refresher.catalogue`.
        reach: Remedy where there is no answer; None for a sentence with the URL's origin.
        verify: Remedy where another server seems to answer.
        sent_at: The wall clock's time, UTC; a refusal of a token's times then shows how the server's clock differs.
    """

    asked: str
    url: str
    method: str = "POST"
    error: type[RefresherError] = SupplyError
    headers: Mapping[str, str] = field(default_factory=dict)
    bearer: str | None = None
    form: Mapping[str, str] | None = None
    document: Mapping[str, Any] | None = None
    secrets: tuple[str, ...] = ()
    service: str = "google"
    accepted: tuple[int, ...] = (200,)
    explain: Callable[[int, str], str] | None = None
    reach: str | None = None
    verify: str = VERIFY_REMEDY
    sent_at: datetime | None = None

    def fetch(self, transport: Transport) -> Response:
        """Make the call and return its answer, whose status is one of `accepted`."""
        headers, body = self._compose()
        try:
            response = transport.request(self.method, self.url, headers=headers, body=body)
        except TransportError as error:
            raise self.fail(None, str(error), error.remedy, error.entry) from error
        if response.status not in self.accepted:
            raise self.fail(response)
        return response

    def fetch_document(self, transport: Transport) -> dict[str, Any]:
        """Make the call and return the JSON object of its answer."""
        return self.parse(self.fetch(transport))

    def parse(self, response: Response) -> dict[str, Any]:
        """Return the JSON object of an answer."""
        document = _parse_object(response)
        if document is None:
            raise self.reject("is not a JSON object")
        return document

    def fail(
        self, response: Response | None, reason: str = "", remedy: str = "", entry: str = "silent"
    ) -> RefresherError:
        """Return the failure that a refusal is, or that no answer is: for a reason, with its remedy if it has one."""
        if response is None:
            origin = "://".join(urlsplit(self.url)[:2])
            reach = f"make this machine reach {origin} (DNS, firewall, HTTPS_PROXY; or NO_PROXY for this host)"
            silent = self.error(f"{self.asked} failed: {reason}", remedy or self.reach or reach, retryable=True)
            silent.entry = entry
            return silent
        text = read_error_text(response, *self.secrets, self.bearer or "")
        name = entries.name_refusal(response.status, text, service=self.service)
        remedy, clock = (self.explain or entries.find_remedy)(response.status, text), None
        if name in entries.OF_TIMES and (clock := self.judge_clock(response)) is not None:
            name, remedy = clock.name, entries.compose_remedy(clock.entry, text)
        refused = self.error(
            f"{self.asked} {describe_status(response.status)}"
            + (f": {text}" if text else "")
            + (f" ({clock.evidence})" if clock else ""),
            remedy,
            retryable=is_retryable(response.status),
            retry_after=response.retry_after,
        )
        refused.entry = name
        refused.http_status = response.status
        return refused

    def judge_clock(self, response: Response) -> "ClockFault | None":
        """Return how this machine's clock differs from the server's; None if it does not, or that is unknown."""
        date = read_date(response)
        if self.sent_at is None or date is None:
            return None
        lead = self.sent_at - date
        if abs(lead) <= CLOCK_SKEW:
            return None
        return ClockFault.of_lead(lead, urlsplit(self.url).hostname or self.url)

    def reject(self, fault: str) -> RefresherError:
        """Return the failure that an answer of the wrong shape is; `fault` goes on from "the response"."""
        strange = self.error(f"{self.asked} failed: the response {fault}", self.verify, retryable=True)
        strange.entry = "response"
        return strange

    def read_text(self, document: Mapping[str, Any], key: str) -> str:
        """Return a text of an answer, which must not be empty."""
        found = document.get(key)
        if not isinstance(found, str) or not found:
            raise self.reject(f"has no `{key}`")
        return found

    def read_access_token(self, document: Mapping[str, Any], now: datetime) -> AccessToken:
        """Return the access token of a token endpoint's answer (RFC 6749, section 5.1).

        Its `expires_in` counts from `now`, the wall clock's time, UTC; a day is the longest.
        """
        seconds = document.get("expires_in")
        if not isinstance(seconds, int) or not 0 < seconds <= _LONGEST_LIFE:
            raise self.reject("has no `access_token` or no `expires_in`")
        return AccessToken(value=self.read_text(document, "access_token"), expires_at=now + timedelta(seconds=seconds))

    def _compose(self) -> tuple[dict[str, str], bytes | None]:
        headers = {"Accept": "application/json", **self.headers}
        if self.bearer is not None:
            headers["Authorization"] = f"Bearer {self.bearer}"
        if self.form is not None:
            return headers | {"Content-Type": "application/x-www-form-urlencoded"}, urlencode(self.form).encode()
        if self.document is not None:
            return headers | {"Content-Type": "application/json"}, json.dumps(self.document).encode()
        return headers, None


def read_date(response: Response) -> datetime | None:
    """Return the server's time, UTC, by the header `Date` (RFC 9110, section 6.6.1); None without one.

    The header has whole seconds, cut off: the middle of that second is returned.
    """
    try:
        return parsedate_to_datetime(response.headers.get("date", "")).astimezone(UTC) + _HALF_SECOND
    except (ValueError, OverflowError):
        return None


def describe_status(status: int) -> str:
    """Return what an error status means: a server that failed, or was asked too often, decided nothing."""
    if status == _THROTTLED[0]:
        return f"was throttled with HTTP {status}"
    return f"{'failed' if is_retryable(status) else 'was refused'} with HTTP {status}"


def is_retryable(status: int) -> bool:
    """Return whether an error may pass by itself: 408, 429 and all of 5xx."""
    return status in {408, 429} or status >= 500  # noqa: PLR2004 - as the sentence above has it


def _parse_object(response: Response) -> dict[str, Any] | None:
    """Return the JSON object of an answer; None if it holds none."""
    try:
        document = json.loads(response.body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def read_error_text(response: Response, *secrets: str) -> str:
    """Return the server's own words in an error answer, without the secrets that were sent; empty if it has no words.

    Three shapes are read: `google.rpc.Status` of the APIs, with the reason of its `ErrorInfo` in brackets
    (https://google.aip.dev/193), the flat one of OAuth (RFC 6749, section 5.2), and the `Status` of Kubernetes. Of an
    HTML page, which no API sends, the title is returned.
    """
    document = _parse_object(response)
    if document is None:
        page = response.body[:_LARGEST_TITLE].decode(errors="replace")
        title = re.search(r"<title[^>]*>(.*?)</title", page, re.IGNORECASE | re.DOTALL)
        is_page = title is not None or re.match(r"\s*<(!doctype html|html)", page, re.IGNORECASE) is not None
        return redact(f"{HTML_PAGE}: {title[1] if title else 'without a title'}", *secrets) if is_page else ""
    error = document.get("error", document.get("message"))
    text = error.get("message") if isinstance(error, dict) else document.get("error_description", error)
    if not isinstance(text, str):
        return ""
    reason = _read_reason(error.get("details")) if isinstance(error, dict) else ""
    return redact(text, *secrets) + (f" ({reason})" if reason and reason not in text else "")


def _read_reason(details: object) -> str:
    for each in details if isinstance(details, list) else ():
        reason = each.get("reason") if isinstance(each, dict) else None
        if isinstance(reason, str) and re.fullmatch("[A-Z][A-Z0-9_]{2,62}", reason):
            return reason
    return ""
