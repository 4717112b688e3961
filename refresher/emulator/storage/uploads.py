"""Uploads: simple, multipart and resumable.

https://cloud.google.com/storage/docs/uploads-downloads. A restart deletes the resumable uploads in progress.
"""

import re
import secrets
from collections.abc import Mapping
from typing import Any

from refresher.emulator.cloud import Cloud
from refresher.emulator.http import Call, Reply, Route, parse_json_object
from refresher.emulator.storage.access import authorize, invalid, refusal
from refresher.emulator.storage.resources import check_preconditions, describe_object, read_fields, store
from refresher.emulator.storage_state import Bucket, Upload

MOST_UPLOADS = 1000
"""The limit of resumable uploads in progress; beyond it the oldest one is deleted."""

_BOUNDARY = re.compile(r"boundary=(?:\"([^\"]+)\"|'([^']+)'|([^;\s]+))")
_RANGE = re.compile(r"bytes (?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)")


def insert(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Upload a whole object, or begin a resumable upload."""
    kind = call.query.get("uploadType", "")
    bucket_name = names["bucket"]
    if kind == "multipart":
        fields, content = _split_parts(call)
    elif kind == "resumable":
        fields, content = call.json(), b""
    elif kind == "media":
        fields, content = {}, call.body
        if "content-type" in call.headers:
            fields["contentType"] = call.headers["content-type"]
    else:
        raise invalid("Invalid upload type.")
    name = fields.get("name") or call.query.get("name", "")
    if not isinstance(name, str) or not name:
        raise invalid("Required object name.")
    bucket = authorize(cloud, call, "storage.objects.create", bucket_name, name)
    if kind == "resumable":
        return _begin(cloud, call, bucket_name, name, fields)
    return Reply(document=_store(cloud, call, bucket, bucket_name, name, content, fields))


def resume(cloud: Cloud, call: Call, _: Mapping[str, str]) -> Reply:
    """Store the next part of a resumable upload, or show how much has arrived."""
    upload_id = call.query.get("upload_id", "")
    upload = cloud.uploads.get(upload_id)
    if upload is None:
        raise refusal(404, "notFound", "No such upload.")
    call.facts.update(bucket=upload.bucket, object=upload.name)
    header = call.headers.get("content-range", "")
    found = _RANGE.fullmatch(header)
    if header and found is None:
        raise invalid("Invalid Content-Range.")
    total = None if found is None or found[3] == "*" else int(found[3])
    if found is None or found[1] is not None:
        begin = int(found[1]) if found is not None else 0
        if found is not None and int(found[2]) - begin + 1 != len(call.body):
            raise invalid("Content-Range does not match the length of the body.")
        if begin > len(upload.content):
            raise refusal(503, "backendError", "Invalid request. There were bytes missing before.")
        upload.content[begin:] = call.body
        total = len(upload.content) if found is None else total
    if total is None or len(upload.content) < total:
        last = {"range": f"bytes=0-{len(upload.content) - 1}"} if upload.content else {}
        return Reply(status=308, content=b"", headers=last)
    bucket = cloud.state.buckets.get(upload.bucket)
    if bucket is None:
        raise refusal(404, "notFound", "The specified bucket does not exist.")
    began = Call(method=call.method, path=call.path, query=upload.query, headers=call.headers, scheme=call.scheme)
    document = _store(cloud, began, bucket, upload.bucket, upload.name, bytes(upload.content), upload.fields)
    del cloud.uploads[upload_id]
    return Reply(document=document)


def cancel(cloud: Cloud, call: Call, _: Mapping[str, str]) -> Reply:
    """Delete a resumable upload."""
    if cloud.uploads.pop(call.query.get("upload_id", ""), None) is None:
        raise refusal(404, "notFound", "No such upload.")
    return Reply(status=499, content=b"")


def _begin(cloud: Cloud, call: Call, bucket: str, name: str, fields: dict[str, Any]) -> Reply:
    if "x-upload-content-type" in call.headers:
        fields.setdefault("contentType", call.headers["x-upload-content-type"])
    read_fields(fields)
    while len(cloud.uploads) >= MOST_UPLOADS:
        del cloud.uploads[next(iter(cloud.uploads))]
    upload_id = secrets.token_urlsafe(24)
    cloud.uploads[upload_id] = Upload(bucket=bucket, name=name, fields=fields, query=dict(call.query))
    host = call.headers.get("host", "storage.googleapis.com")
    location = f"{call.scheme}://{host}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={upload_id}"
    return Reply(content=b"", headers={"location": location, "x-guploader-uploadid": upload_id})


def _store(
    cloud: Cloud, call: Call, bucket: Bucket, bucket_name: str, name: str, content: bytes, fields: dict[str, Any]
) -> dict[str, Any]:
    check_preconditions(call.query, bucket.objects.get(name))
    return describe_object(call, bucket_name, name, store(cloud, bucket, name, content, fields))


def _split_parts(call: Call) -> tuple[dict[str, Any], bytes]:
    """Split a multipart/related body (RFC 2387) into a JSON document and the content.

    All lines must end like the first one: gcloud ends them without carriage returns, and Google accepts that.
    """
    found = _BOUNDARY.search(call.headers.get("content-type", ""))
    if found is None:
        raise invalid("The multipart boundary is missing.")
    mark = b"--" + (found[1] or found[2] or found[3]).encode("latin-1", "replace")
    end = b"\n" if (mark + b"\n") in call.body[: len(mark) + 4] else b"\r\n"
    pieces = (end + call.body).split(end + mark)
    if len(pieces) < 4:  # noqa: PLR2004 - before, document, content, end
        raise invalid("The multipart body must have two parts.")
    head, content = (_split_part(piece, end) for piece in pieces[1:3])
    try:
        fields = parse_json_object(head[1])
    except ValueError:
        raise invalid("The first part is not a JSON object.") from None
    if content[0]:
        fields.setdefault("contentType", content[0])
    return fields, content[1]


def _split_part(piece: bytes, end: bytes) -> tuple[str, bytes]:
    """Split a part into its content type and its content."""
    head, _, content = piece.partition(end + end)
    kind = re.search(rb"(?im)^content-type:\s*([^\r\n]+)", head)
    return (kind[1].decode("latin-1").strip() if kind else ""), content


_UPLOAD = "/upload/storage/v1/b/{bucket}/o"

ROUTES = (
    Route("storage.objects.insert", "POST", _UPLOAD, insert, changes=True),
    Route("storage.objects.insert", "POST", f"/resumable{_UPLOAD}", insert, changes=True),
    Route("storage.objects.resume", "PUT", _UPLOAD, resume, changes=True),
    Route("storage.objects.resume", "PUT", f"/resumable{_UPLOAD}", resume, changes=True),
    Route("storage.objects.cancel", "DELETE", _UPLOAD, cancel),
)
