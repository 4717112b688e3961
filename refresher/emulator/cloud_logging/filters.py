"""The Logging query language, as far as audit queries need it: comparisons, AND, OR, NOT, parentheses.

https://cloud.google.com/logging/docs/view/logging-query-language. `field OP value` with `=`, `!=`, `:`, `=~`, `!~`,
`<`, `<=`, `>`, `>=`; juxtaposition means AND; a value without a field is searched for in all fields; `--` begins a
comment. Functions are not supported.
"""

import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from refresher.emulator.expressions import ExpressionError, matches

Matches = Callable[[dict[str, Any]], bool]


LONGEST = 20_000
_DEEPEST = 50
_TOKEN = re.compile(
    r"""\s*(?:--[^\n]*\n?\s*)*(?:
        (?P<paren>[()])
      | (?P<operator>=~|!~|!=|<=|>=|=|<|>|:)
      | (?P<quoted>"(?:[^"\\]|\\.)*")
      | (?P<word>(?:[^\s()=!<>:"~]|"(?:[^"\\]|\\.)*")+)
      | (?P<not>-(?=\S))
    )""",
    re.VERBOSE | re.DOTALL,
)
_SEVERITIES = ("DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY")


_CONNECTIVES = (("word", "AND"), ("word", "OR"), ("word", "NOT"))


class FilterError(Exception):
    """A filter is invalid; the text shows where."""


def parse_filter(text: str) -> Matches:
    """Parse a filter into a predicate; an empty filter matches every entry.

    Raises:
        FilterError: The filter is invalid.
    """
    if len(text) > LONGEST:
        raise FilterError(f"it has more than {LONGEST} characters")
    parser = _Parser(list(_split_tokens(text)))
    predicate = parser.parse_disjunction(0) if parser.has_more() else _match_everything
    if parser.has_more():
        raise FilterError(f"unexpected {parser.peek()[1]!r}")
    return predicate


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._split_tokens = tokens
        self._at = 0

    def has_more(self) -> bool:
        return self._at < len(self._split_tokens)

    def peek(self, ahead: int = 0) -> tuple[str, str]:
        at = self._at + ahead
        return self._split_tokens[at] if at < len(self._split_tokens) else ("end", "end of filter")

    def parse_disjunction(self, depth: int) -> Matches:
        if depth > _DEEPEST:
            raise FilterError("it is nested too deeply")
        parts = [self._parse_conjunction(depth)]
        while self.peek() == ("word", "OR"):
            self._at += 1
            parts.append(self._parse_conjunction(depth))
        return parts[0] if len(parts) == 1 else lambda entry: any(part(entry) for part in parts)

    def _parse_conjunction(self, depth: int) -> Matches:
        parts = [self._parse_negation(depth)]
        while self.has_more() and self.peek() != ("word", "OR") and self.peek() != ("paren", ")"):
            if self.peek() == ("word", "AND"):
                self._at += 1
            parts.append(self._parse_negation(depth))
        return parts[0] if len(parts) == 1 else lambda entry: all(part(entry) for part in parts)

    def _parse_negation(self, depth: int) -> Matches:
        if self.peek() == ("word", "NOT") or self.peek()[0] == "not":
            self._at += 1
            inner = self._parse_term(depth)
            return lambda entry: not inner(entry)
        return self._parse_term(depth)

    def _parse_term(self, depth: int) -> Matches:
        kind, text = self.peek()
        self._at += 1
        if (kind, text) == ("paren", "("):
            inner = self.parse_disjunction(depth + 1)
            if self.peek() != ("paren", ")"):
                raise FilterError("a parenthesis is not closed")
            self._at += 1
            return inner
        if kind not in ("word", "quoted") or (kind, text) in _CONNECTIVES:
            raise FilterError(f"unexpected {text!r}")
        if self.peek()[0] != "operator":
            wanted = _unquote(text).lower()
            return lambda entry: wanted in json.dumps(entry).lower()
        operator = self.peek()[1]
        self._at += 1
        return self._parse_comparison(_split_path(text), operator, depth)

    def _parse_comparison(self, path: list[str], operator: str, depth: int) -> Matches:
        kind, text = self.peek()
        self._at += 1
        if (kind, text) == ("paren", "("):
            return self._parse_alternatives(path, operator, depth)
        if kind not in ("word", "quoted"):
            raise FilterError(f"unexpected {text!r}")
        holds = _build_predicate(operator, _unquote(text), path)
        negated = operator in ("!=", "!~")
        return lambda entry: (all if negated else any)(holds(value) for value in _find_values(entry, path) or [None])

    def _parse_alternatives(self, path: list[str], operator: str, depth: int) -> Matches:
        """Read `field=(a OR b)`."""
        if depth > _DEEPEST:
            raise FilterError("it is nested too deeply")
        parts = []
        together = all if operator in ("!=", "!~") else any
        while True:
            parts.append(self._parse_comparison(path, operator, depth + 1))
            kind, text = self.peek()
            self._at += 1
            if (kind, text) == ("paren", ")"):
                return lambda entry: together(part(entry) for part in parts)
            if (kind, text) == ("word", "AND"):
                together = all
            elif (kind, text) != ("word", "OR"):
                raise FilterError(f"unexpected {text!r}")


def _split_tokens(text: str) -> Iterator[tuple[str, str]]:
    end = 0
    stripped = re.sub(r"(?m)^\s*--.*$", "", text).rstrip()
    while end < len(stripped):
        found = _TOKEN.match(stripped, end)
        if found is None or found.end() == end:
            raise FilterError(f"cannot read {stripped[end : end + 20]!r}")
        kind = str(found.lastgroup)
        yield kind, found[kind]
        end = found.end()


def _split_path(text: str) -> list[str]:
    return [_unquote(part) for part in re.findall(r'"(?:[^"\\]|\\.)*"|[^."]+', text)]


def _unquote(text: str) -> str:
    if len(text) < 2 or not text.startswith('"'):  # noqa: PLR2004 - both quotes
        return text
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)


def _find_values(value: object, path: list[str]) -> list[object]:
    """Return the values at a path. Lists are searched, and names are compared in their JSON form, in any case."""
    if isinstance(value, list):
        return [found for member in value for found in _find_values(member, path)]
    if not path:
        return [value]
    if isinstance(value, dict) and path[0] in value:
        return _find_values(value[path[0]], path[1:])
    camel = re.sub(r"_([a-z])", lambda match: match[1].upper(), path[0])
    return _find_values(value[camel], path[1:]) if isinstance(value, dict) and camel in value else []


def _build_predicate(operator: str, wanted: str, path: list[str]) -> Callable[[object], bool]:
    if operator in ("=~", "!~"):
        try:
            matches("", wanted)
        except ExpressionError as error:
            raise FilterError(f"{wanted!r} is not a regular expression") from error
        return lambda value: matches(_convert_text(value), wanted) is (operator == "=~")
    if operator == ":":
        return lambda value: value is not None and (wanted == "*" or wanted.lower() in _convert_text(value).lower())
    if operator in ("=", "!="):
        return lambda value: (_convert_text(value).lower() == wanted.lower()) is (operator == "=")
    return lambda value: value is not None and _compare(operator, value, wanted, path)


def _compare(operator: str, value: object, wanted: str, path: list[str]) -> bool:
    one, other = (_rank(_convert_text(side), path) for side in (value, wanted))
    if type(one) is not type(other):
        return False
    less, same = bool(one < other), one == other  # type: ignore[operator]  # both of one type, as checked above
    return {"<": less, "<=": less or same, ">": not less and not same, ">=": not less}[operator]


def _rank(text: str, path: list[str]) -> float | str:
    if path == ["severity"] and text.upper() in _SEVERITIES:
        return float(_SEVERITIES.index(text.upper()))
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return text


def _convert_text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _match_everything(_entry: dict[str, Any]) -> bool:
    return True
