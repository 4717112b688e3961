"""How a value of the configuration is parsed, and how it is refused: in our words, with a remedy.

The problem is a clause that goes on from the dotted path (`targets.a.mode` *is …*); `refresher.config.sentences` puts
the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticCustomError, PydanticKnownError, core_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True, eq=False)
class Parsed:
    """Annotation of a field whose value one function parses or refuses.

    pydantic's own PlainValidator works out a schema of the annotated type besides, at every start of every command.

    Attributes:
        parse: Takes what YAML holds, gives the value, or raises `refused`.
        schema: JSON Schema of what a user writes.
    """

    parse: Callable[[Any], Any]
    schema: Mapping[str, Any]

    def __get_pydantic_core_schema__(self, *_: object) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.parse)

    def __get_pydantic_json_schema__(self, *_: object) -> dict[str, Any]:
        return dict(self.schema)


def refused(problem: str, remedy: str) -> PydanticCustomError:
    """Make the error that a validator raises."""
    return PydanticCustomError("refused", "{problem}", {"problem": problem, "remedy": remedy})


def text_of(value: object) -> str:
    """Give a value that must be text, as YAML understood it.

    Raises:
        PydanticKnownError: It is no text.
    """
    if not isinstance(value, str):
        raise PydanticKnownError("string_type")
    return value


def digits_or_text(value: object) -> str:
    """Give a value that may be a number without quotes, as text.

    Raises:
        PydanticKnownError: It is neither.
    """
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else text_of(value)
