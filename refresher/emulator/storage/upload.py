"""A resumable upload under way: what the cloud holds between its requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True, kw_only=True)
class Upload:
    """A resumable upload under way.

    Attributes:
        bucket: Its bucket's name.
        name: The object's name.
        fields: What is said of the object.
        query: The query that began it, for its preconditions.
        content: What has come.
    """

    bucket: str
    name: str
    fields: dict[str, Any]
    query: dict[str, str]
    content: bytearray = field(default_factory=bytearray)
