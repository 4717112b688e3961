"""How a field reads what was written, and how it refuses a value: in our words, with a remedy.

A problem goes on from the path of the key (`targets.alice.mode` *is …*); `refresher.settings.model` adds
path and place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, get_args

from pydantic_core import PydanticCustomError, core_schema

from refresher.settings.places import Empty, List, Map, OwnMark, Scalar, Value, describe
from refresher.text import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from refresher.settings.places import Node

_REMEDIES = {
    "text": "write a single value, as text",
    "true or false": "write true or false, without quotes",
    "a single value": "write text, an integer or a boolean",
    "a list": "write it as [ONE, TWO], or [] for none",
    "a list of texts": "write it as [ONE, TWO]",
    "a map": "write KEY: VALUE lines below it, or {} for none",
}
"""What to do about a value of the wrong shape, by what belongs there."""


class Unreadable:
    """Stands for a required value that was refused already; every field takes it for None."""


UNREADABLE: Final = Unreadable()


class NodeField:
    """Annotation of a model's field: one function reads or refuses what was written.

    pydantic's own PlainValidator works out a schema of the annotated type too, at every start of every command.
    """

    def __init__(
        self,
        read: Callable[[Any], Any],
        schema: Mapping[str, Any],
        *,
        shape: type[Value | List] = Value,
        wanted: str = "text",
    ) -> None:
        """Store how the field is read.

        Args:
            read: Takes a node, returns the field's value or raises what `refuse` returns.
            schema: JSON Schema of what a user writes.
            shape: The type of nodes that `read` takes; others are refused.
            wanted: What belongs there, in words that `explain_shape` knows.
        """
        self._read = read
        self._schema = dict(schema)
        self._shape = shape
        self._wanted = wanted

    def read(self, node: object) -> Any:  # noqa: ANN401 - of any type of field
        """Read a node; code that builds a model may pass text, or what the field holds."""
        if isinstance(node, self._shape):
            return self._read(node)
        if node is UNREADABLE:
            return None
        if isinstance(node, Scalar | Map | List):
            raise refuse(*explain_shape(node, self._wanted))
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
                raise refuse(f"is {quote(value.text)}", f"use {' or '.join(repr(word) for word in words)}")
            return value.text

        field = NodeField(read, {})
        return core_schema.no_info_wrap_validator_function(lambda node, _: field.read(node), handler(source))


def refuse(problem: str, remedy: str) -> PydanticCustomError:
    """Return the error that a field raises.

    Args:
        problem: A clause that goes on from the path of the key.
        remedy: An imperative clause.
    """
    return PydanticCustomError("refused", "{problem}", {"problem": problem, "remedy": remedy})


def explain_shape(node: Node, wanted: str) -> tuple[str, str]:
    """Return problem and remedy for a node of the wrong shape, as `refuse` takes them."""
    if isinstance(node, Empty):
        return "is empty", _REMEDIES[wanted] if wanted in {"a list", "a map"} else "write a value, or delete the key"
    return f"is {describe(node)}, where {wanted} belongs", _REMEDIES[wanted]
