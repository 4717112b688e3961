"""A user's program with Google's own client of Cloud Storage; it prints the results as JSON."""

from __future__ import annotations

import json
import sys

from google.api_core.exceptions import GoogleAPICallError
from google.cloud import storage

LARGE = bytes(range(256)) * 4096
CHUNK = 256 * 1024


def main(origin: str, bucket_name: str) -> None:
    """Upload in every way, read in every way, list, copy, compose, and use a precondition."""
    client = storage.Client(client_options={"api_endpoint": origin})
    bucket = client.bucket(bucket_name)
    small = bucket.blob("in/small")
    small.metadata = {"a": "b"}
    small.upload_from_string("small", content_type="text/x")
    large = bucket.blob("in/large", chunk_size=CHUNK)
    large.upload_from_string(LARGE, checksum="crc32c")
    told = {
        "small": [small.download_as_text(), small.content_type, small.metadata],
        "large": bucket.blob("in/large", chunk_size=CHUNK).download_as_bytes() == LARGE,
        "range": large.download_as_bytes(start=1, end=3).hex(),
        "listed": sorted(blob.name for blob in client.list_blobs(bucket_name, prefix="in/", page_size=1)),
    }
    try:
        small.upload_from_string("again", if_generation_match=0)
    except GoogleAPICallError as error:
        told["precondition"] = error.code
    bucket.copy_blob(small, bucket, "copy")
    bucket.blob("joined").compose([small, small])
    told["joined"] = bucket.blob("joined").download_as_text()
    small.delete()
    told["left"] = sorted(blob.name for blob in client.list_blobs(bucket_name))
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
