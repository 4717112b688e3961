"""What the admin services share: how a project is found, and how a time is written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from refresher.emulator.errors import api_refusal

if TYPE_CHECKING:
    from refresher.emulator.cloud import Cloud
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
