"""The Google that the clients meet: by default an emulator in a process of its own, else what the environment names.

Another STS needs its endpoints and its certificate authority, and that it knows what `demands` lists. Nothing is
planted there, access tokens live as long as it likes, and there is no journal to count exchanges in.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

from tests.program import COMMAND, ISSUER, PATIENCE, PROJECT, account_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

OBJECT = "hello"
PROJECT_NUMBER = "123456789012"
POOL, PROVIDER = "workers", "refresher"
OPERATOR = "user:operator@example.com"
_PRINCIPAL = f"principal://iam.googleapis.com/projects/{PROJECT_NUMBER}/locations/global/workloadIdentityPools/{POOL}"
_ENDPOINTS = {
    "sts": "REFRESHER_CLIENTS_STS",
    "iam_credentials": "REFRESHER_CLIENTS_IAM_CREDENTIALS",
    "storage": "REFRESHER_CLIENTS_STORAGE",
    "bigquery": "REFRESHER_CLIENTS_BIGQUERY",
}
_CA_FILE = "REFRESHER_CLIENTS_CA_FILE"
_KEYS = "REFRESHER_CLIENTS_KEYS"


@dataclass(frozen=True, kw_only=True)
class Endpoints:
    """Origins of the services that clients call."""

    sts: str
    iam_credentials: str
    storage: str
    bigquery: str

    @classmethod
    def at(cls, origin: str) -> Endpoints:
        """Give those of a cloud that has one origin."""
        return cls(**dict.fromkeys(_ENDPOINTS, origin))


class Journal:
    """What the emulator's journal file says so far, read on as it grows; several threads may ask."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._read = 0
        self._entries: dict[tuple[str, str], list[dict[str, Any]]] = {}

    def exchanges(self, subject: str) -> list[dict[str, Any]]:
        """Give the exchanges of subject tokens of a subject, oldest first."""
        return self._of("sts.token", subject)

    def impersonations(self, account: str) -> list[dict[str, Any]]:
        """Give the requests for access tokens of a service account, oldest first."""
        return self._of("iamcredentials.generateAccessToken", account)

    def _of(self, operation: str, whom: str) -> list[dict[str, Any]]:
        with self._lock:
            self._read_on()
            return list(self._entries.get((operation, whom), []))

    def _read_on(self) -> None:
        with self._path.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._read += len(line)
                entry = json.loads(line)
                whom = entry["facts"].get("service_account") or entry["facts"].get("subject", "")
                self._entries.setdefault((entry["operation"], whom), []).append(entry)


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """Where it is, and what may be done to it.

    Attributes:
        plain: Endpoints for clients that take http.
        secure: Endpoints for those that take https alone.
        ca_file: Whom to trust for the secure ones.
        keys: Directory of the signing key that it trusts; None if a new one may be made.
        journal: Of its requests; None where it is not ours to read.
    """

    plain: Endpoints
    secure: Endpoints
    ca_file: Path
    keys: Path | None = None
    journal: Journal | None = None

    def limit_lives(self, lives: Mapping[str, float]) -> None:
        """Let new access tokens of the accounts of these names live so many seconds at most; only if it is ours."""
        if self.journal is not None:
            self._post(
                "/emulator/seed", {"access_token_lives": {account_of(name): life for name, life in lives.items()}}
            )

    def plant(self, names: Iterable[str], jwks: dict[str, Any]) -> None:
        """Let exist what clients of these names need; only if it is ours."""
        if self.journal is None:
            return
        self._post("/emulator/seed", demands(names, jwks))
        token = json.loads(self._post("/emulator/token", {"member": OPERATOR}))["access_token"]
        for name in names:
            path = f"/upload/storage/v1/b/{bucket_of(name)}/o?uploadType=media&name={OBJECT}"
            self._post(path, content_of(name), token=token)

    def _post(self, path: str, body: object, *, token: str = "") -> bytes:
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = Request(f"{self.plain.sts}{path}", content, headers)  # noqa: S310 - our own origin
        with urlopen(request, timeout=PATIENCE) as reply:  # noqa: S310 - our own origin
            answer: bytes = reply.read()
        return answer


def bucket_of(name: str) -> str:
    """Give the bucket that one client's account may use and no other."""
    return f"{name}-data"


def content_of(name: str) -> str:
    """Give what the object in a client's bucket holds."""
    return f"hello {name}"


def demands(names: Iterable[str], jwks: dict[str, Any]) -> dict[str, Any]:
    """Give what must exist in a cloud for clients of these names, as a seed of the emulator says it.

    For each client an account that one subject may impersonate, and a bucket for that account and for another subject
    that acts directly; both may ask BigQuery.
    """
    accounts = {name: f"serviceAccount:{account_of(name)}" for name in names}
    direct = {name: f"{_PRINCIPAL}/subject/user-{name}-direct" for name in names}
    askers = [*accounts.values(), *direct.values()]
    return {
        "projects": {PROJECT: PROJECT_NUMBER},
        "pools": [{"pool": POOL, "providers": {PROVIDER: {"issuer": ISSUER, "jwks": jwks}}}],
        "service_accounts": {
            account_of(name): {"roles/iam.workloadIdentityUser": [f"{_PRINCIPAL}/subject/user-{name}"]}
            for name in names
        },
        "project_policies": {PROJECT: {"roles/bigquery.jobUser": askers}},
        "buckets": {
            bucket_of(name): {"roles/storage.objectUser": [accounts[name], direct[name], OPERATOR]} for name in names
        },
    }


@contextmanager
def cloud(place: Path, environment: Mapping[str, str] = os.environ) -> Iterator[Cloud]:
    """Give the cloud that the environment names, else run an emulator for the length of a `with` block."""
    if (named := environment.get(_ENDPOINTS["sts"])) is not None:
        endpoints = Endpoints(**{service: environment.get(variable, named) for service, variable in _ENDPOINTS.items()})
        yield Cloud(
            plain=endpoints, secure=endpoints, ca_file=Path(environment[_CA_FILE]), keys=Path(environment[_KEYS])
        )
        return
    journal = place / "journal"
    command = [*COMMAND, "emulator", "--directory", str(place / "google"), "--journal", str(journal)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            yield Cloud(
                plain=Endpoints.at(ready["http"]),
                secure=Endpoints.at(ready["https"]),
                ca_file=Path(ready["ca_file"]),
                journal=Journal(journal),
            )
        finally:
            process.kill()


def main(keys: str) -> None:
    """Print what must exist in another cloud that is to trust the keys of a directory, as a seed of the emulator."""
    from tests.clients.roster import CLIENTS  # noqa: PLC0415 - the roster knows clouds
    from tests.clients.stage import STRANGER  # noqa: PLC0415

    jwks = subprocess.run([*COMMAND, "keys", "jwks", "--directory", keys], capture_output=True, check=True, timeout=100)
    names = [*(client.name for client in CLIENTS), STRANGER]
    sys.stdout.write(json.dumps(demands(names, json.loads(jwks.stdout)), indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
