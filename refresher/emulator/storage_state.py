"""The state of Cloud Storage: buckets and the live generation of each object. Older generations are not stored."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from refresher.emulator.policies import Policy


@dataclass(slots=True, kw_only=True)
class StoredObject:
    """The live generation of an object.

    Attributes:
        content: Its bytes; on disk they are stored apart from the rest.
        generation: Its creation time in microseconds; a newer generation has a larger number.
        metageneration: Counts the changes of its metadata.
        fields: Its metadata: `contentType`, `metadata`, `cacheControl` and so on.
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
    """A bucket with uniform bucket-level access.

    Attributes:
        project: The id of its project.
        policy: The IAM policy for the bucket and its objects.
        objects: By name; on disk each is stored separately.
        fields: Its metadata: `location`, `labels` and so on.
    """

    project: str
    policy: Policy = field(default_factory=Policy)
    objects: Annotated[dict[str, StoredObject], Field(exclude=True)] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    created: float = 0.0
    metageneration: int = 1


@dataclass(slots=True, kw_only=True)
class Upload:
    """A resumable upload in progress.

    Attributes:
        bucket: The bucket's name.
        name: The object's name.
        fields: The object's metadata.
        query: The query of the request that began it, for its preconditions.
        content: What has arrived so far.
    """

    bucket: str
    name: str
    fields: dict[str, Any]
    query: dict[str, str]
    content: bytearray = field(default_factory=bytearray)
