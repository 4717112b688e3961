"""What Cloud Storage holds: buckets and the live generation of each object. Older generations are not kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from refresher.emulator.policies import Policy


@dataclass(slots=True, kw_only=True)
class StoredObject:
    """The live generation of an object.

    Attributes:
        content: Its bytes; kept apart from the rest on disk.
        generation: Microseconds of its creation, the larger the newer.
        metageneration: Counts the changes of what is said of it.
        fields: What was said of it: `contentType`, `metadata`, `cacheControl` and so on.
        created: Unix time.
        updated: Unix time.
        crc32c: Base64, as the API shows it.
        md5: Base64, as the API shows it.
    """

    content: Annotated[bytes, Field(exclude=True)] = b""
    generation: int
    metageneration: int = 1
    fields: dict[str, Any] = field(default_factory=dict)
    created: float
    updated: float
    crc32c: str
    md5: str


@dataclass(slots=True, kw_only=True)
class Bucket:
    """A bucket, with uniform bucket-level access.

    Attributes:
        project: Id of its project.
        policy: Who may do what to it and its objects.
        objects: By name; on disk each is kept on its own.
        fields: What was said of it: `location`, `labels` and so on.
    """

    project: str
    policy: Policy = field(default_factory=Policy)
    objects: Annotated[dict[str, StoredObject], Field(exclude=True)] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    created: float = 0.0
    metageneration: int = 1


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
