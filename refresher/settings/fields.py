"""How a field reads what was written, and how it refuses a value: in our words, with a remedy.

A problem goes on from the path of the key (`targets.alice.mode` *is …*); `refresher.settings.model` adds
path and place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, get_args

from pydantic_core import PydanticCustomError, core_schema

from refresher.settings.places import Empty, List, Map, OwnMark, Value, describe
from refresher.text import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

REMEDIES: Final = {
    "text": "write a single value, as text",
    "true or false": "write true or false, without quotes",
    "a single value": "write text, an integer or a boolean",
    "a list": "write it as [ONE, TWO], or [] for none",
    "a map": "write KEY: VALUE lines below it, or {} for none",
}
"""What to do about a value of the wrong shape, by what belongs there."""


class Unreadable:
    """Stands for a required value that was refused already; every field takes it for None."""


UNREADABLE: Final = Unreadable()


class Scalar:
    """Annotation of a field that holds a single value: one function reads or refuses what was written.

    pydantic's own PlainValidator works out a schema of the annotated type too, at every start of every command.
    """

    def __init__(self, read: Callable[[Value], Any], schema: Mapping[str, Any], *, wanted: str = "text") -> None:
        """Store how the field is read.

        Args:
            read: Takes a scalar, returns the field's value or raises what `refuse` returns.
            schema: JSON Schema of what a user writes.
            wanted: What belongs there, a key of `REMEDIES`.
        """
        self._read = read
        self._schema = dict(schema)
        self._wanted = wanted

    def read(self, node: object) -> Any:  # noqa: ANN401 - of any type of field
        """Read a node; code that builds a model may pass text, or what the field holds."""
        if isinstance(node, Value):
            return self._read(node)
        if node is UNREADABLE:
            return None
        if isinstance(node, Empty | Map | List):
            raise misplaced(node, self._wanted)
        return self._read(Value(node, OwnMark(""), OwnMark(""))) if isinstance(node, str) else node

    def __get_pydantic_core_schema__(self, *_: object) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, *_: object) -> dict[str, Any]:
        return dict(self._schema)


class Choice:
    """Annotation of a `Literal` of texts: one of its words."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:  # noqa: ANN401 - pydantic's signature
        words = get_args(source)

        def read(value: Value) -> str:
            if value.text not in words:
                expected = " or ".join(f"'{word}'" for word in words)
                raise refuse(f"is {quote(value.text)}", f"use {expected}")
            return value.text

        scalar = Scalar(read, {})
        return core_schema.no_info_wrap_validator_function(lambda node, _: scalar.read(node), handler(source))


class CheckedList:
    """Annotation of a list: what is wrong with it as a whole."""

    def __init__(self, check: Callable[[Any], Any], schema: Mapping[str, Any], *, remedy: str) -> None:
        """Store how the list is checked.

        Args:
            check: Returns the list or raises what `refuse` returns.
            schema: What it adds to the JSON Schema.
            remedy: For what is not a list.
        """
        self._check = check
        self._schema = dict(schema)
        self._remedy = remedy

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:  # noqa: ANN401 - pydantic's signature
        def read(node: object, read_list: Callable[[object], Any]) -> Any:  # noqa: ANN401 - of any type of list
            if node is UNREADABLE:
                return None
            if not isinstance(node, tuple):
                raise refuse(f"is {describe(node)}, where a list belongs", self._remedy)
            return self._check(read_list(node))

        return core_schema.no_info_wrap_validator_function(read, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:  # noqa: ANN401 - pydantic's signature
        return {**handler(schema), **self._schema}


def refuse(problem: str, remedy: str) -> PydanticCustomError:
    """Return the error that a field raises.

    Args:
        problem: A clause that goes on from the path of the key.
        remedy: An imperative clause.
    """
    return PydanticCustomError("refused", "{problem}", {"problem": problem, "remedy": remedy})


def misplaced(node: object, wanted: str) -> PydanticCustomError:
    """Return the error for a node of the wrong shape; `wanted` is a key of `REMEDIES`."""
    if isinstance(node, Empty):
        remedy = REMEDIES[wanted] if wanted in {"a list", "a map"} else "write a value, or delete the key"
        return refuse("is empty", remedy)
    return refuse(f"is {describe(node)}, where {wanted} belongs", REMEDIES[wanted])
