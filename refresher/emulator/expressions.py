"""The Common Expression Language as Google runs it: attribute mappings, attribute conditions, conditions of bindings.

https://github.com/google/cel-spec. Google's own C++ implementation (cel-expr-python) evaluates the expressions, with
its string functions and with `extract`, which IAM adds
(https://cloud.google.com/iam/docs/conditions-attribute-reference#extract). Each kind of expression has its own
variables.
"""

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_strings

MAPPING = "mapping"
"""A mapping reads `assertion`, the claims of the issuer."""

CONDITION = "condition"
"""An attribute condition reads `assertion`, `google` and `attribute`."""

BINDING = "binding"
"""The condition of a binding reads `request.time` and `resource`. It must be quick: every request evaluates it."""

MATCHING = "matching"
"""The fixed expression of `matches` reads `text` and `pattern`."""

DEEPEST = 100
"""How many levels of nesting are read, the same as in the JSON of protocol buffers."""
LONGEST_CONDITION = 4096
_WORDS = 64  # bits of an integer in CEL
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
    """An expression does not compile, or has no value for these variables. The text comes from the CEL library."""


def check(expression: str, scope: str) -> str:
    """Compile an expression and return the name of its type, `DYN` if the type depends on the values.

    Raises:
        ExpressionError: It does not compile.
    """
    return str(_compile(expression, scope).return_type().name())


def mask_texts(expression: str) -> str:
    """Replace each text literal of an expression with a number, so that only its operators and names remain."""
    return _TEXT.sub("0", expression)


@lru_cache(maxsize=512)
def is_quick(expression: str, *, with_times: bool = False) -> bool:
    """Return whether the time for an expression is at most its length times the size of its variables.

    This is the case without functions that repeat (`all`, `map`), multiply texts (`replace`, `split`, `join`) or search
    for a pattern. In doubt, as for a backslash in a text, the expression is not quick.

    Args:
        expression: In CEL.
        with_times: Whether it may also call the functions of timestamps.
    """
    if "\\" in expression or "'''" in expression or '"""' in expression:
        return False
    rest = mask_texts(expression)
    names = _QUICK | _TIMES if with_times else _QUICK
    return _MODEST.fullmatch(rest) is not None and all(name in names for name in _CALL.findall(rest))


def evaluate(expression: str, scope: str, values: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any value of CEL
    """Evaluate an expression.

    Raises:
        ExpressionError: It does not compile, or meets an error: an absent claim, a value of the wrong type.
    """
    try:
        value = _compile(expression, scope).eval(data=values)
    except RuntimeError as error:
        raise ExpressionError(str(error)) from None
    if value.type().name() in ("ERROR", "UNKNOWN"):  # the library returns a runtime error as a value, like a text
        raise ExpressionError(str(value.plain_value()))
    return value.plain_value()


def convert_json(value: Any, levels: int = DEEPEST) -> Any:  # noqa: ANN401 - JSON
    """Convert a JSON value for CEL: integers that are too large become floating point, lone surrogates become `?`.

    Raises:
        ExpressionError: It has more levels of nesting than allowed.
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
    """Return whether a text contains a match of a regular expression; RE2, so that no pattern runs for ever.

    Raises:
        ExpressionError: The pattern is not a valid regular expression.
    """
    return evaluate("text.matches(pattern)", MATCHING, {"text": text, "pattern": pattern}) is True


def extract(text: str, template: str) -> str:
    """Return the part of a text that matches a template's placeholder; an empty text if the template does not match.

    The template is `BEFORE{name}AFTER`. The part begins after the first BEFORE and ends before the next AFTER. Without
    BEFORE it begins with the text, without AFTER it ends with the text.
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
def _create_environment(scope: str) -> cel.Env:
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
def _compile(expression: str, scope: str) -> cel.Expression:
    if scope == BINDING and not (len(expression) <= LONGEST_CONDITION and is_quick(expression, with_times=True)):
        raise ExpressionError("it is longer than a condition may be, or calls a function that a condition may not call")
    try:
        return _create_environment(scope).compile(expression)
    except (RuntimeError, UnicodeError, ValueError) as error:
        raise ExpressionError(str(error).partition("\n")[0]) from None
