"""Python clients as in a user's program: for each bucket on standard input one read, and one line of JSON.

A number N after the bucket means N threads that read at once. Run it as `probe.py CLIENT ORIGIN`, with the variables of
the credentials directory and nothing else. A client is created once and lives as long as the program. This file does
not know the product.
"""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

    Read = Callable[[str], str]

OBJECT = "hello"
SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]
PATIENCE = 5
"""How many seconds clients may spend on repeating a failed request."""


def google_auth(origin: str) -> Read:
    """Read with the session of google-auth."""
    import google.auth
    from google.auth.transport.requests import AuthorizedSession

    credentials, _ = google.auth.default(SCOPES)
    session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call] # it has no types

    def read(bucket: str) -> str:
        answer = session.get(f"{origin}/storage/v1/b/{bucket}/o/{OBJECT}?alt=media", timeout=30)
        answer.raise_for_status()
        return str(answer.text)

    return read


def google_cloud_storage(origin: str) -> Read:
    """Read with Google's client of Cloud Storage."""
    from google.cloud import storage

    client = storage.Client(client_options={"api_endpoint": origin})
    return lambda bucket: str(client.bucket(bucket).blob(OBJECT).download_as_text(retry=None))


def google_cloud_bigquery(origin: str) -> Read:
    """Ask BigQuery for the caller; the bucket is not used."""
    from google.cloud import bigquery

    client = bigquery.Client(client_options={"api_endpoint": origin})

    def read(_: str) -> str:
        (row,) = client.query_and_wait("SELECT SESSION_USER() AS who", retry=None, job_retry=None)
        return str(row.who)

    return read


def gcsfs(origin: str) -> Read:
    """Read with gcsfs, as pandas, dask and others do."""
    # else it asks storage.googleapis.com over gRPC whether a bucket is hierarchical, and that origin is fixed
    os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
    from gcsfs import GCSFileSystem

    files = GCSFileSystem(endpoint_url=origin, token="google_default", retries=1)
    return lambda bucket: bytes(files.cat_file(f"{bucket}/{OBJECT}")).decode()


def pyarrow(origin: str) -> Read:
    """Read with Arrow, and so with Google's client for C++."""
    from pyarrow.fs import GcsFileSystem

    place = urlsplit(origin)
    files = GcsFileSystem(
        endpoint_override=place.netloc, scheme=place.scheme, retry_time_limit=timedelta(seconds=PATIENCE)
    )

    def read(bucket: str) -> str:
        with files.open_input_stream(f"{bucket}/{OBJECT}") as stream:
            return bytes(stream.read()).decode()

    return read


def opendal(origin: str) -> Read:
    """Read with OpenDAL."""
    from opendal import Operator

    operators: dict[str, Any] = {}

    def read(bucket: str) -> str:
        operator = operators.get(bucket) or operators.setdefault(
            bucket, Operator("gcs", bucket=bucket, endpoint=origin)
        )
        return bytes(operator.read(OBJECT)).decode()

    return read


def obstore(origin: str) -> Read:
    """Read with object_store, which does not know external accounts, through the access token's file, if any."""
    from obstore.store import GCSStore

    settings: dict[str, Any] = {"client_options": {"allow_http": True}, "retry_config": {"max_retries": 0}}
    if (path := os.environ.get("REFRESHER_ACCESS_TOKEN_FILE")) is None:
        stores: dict[str, GCSStore] = {}

        def read_with_metadata(bucket: str) -> str:
            store = stores.get(bucket) or stores.setdefault(bucket, GCSStore(bucket, base_url=origin, **settings))
            return bytes(store.get(OBJECT).bytes()).decode()

        return read_with_metadata

    token_file = Path(path)
    # it reads this variable even with explicit settings, and fails on this document
    os.environ.pop("GOOGLE_APPLICATION_CREDENTIALS", None)

    def credentials() -> dict[str, Any]:
        return {"token": token_file.read_text(), "expires_at": None}

    def read(bucket: str) -> str:
        store = GCSStore(bucket, base_url=origin, credential_provider=credentials, **settings)
        return bytes(store.get(OBJECT).bytes()).decode()

    return read


def duckdb(origin: str) -> Read:
    """Read with DuckDB, which only accepts a bearer token, through the access token's file."""
    import duckdb as library
    import duckdb_extension_httpfs

    token_file = Path(os.environ["REFRESHER_ACCESS_TOKEN_FILE"])
    place = urlsplit(origin)
    connection = library.connect()
    extension = next(Path(str(duckdb_extension_httpfs.__file__)).parent.rglob("httpfs.duckdb_extension"))
    connection.execute(f"LOAD '{extension}'")
    connection.execute("SET http_retries = 0")
    # it uses this setting, and none of the usual variables
    if (trusted := os.environ.get("SSL_CERT_FILE")) is not None:
        connection.execute(f"SET ca_cert_file = '{trusted}'")

    def read(bucket: str) -> str:
        connection.execute(
            f"CREATE OR REPLACE SECRET (TYPE gcs, BEARER_TOKEN '{token_file.read_text()}', "
            f"ENDPOINT '{place.netloc}', USE_SSL {place.scheme == 'https'}, URL_STYLE 'path')"
        )
        row = connection.execute(f"SELECT content FROM read_text('gcs://{bucket}/{OBJECT}')").fetchone()  # noqa: S608 - a test's own bucket
        return str(row[0]) if row else ""

    return read


def tensorstore(origin: str) -> Read:
    """Read with TensorStore, which does not know external accounts, and is anonymous where it finds nothing."""
    os.environ["TENSORSTORE_GCS_HTTP_URL"] = origin
    import tensorstore as library

    stores: dict[str, Any] = {}

    def read(bucket: str) -> str:
        store = stores.get(bucket)
        if store is None:
            # by default it caches for ever what it read, and tries for minutes
            kind = {"driver": "gcs", "bucket": bucket, "context": {"gcs_request_retries": {"max_retries": 1}}}
            store = stores.setdefault(bucket, library.KvStore.open(kind).result())
        return bytes(store[OBJECT]).decode()

    return read


CLIENTS = {
    "google-auth": google_auth,
    "google-cloud-storage": google_cloud_storage,
    "google-cloud-bigquery": google_cloud_bigquery,
    "gcsfs": gcsfs,
    "pyarrow": pyarrow,
    "opendal": opendal,
    "obstore": obstore,
    "duckdb": duckdb,
    "tensorstore": tensorstore,
}


def read_at_once(read: Read, bucket: str, threads: int) -> set[str]:
    """Read in several threads, which begin together; return each different answer once."""
    if threads == 1:
        return {read(bucket)}
    together = Barrier(threads)

    def begin(_: int) -> str:
        together.wait()
        return read(bucket)

    with ThreadPoolExecutor(threads) as pool:
        return set(pool.map(begin, range(threads)))


def main(client: str, origin: str) -> None:
    """Answer until the input ends."""
    read: Read | None = None
    for line in sys.stdin:
        try:
            read = read or CLIENTS[client](origin)
            bucket, _, threads = line.strip().partition(" ")
            answer = {"content": " ".join(read_at_once(read, bucket, int(threads or 1)))}
        except Exception as error:  # noqa: BLE001 - whatever a client raises is what its user meets
            answer = {"error": type(error).__name__, "message": str(error)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
