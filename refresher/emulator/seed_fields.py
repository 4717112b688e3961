"""Checks of the values in a seed, and messages with the place of a mistake."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from refresher.emulator.errors import Refusal
from refresher.emulator.policies import Policy
from refresher.emulator.policy_changes import check_role
from refresher.emulator.state import State
from refresher.errors import EmulatorError


class ShapeError(Exception):
    """A value has the wrong type; the text states the expected one."""


@contextmanager
def report_place(*place: object) -> Iterator[None]:
    """Add the place in the seed to any mistake inside a `with` block; of nested places, the innermost is shown.

    Raises:
        EmulatorError: The value at this place is invalid.
    """
    where = ".".join(map(str, place))
    try:
        yield
    except Refusal as refusal:
        message = str(refusal.document["error"]["message"])
        raise EmulatorError(f"the seed's {where}: {message}", "correct it there; Google refuses it too") from refusal
    except ShapeError as error:
        raise EmulatorError(
            f"the seed's {where} does not have the expected shape: {error}", "see the example in docs/emulator.md"
        ) from error


def check_map(value: object) -> dict[str, Any]:
    """Return a mapping; None becomes an empty mapping.

    Raises:
        ShapeError: It is not a mapping.
    """
    if value is not None and not isinstance(value, dict):
        raise ShapeError("a mapping is needed")
    return {str(name): inner for name, inner in (value or {}).items()}


def check_list(value: object) -> list[Any]:
    """Return a list; None becomes an empty list.

    Raises:
        ShapeError: It is not a list.
    """
    if value is not None and not isinstance(value, list):
        raise ShapeError("a list is needed")
    return value or []


def check_texts(value: object) -> list[str]:
    """Return a list of texts.

    Raises:
        ShapeError: It is not a list of texts. A single text is refused, because it would be read letter by letter.
    """
    if not isinstance(value, list) or not all(isinstance(member, str) for member in value):
        raise ShapeError("a list of texts is needed")
    return value


def check_seconds(value: object) -> float:
    """Return a positive number of seconds.

    Raises:
        ShapeError: It is not a positive number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ShapeError("a positive number of seconds is needed")
    return float(value)


def check_keys(value: dict[str, Any], *known: str) -> dict[str, Any]:
    """Return a mapping that has no unknown keys.

    Raises:
        ShapeError: It has unknown keys.
    """
    unknown = sorted(value.keys() - set(known))
    if unknown:
        raise ShapeError(f"unknown keys: {', '.join(unknown)}; known are: {', '.join(known)}")
    return value


def require_text(value: dict[str, Any], name: str) -> str:
    """Return a required value of a mapping, as a text.

    Raises:
        ShapeError: It is missing.
    """
    if value.get(name) is None:
        raise ShapeError(f"{name} is missing")
    return str(value[name])


def iterate_part(document: Mapping[str, Any], name: str) -> Iterable[tuple[str, Any]]:
    """Return the entries of a mapping in the seed.

    Raises:
        EmulatorError: It is not a mapping.
    """
    with report_place(name):
        return check_map(document.get(name)).items()


def grant(state: State, policy: Policy, bindings: object, permissions: str = "") -> None:
    """Add bindings, members by role, to a policy.

    Args:
        state: The roles that exist.
        policy: Changed in place.
        bindings: From the seed.
        permissions: How the permissions on this kind of resource begin; empty for a project.

    Raises:
        ShapeError: They have another shape.
        Refusal: A role does not exist, or cannot be granted on this kind of resource.
    """
    for role, members in check_map(bindings).items():
        check_role(state, role, permissions)
        for member in check_texts(members):
            policy.allow(role, member)


def read_file(path: Path, key: str) -> str:
    """Return the content of a file that the seed names.

    Raises:
        EmulatorError: It cannot be read.
        ShapeError: It is not text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise EmulatorError(f"{path} cannot be read: {error.strerror}", f"create the file, or correct {key}") from error
    except UnicodeDecodeError:
        raise ShapeError(f"{path} is not text") from None
