"""The Common Expression Language as Google runs it: attribute mappings, attribute conditions, conditions of bindings.

https://github.com/google/cel-spec, evaluated by Google's own C++ implementation (cel-expr-python), with its string
functions and `extract`, which IAM adds
(https://cloud.google.com/iam/docs/conditions-attribute-reference#extract). Which variables an expression sees depends
on where it stands.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_strings

if TYPE_CHECKING:
    from collections.abc import Mapping

MAPPING = "mapping"
"""A mapping sees `assertion`, what the issuer asserts."""

CONDITION = "condition"
"""An attribute condition sees `assertion`, `google` and `attribute`."""

BINDING = "binding"
"""The condition of a binding sees `request.time` and `resource`, and must be quick: it is asked with every request."""

MATCHING = "matching"
"""The one question of `matches` sees `text` and `pattern`."""

DEEPEST = 100
"""Levels of nesting that are looked at, as many as the JSON of protocol buffers may have."""
LONGEST_CONDITION = 4096
_WORDS = 64  # CEL's integers are that many bits wide
_TEXT = re.compile(r"""(['"])\1\1.*?\1\1\1|(['"])(?:\\.|(?!\2)[^\\\n])*\2""", re.DOTALL)
_CALL = re.compile(r"(\w+)\s*\(")
_MODEST = re.compile(r"[\w\s.,!=<>&|?:()\[\]{}+-]*")
_QUICK = {"contains", "endsWith", "extract", "has", "in", "size", "startsWith"}
_TIMES = {
    "duration",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
    "timestamp",
}


class ExpressionError(Exception):
    """An expression cannot be compiled, or has no value for what it was given; the text is CEL's."""


def check(expression: str, scope: str) -> str:
    """Compile an expression and give the name of the type it evaluates to, `DYN` if that is not known before.

    Raises:
        ExpressionError: It does not compile.
    """
    return str(_compiled(expression, scope).return_type().name())


def mask_texts(expression: str) -> str:
    """Give an expression with a number in place of each text, so that what it says is not taken for what it does."""
    return _TEXT.sub("0", expression)


@lru_cache(maxsize=512)
def is_quick(expression: str, *, with_times: bool = False) -> bool:
    """Tell whether an expression surely takes no more than its length times the size of what it is given.

    So it is without what repeats itself (`all`, `map`), multiplies texts (`replace`, `split`, `join`) or searches by
    pattern. What cannot be told by a look, such as a backslash in a text, is not quick.

    Args:
        expression: In CEL.
        with_times: Whether it may call the functions of timestamps, too.
    """
    if "\\" in expression or "'''" in expression or '"""' in expression:
        return False
    rest = mask_texts(expression)
    names = _QUICK | _TIMES if with_times else _QUICK
    return _MODEST.fullmatch(rest) is not None and all(name in names for name in _CALL.findall(rest))


def evaluate(expression: str, scope: str, values: Mapping[str, Any]) -> Any:  # noqa: ANN401 - whatever CEL gives
    """Evaluate an expression.

    Raises:
        ExpressionError: It does not compile, or meets an error: a claim that is absent, a type that does not fit.
    """
    try:
        value = _compiled(expression, scope).eval(data=values)
    except RuntimeError as error:
        raise ExpressionError(str(error)) from None
    if value.type().name() in ("ERROR", "UNKNOWN"):  # runtime errors come back as values, and look like texts
        raise ExpressionError(str(value.plain_value()))
    return value.plain_value()


def convert_json(value: Any, levels: int = DEEPEST) -> Any:  # noqa: ANN401 - JSON
    """Give a JSON value as CEL can take it: integers that do not fit become floating point, lone surrogates `?`.

    Raises:
        ExpressionError: It is nested deeper than that many levels.
    """
    if isinstance(value, dict | list) and not levels:
        raise ExpressionError("nested too deeply")
    if isinstance(value, dict):
        return {convert_json(name): convert_json(inner, levels - 1) for name, inner in value.items()}
    if isinstance(value, list):
        return [convert_json(inner, levels - 1) for inner in value]
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, int) and value.bit_length() >= _WORDS:
        return float(value) if value.bit_length() < 1000 else 0.0  # noqa: PLR2004 - what a double can hold
    return value


def matches(text: str, pattern: str) -> bool:
    """Tell whether a regular expression is found in a text; RE2, so that no pattern takes for ever.

    Raises:
        ExpressionError: The pattern is none.
    """
    return evaluate("text.matches(pattern)", MATCHING, {"text": text, "pattern": pattern}) is True


def extract(text: str, template: str) -> str:
    """Give the part of a text that a template's placeholder stands for, an empty text if it does not match.

    The template is `BEFORE{name}AFTER`. The part begins behind the first BEFORE and ends before the next AFTER; without
    one of them it begins or ends with the text.
    """
    before, opened, rest = template.partition("{")
    _, closed, after = rest.partition("}")
    if not opened or not closed:
        return ""
    begin = text.find(before)
    if begin < 0:
        return ""
    begin += len(before)
    end = text.find(after, begin) if after else len(text)
    return text[begin:end] if end >= 0 else ""


@cache
def _environment(scope: str) -> cel.Env:
    anything = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
    texts = cel.Type.Map(cel.Type.STRING, cel.Type.STRING)
    variables = {
        MAPPING: {"assertion": anything},
        CONDITION: {"assertion": anything, "google": anything, "attribute": texts},
        MATCHING: {"text": cel.Type.STRING, "pattern": cel.Type.STRING},
        BINDING: {"request.time": cel.Type.TIMESTAMP, "resource": texts},
    }[scope]
    overload = cel.Overload(
        id="string_extract_string",
        return_type=cel.Type.STRING,
        parameters=[cel.Type.STRING, cel.Type.STRING],
        is_member=True,
        impl=extract,
    )
    return cel.NewEnv(
        variables=variables,
        extensions=[ext_strings.ExtStrings()],
        functions=[cel.FunctionDecl("extract", [overload])],
    )


@lru_cache(maxsize=512)
def _compiled(expression: str, scope: str) -> cel.Expression:
    if scope == BINDING and not (len(expression) <= LONGEST_CONDITION and is_quick(expression, with_times=True)):
        raise ExpressionError("it is longer than a condition may be, or calls what it may not")
    try:
        return _environment(scope).compile(expression)
    except (RuntimeError, UnicodeError, ValueError) as error:
        raise ExpressionError(str(error).partition("\n")[0]) from None
