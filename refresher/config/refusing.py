"""How a validator of the configuration says no: in our words, with a remedy.

The problem is a clause that goes on from the dotted path (`targets.a.mode` *is …*); `refresher.config.sentences` puts
the two together.
"""

from __future__ import annotations

from pydantic_core import PydanticCustomError, PydanticKnownError


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
