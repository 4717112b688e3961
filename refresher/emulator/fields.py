"""What the admin calls of all services have in common: whose project it is, and how a time is written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from refresher.emulator.errors import api_refusal

if TYPE_CHECKING:
    from refresher.emulator.cloud import Cloud
    from refresher.emulator.state import Project


def find_project(cloud: Cloud, name: str) -> tuple[str, Project]:
    """Give a project with its id, by id or number.

    Raises:
        Refusal: There is none, which Google tells like a missing permission.
    """
    found = cloud.state.find_project(name)
    if found is None:
        raise api_refusal("I2")
    return found


def format_time(seconds: float) -> str:
    """Show a time as the API does."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
