"""Buckets and objects as the JSON API shows them, their checksums and their preconditions."""

import base64
import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import google_crc32c

from refresher.emulator.cloud import Cloud
from refresher.emulator.http import Call
from refresher.emulator.storage.access import condition_not_met, invalid
from refresher.emulator.storage_state import Bucket, StoredObject

_GIVEN = ("contentType", "contentEncoding", "contentDisposition", "contentLanguage", "cacheControl", "metadata",
          "customTime", "storageClass")  # fmt: skip
"""The metadata of an object that a client can set."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
"""Characters that are not allowed in the headers that show the metadata."""


def store(cloud: Cloud, bucket: Bucket, name: str, content: bytes, fields: Mapping[str, Any]) -> StoredObject:
    """Store a new generation of an object in place of the present one.

    Raises:
        Refusal: The name is invalid, or the checksum in the request does not match.
    """
    if not name or len(name.encode("utf-8", "surrogatepass")) > 1024 or "\n" in name or "\r" in name:  # noqa: PLR2004 - bytes, as documented
        raise invalid("Invalid object name.")
    crc32c = base64.b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode()
    md5 = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
    if fields.get("md5Hash", md5) != md5 or fields.get("crc32c", crc32c) != crc32c:
        raise invalid("Provided checksum does not match the content.")
    before = bucket.objects.get(name)
    now = cloud.now()
    made = StoredObject(
        content=content,
        generation=max(int(now * 1e6), before.generation + 1 if before is not None else 0),
        created=now,
        updated=now,
        crc32c=crc32c,
        md5=md5,
        fields=read_fields(fields),
    )
    bucket.objects[name] = made
    return made


def read_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata that a document sets.

    Raises:
        Refusal: A value has the wrong type.
    """
    kept = {name: fields[name] for name in _GIVEN if fields.get(name) is not None}
    for name, value in kept.items():
        if not isinstance(value, dict if name == "metadata" else str) or _CONTROL.search(str(value)):
            raise invalid(f"Invalid value for {name}.")
    return kept


def merge_patch(document: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document with a patch applied: null removes a value, and objects are merged (RFC 7396)."""
    merged = {name: value for name, value in document.items() if name not in patch}
    for name, value in patch.items():
        if isinstance(value, dict):
            before = document.get(name)
            merged[name] = merge_patch(before if isinstance(before, dict) else {}, value)
        elif value is not None:
            merged[name] = value
    return merged


def check_preconditions(query: Mapping[str, str], found: StoredObject | None) -> None:
    """Check `ifGenerationMatch` and the other preconditions for an object, or for its absence.

    Raises:
        Refusal: A precondition is not met.
    """
    generation = found.generation if found is not None else 0
    metageneration = found.metageneration if found is not None else 0
    for name, value, wants_same in (
        ("ifGenerationMatch", generation, True),
        ("ifGenerationNotMatch", generation, False),
        ("ifMetagenerationMatch", metageneration, True),
        ("ifMetagenerationNotMatch", metageneration, False),
    ):
        text = query.get(name)
        if text is None:
            continue
        if not text.isdecimal() or len(text) > 20:  # noqa: PLR2004 - digits of an int64
            raise invalid(f"Invalid value for {name}.")
        if (int(text) == value) is not wants_same:
            raise condition_not_met()


def describe_object(call: Call, bucket_name: str, name: str, found: StoredObject) -> dict[str, Any]:
    """Return the document of an object."""
    from urllib.parse import quote  # noqa: PLC0415 - only here

    origin = f"{call.scheme}://{call.headers.get('host', 'storage.googleapis.com')}"
    path = f"storage/v1/b/{bucket_name}/o/{quote(name, safe='', errors='replace')}"
    return {
        "kind": "storage#object",
        "id": f"{bucket_name}/{name}/{found.generation}",
        "selfLink": f"{origin}/{path}",
        "mediaLink": f"{origin}/download/{path}?generation={found.generation}&alt=media",
        "name": name,
        "bucket": bucket_name,
        "generation": str(found.generation),
        "metageneration": str(found.metageneration),
        "storageClass": "STANDARD",
        "size": str(len(found.content)),
        "md5Hash": found.md5,
        "crc32c": found.crc32c,
        "etag": compute_etag(found),
        "timeCreated": format_time(found.created),
        "updated": format_time(found.updated),
        "timeStorageClassUpdated": format_time(found.created),
        **found.fields,
    }


def describe_bucket(call: Call, name: str, bucket: Bucket, number: str) -> dict[str, Any]:
    """Return the document of a bucket."""
    origin = f"{call.scheme}://{call.headers.get('host', 'storage.googleapis.com')}"
    access = {"enabled": True, "lockedTime": format_time(bucket.created + 90 * 86_400)}
    return {
        "kind": "storage#bucket",
        "id": name,
        "name": name,
        "selfLink": f"{origin}/storage/v1/b/{name}",
        "projectNumber": number,
        "metageneration": str(bucket.metageneration),
        "location": "US",
        "locationType": "multi-region",
        "storageClass": "STANDARD",
        "etag": base64.b64encode(f"b{bucket.metageneration}".encode()).decode(),
        "timeCreated": format_time(bucket.created),
        "updated": format_time(bucket.created),
        "iamConfiguration": {"uniformBucketLevelAccess": access, "publicAccessPrevention": "inherited"},
        **bucket.fields,
    }


def compute_etag(found: StoredObject) -> str:
    """Return a text that changes with each generation and metageneration."""
    return base64.b64encode(f"{found.generation}/{found.metageneration}".encode()).decode()


def format_time(seconds: float) -> str:
    """Return a time with milliseconds, as Cloud Storage shows it."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{int(seconds % 1 * 1000):03d}Z"
