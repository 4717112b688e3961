"""The XML API, for reading only: `GET /BUCKET/OBJECT`, with errors in XML.

https://cloud.google.com/storage/docs/xml-api. Its paths begin at the root, so it only answers for the hosts of Cloud
Storage and for buckets that exist. Signed URLs are not supported.
"""

from collections.abc import Mapping
from html import escape

from refresher.emulator.cloud import Cloud
from refresher.emulator.errors import Refusal
from refresher.emulator.http import ENCODED_SLASH, Call, Reply, Route
from refresher.emulator.storage.access import authorize, find_object, unknown_path
from refresher.emulator.storage.objects import read_content

_JSON_API = ("/storage/v1/", "/upload/storage/v1/", "/download/storage/v1/", "/resumable/upload/storage/v1/")
_CODES = {400: "InvalidArgument", 401: "AccessDenied", 403: "AccessDenied", 404: "NoSuchKey", 416: "InvalidRange"}


def get(cloud: Cloud, call: Call, names: Mapping[str, str]) -> Reply:
    """Return the content of an object."""
    try:
        bucket = authorize(cloud, call, "storage.objects.get", names["bucket"], names["object"])
        return read_content(call, find_object(bucket, names["bucket"], names["object"]))
    except Refusal as refused:
        raise _convert_to_xml(refused) from None


def find_route(cloud: Cloud, call: Call) -> tuple[Route, dict[str, str]] | None:
    """Return the route of a request to the XML API; None for another request.

    Raises:
        Refusal: The path belongs to the JSON API, which does not have it.
    """
    if call.path.startswith(_JSON_API):
        raise unknown_path()
    if call.method not in ("GET", "HEAD"):
        return None
    host = call.headers.get("host", "").partition(":")[0]
    path = call.path.lstrip("/").replace(ENCODED_SLASH, "/")
    if host.endswith(".storage.googleapis.com"):
        bucket, name = host.removesuffix(".storage.googleapis.com"), path
    else:
        bucket, _, name = path.partition("/")
    if not name or not (host.endswith("storage.googleapis.com") or bucket in cloud.state.buckets):
        return None
    return _ROUTE, {"bucket": bucket, "object": name}


def _convert_to_xml(refused: Refusal) -> Refusal:
    error = refused.document.get("error", {})
    message = str(error.get("message", "")) if isinstance(error, dict) else ""
    code = "NoSuchBucket" if "bucket does not exist" in message else _CODES.get(refused.status, "InternalError")
    text = (
        f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    )
    headers = {"content-type": "application/xml; charset=UTF-8"}
    return Refusal(refused.status, refused.document, refused.entry, text=text, headers=headers)


_ROUTE = Route("storage.objects.get", "GET", "", get)
