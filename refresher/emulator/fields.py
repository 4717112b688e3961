"""What the admin services share: how a project is found, a time is written, and an update mask is read."""

import re
from collections.abc import Container, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from refresher.emulator.cloud import Cloud
from refresher.emulator.errors import api_refusal
from refresher.emulator.http import read_object
from refresher.emulator.state import Project


def find_project(cloud: Cloud, name: str) -> tuple[str, Project]:
    """Return a project and its id; it is found by id or number.

    Raises:
        Refusal: It does not exist, which Google reports as a missing permission.
    """
    found = cloud.state.find_project(name)
    if found is None:
        raise api_refusal("I2")
    return found


def format_time(seconds: float) -> str:
    """Return a time as the API shows it."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def read_mask(text: str, known: Container[str]) -> list[str]:
    """Read an update mask, in camel or snake case, and return its paths in camel case.

    Raises:
        Refusal: It is empty, or contains a field that cannot be changed.
    """
    paths = split_mask(text)
    if not paths or any(path not in known for path in paths):
        raise api_refusal("bad_field", field="updateMask")
    return paths


def split_mask(text: str) -> list[str]:
    """Return the paths of an update mask in camel case; none for an empty mask."""
    return [_camel(path.strip()) for path in text.split(",") if path.strip()]


def apply_mask(document: Mapping[str, Any], body: Mapping[str, Any], paths: Iterable[str]) -> dict[str, Any]:
    """Return a document with the masked fields of the body, and without those that the body lacks.

    Raises:
        Refusal: A field of which the mask contains a part is not an object.
    """
    changed = dict(document)
    for path in paths:
        outer, _, inner = path.partition(".")
        if inner:
            changed[outer] = apply_mask(read_object(changed, outer), read_object(body, outer), [inner])
        else:
            changed[outer] = body.get(outer)
    return {name: value for name, value in changed.items() if value is not None}


def _camel(path: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), path)
