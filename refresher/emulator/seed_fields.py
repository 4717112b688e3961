"""What a seed is made of, and where in it a mistake is."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from refresher.emulator.errors import Refusal
from refresher.errors import EmulatorError

if TYPE_CHECKING:
    from collections.abc import Iterator


class ShapeError(Exception):
    """A value is of another kind than belongs there; the text says which does."""


@contextmanager
def report_place(*place: object) -> Iterator[None]:
    """Name the place of what goes wrong within; the innermost place is named.

    Raises:
        EmulatorError: What is there cannot be.
    """
    where = ".".join(map(str, place))
    try:
        yield
    except Refusal as refusal:
        message = str(refusal.document["error"]["message"])
        raise EmulatorError(f"the seed's {where}: {message}", "mend it there; Google refuses it too") from refusal
    except ShapeError as error:
        raise EmulatorError(
            f"the seed's {where} does not have the expected shape: {error}", "see the example in docs/emulator.md"
        ) from error


def check_map(value: object) -> dict[str, Any]:
    """Give a mapping; nothing is an empty one.

    Raises:
        ShapeError: It is none.
    """
    if value is not None and not isinstance(value, dict):
        raise ShapeError("a mapping is needed")
    return {str(name): inner for name, inner in (value or {}).items()}


def check_list(value: object) -> list[Any]:
    """Give a list; nothing is an empty one.

    Raises:
        ShapeError: It is none.
    """
    if value is not None and not isinstance(value, list):
        raise ShapeError("a list is needed")
    return value or []


def check_texts(value: object) -> list[str]:
    """Give a list of texts.

    Raises:
        ShapeError: It is none; a text alone would be taken letter by letter.
    """
    if not isinstance(value, list) or not all(isinstance(member, str) for member in value):
        raise ShapeError("a list of texts is needed")
    return value


def check_seconds(value: object) -> float:
    """Give a positive number of seconds.

    Raises:
        ShapeError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ShapeError("a positive number of seconds is needed")
    return float(value)


def check_keys(value: dict[str, Any], *known: str) -> dict[str, Any]:
    """Give a mapping that has no other keys than are known.

    Raises:
        ShapeError: It has.
    """
    unknown = sorted(value.keys() - set(known))
    if unknown:
        raise ShapeError(f"there is no {', '.join(unknown)}; known are {', '.join(known)}")
    return value


def require_text(value: dict[str, Any], name: str) -> str:
    """Give what a mapping must have, as a text.

    Raises:
        ShapeError: It lacks it.
    """
    if value.get(name) is None:
        raise ShapeError(f"{name} is missing")
    return str(value[name])
