"""What the admin calls of IAM share: ids, texts and times."""

import re
from collections.abc import Mapping
from typing import Any, TypedDict

from refresher.emulator.errors import api_refusal
from refresher.emulator.fields import format_time
from refresher.emulator.http import read_text
from refresher.emulator.state import KEPT_AFTER_DELETION

_ID = re.compile(r"[a-z0-9-]{4,32}")
LONGEST_NAME = 32
LONGEST_DESCRIPTION = 256


class Names(TypedDict):
    """The texts that describe a pool or provider."""

    display_name: str
    description: str


def check_id(name: str, *, field: str) -> None:
    """Check the id of a pool or provider: 4 to 32 characters `[a-z0-9-]`, without the prefix `gcp-`.

    Raises:
        Refusal: The id is invalid.
    """
    if not _ID.fullmatch(name) or name.startswith("gcp-"):
        raise api_refusal("bad_field", field=field)


def read_names(body: Mapping[str, Any]) -> Names:
    """Return the display name and description in a body.

    Raises:
        Refusal: One of them is too long.
    """
    display_name, description = read_text(body, "displayName"), read_text(body, "description")
    if len(display_name) > LONGEST_NAME:
        raise api_refusal("invalid", problem=f"display name must be less than or equal to {LONGEST_NAME} characters")
    if len(description) > LONGEST_DESCRIPTION:
        raise api_refusal(
            "invalid", problem=f"description must be less than or equal to {LONGEST_DESCRIPTION} characters"
        )
    return Names(display_name=display_name, description=description)


def show_deletion(deleted_at: float | None) -> dict[str, str]:
    """Show whether a resource is deleted, and until when it can be undeleted."""
    if deleted_at is None:
        return {"state": "ACTIVE"}
    return {"state": "DELETED", "expireTime": format_time(deleted_at + KEPT_AFTER_DELETION)}


def drop_empty(document: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is empty or false, as the API does."""
    return {name: value for name, value in document.items() if value not in ("", False, [], {}, None)}
