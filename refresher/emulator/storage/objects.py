"""Objects: read, list, change, copy, compose, delete. Uploads are in `refresher.emulator.storage.uploads`.

https://cloud.google.com/storage/docs/json_api/v1/objects.
"""

import re
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any

from refresher.emulator.cloud import Cloud
from refresher.emulator.errors import Refusal
from refresher.emulator.http import Call, Reply, Route, read_list, read_object, read_text
from refresher.emulator.storage.access import authorize, find_object, invalid, refusal
from refresher.emulator.storage.resources import (
    check_preconditions,
    compute_etag,
    describe_object,
    merge_patch,
    read_fields,
    store,
)
from refresher.emulator.storage_state import StoredObject

LARGEST_PAGE = 1000
LARGEST = 256 * 1024 * 1024
"""The greatest size of an object in bytes, uploaded or composed."""

PRECONDITION_FAILED = 412
_NEGATIVE = {"ifGenerationNotMatch", "ifMetagenerationNotMatch"}
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def get(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Show an object, or return its content with `alt=media`."""
    bucket_name, name = names["bucket"], names["object"]
    bucket = authorize(cloud, call, "storage.objects.get", bucket_name, name)
    found = find_object(bucket, bucket_name, name)
    if call.query.get("generation", str(found.generation)) != str(found.generation):
        raise refusal(404, "notFound", f"No such object: {bucket_name}/{name}#{call.query['generation']}")
    try:
        check_preconditions(call.query, found)
    except Refusal as refused:
        if refused.status == PRECONDITION_FAILED and _NEGATIVE & call.query.keys():
            return Reply(status=304, content=b"")
        raise
    if call.query.get("alt") == "media" or "/download/" in call.path:
        return read_content(call, found)
    return Reply(document=describe_object(call, bucket_name, name, found))


def read_content(call: Call, found: StoredObject) -> Reply:
    """Return the content of an object, or the requested range (RFC 9110, section 14).

    Raises:
        Refusal: The range is outside the content.
    """
    size = len(found.content)
    headers = {
        "content-type": str(found.fields.get("contentType", "application/octet-stream")),
        "etag": compute_etag(found),
        "last-modified": formatdate(found.updated, usegmt=True),
        "accept-ranges": "bytes",
        "x-goog-generation": str(found.generation),
        "x-goog-metageneration": str(found.metageneration),
        "x-goog-hash": f"crc32c={found.crc32c},md5={found.md5}",
        "x-goog-stored-content-length": str(size),
        "x-goog-stored-content-encoding": str(found.fields.get("contentEncoding", "identity")),
        "x-goog-storage-class": "STANDARD",
    }
    asked = _RANGE.fullmatch(call.headers.get("range", ""))
    if asked is None or not (asked[1] or asked[2]):
        return Reply(content=found.content, headers=headers)
    begin = int(asked[1]) if asked[1] else max(0, size - int(asked[2]))
    end = min(int(asked[2]), size - 1) if asked[1] and asked[2] else size - 1
    if begin > end:
        raise Refusal(416, {"error": {"code": 416, "message": "Requested range not satisfiable"}}, "range")
    headers["content-range"] = f"bytes {begin}-{end}/{size}"
    return Reply(content=found.content[begin : end + 1], status=206, headers=headers)


def list_(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """List objects by prefix, in pages, grouped at a delimiter."""
    bucket_name = names["bucket"]
    bucket = authorize(cloud, call, "storage.objects.list", bucket_name)
    query = call.query
    size = query.get("maxResults", "") or str(LARGEST_PAGE)
    if not size.isdecimal() or len(size) > 6:  # noqa: PLR2004 - digits, more than any page needs
        raise invalid("Invalid value for maxResults.")
    entries = _group_names(sorted(bucket.objects), query)
    entries = [entry for entry in entries if entry > query.get("pageToken", "")]
    page = entries[: min(int(size) or LARGEST_PAGE, LARGEST_PAGE)]
    document: dict[str, Any] = {"kind": "storage#objects"}
    delimiter = query.get("delimiter", "")
    prefixes = [entry for entry in page if _is_prefix(entry, query)]
    items = [
        entry
        for entry in page
        if entry in bucket.objects and (entry not in prefixes or query.get("includeTrailingDelimiter") == "true")
    ]
    if items:
        document["items"] = [describe_object(call, bucket_name, name, bucket.objects[name]) for name in items]
    if prefixes and delimiter:
        document["prefixes"] = prefixes
    if len(page) < len(entries):
        document["nextPageToken"] = page[-1]
    return Reply(document=document)


def patch(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Change the metadata in the body; null clears it."""
    found = _writable(cloud, call, names)
    return _change(cloud, call, names, found, merge_patch(found.fields, call.json()))


def update(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Replace the metadata of an object."""
    return _change(cloud, call, names, _writable(cloud, call, names), call.json())


def delete(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Remove an object."""
    bucket_name, name = names["bucket"], names["object"]
    bucket = authorize(cloud, call, "storage.objects.delete", bucket_name, name)
    check_preconditions(call.query, find_object(bucket, bucket_name, name))
    del bucket.objects[name]
    return Reply(status=204)


def copy(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Copy an object; the older method."""
    return Reply(document=_copy(cloud, call, names))


def rewrite(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Copy an object at once."""
    resource = _copy(cloud, call, names)
    size = resource["size"]
    return Reply(
        document={
            "kind": "storage#rewriteResponse",
            "totalBytesRewritten": size,
            "objectSize": size,
            "done": True,
            "resource": resource,
        }
    )


def compose(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Join up to 32 objects of a bucket into one."""
    bucket_name, name = names["bucket"], names["object"]
    bucket = authorize(cloud, call, "storage.objects.create", bucket_name, name)
    body = call.json()
    sources = read_list(body, "sourceObjects")
    if not 0 < len(sources) <= 32 or not all(isinstance(source, dict) for source in sources):  # noqa: PLR2004 - as documented
        raise invalid("The number of source components is invalid.")
    contents = [find_object(bucket, bucket_name, read_text(source, "name")).content for source in sources]
    if sum(map(len, contents)) > LARGEST:
        raise invalid(f"The composite object is too large, more than {LARGEST} bytes.")
    check_preconditions(call.query, bucket.objects.get(name))
    made = store(cloud, bucket, name, b"".join(contents), read_object(body, "destination"))
    return Reply(document=describe_object(call, bucket_name, name, made))


def _writable(cloud: Cloud, call: Call, names: Mapping[str, str]) -> StoredObject:
    bucket = authorize(cloud, call, "storage.objects.update", names["bucket"], names["object"])
    found = find_object(bucket, names["bucket"], names["object"])
    check_preconditions(call.query, found)
    return found


def _change(
    cloud: Cloud, call: Call, names: Mapping[str, str], found: StoredObject, fields: Mapping[str, Any]
) -> Reply:
    found.fields = read_fields(fields)
    found.metageneration += 1
    found.updated = cloud.now()
    return Reply(document=describe_object(call, names["bucket"], names["object"], found))


def _copy(cloud: Cloud, call: Call, names: Mapping[str, str]) -> dict[str, Any]:
    source_bucket, source_name = names["bucket"], names["object"]
    source = find_object(
        authorize(cloud, call, "storage.objects.get", source_bucket, source_name), source_bucket, source_name
    )
    bucket_name, name = names["bucket2"], names["object2"]
    bucket = authorize(cloud, call, "storage.objects.create", bucket_name, name)
    check_preconditions(call.query, bucket.objects.get(name))
    made = store(cloud, bucket, name, source.content, {**source.fields, **read_fields(call.json())})
    return describe_object(call, bucket_name, name, made)


def _group_names(names: list[str], query: Mapping[str, str]) -> list[str]:
    """Return the names with the prefix, in order. Names with the same text up to a delimiter become one entry."""
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    entries: list[str] = []
    for name in names:
        if (
            not name.startswith(prefix)
            or name < query.get("startOffset", "")
            or name >= query.get("endOffset", name + " ")
        ):
            continue
        at = name.find(delimiter, len(prefix)) if delimiter else -1
        entry = name[: at + len(delimiter)] if at >= 0 else name
        if not entries or entries[-1] != entry:
            entries.append(entry)
    return entries


def _is_prefix(entry: str, query: Mapping[str, str]) -> bool:
    delimiter = query.get("delimiter", "")
    return bool(delimiter) and entry.endswith(delimiter) and len(entry) > len(query.get("prefix", ""))


_OBJECTS = "/storage/v1/b/{bucket}/o"
_OBJECT = f"{_OBJECTS}/{{object*}}"
"""The name of an object is one segment: its slashes must be encoded."""

_TARGET = "b/{bucket2}/o/{object2*}"

ROUTES = (
    Route("storage.objects.list", "GET", _OBJECTS, list_),
    Route("storage.objects.copy", "POST", f"{_OBJECT}/copyTo/{_TARGET}", copy, changes=True),
    Route("storage.objects.rewrite", "POST", f"{_OBJECT}/rewriteTo/{_TARGET}", rewrite, changes=True),
    Route("storage.objects.compose", "POST", f"{_OBJECT}/compose", compose, changes=True),
    Route("storage.objects.get", "GET", _OBJECT, get),
    Route("storage.objects.get", "GET", f"/download{_OBJECT}", get),
    Route("storage.objects.patch", "PATCH", _OBJECT, patch, changes=True),
    Route("storage.objects.update", "PUT", _OBJECT, update, changes=True),
    Route("storage.objects.delete", "DELETE", _OBJECT, delete, changes=True),
)
