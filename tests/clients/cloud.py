"""The Google that the clients meet: by default an emulator in a process of its own, else what the environment names.

Another STS needs its endpoints, its certificate authority if the system does not trust it, and that it knows what
`demands` lists. Nothing is planted there, access tokens live as long as it likes, and there is no journal to count
exchanges in.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

from tests.clients.names import PREFIX, Names, content_of
from tests.program import COMMAND, PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

OBJECT = "hello"
OPERATOR = "user:operator@example.com"
_ENDPOINTS = {
    "sts": f"{PREFIX}STS",
    "iam_credentials": f"{PREFIX}IAM_CREDENTIALS",
    "storage": f"{PREFIX}STORAGE",
    "bigquery": f"{PREFIX}BIGQUERY",
}
_CA_FILE = f"{PREFIX}CA_FILE"
_KEYS = f"{PREFIX}KEYS"


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

    def by_host(self) -> dict[str, str]:
        """Give the origins by Google's own host names of the services."""
        return {
            "sts.googleapis.com": self.sts,
            "iamcredentials.googleapis.com": self.iam_credentials,
            "storage.googleapis.com": self.storage,
            "www.googleapis.com": self.storage,
            "bigquery.googleapis.com": self.bigquery,
        }


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
        names: What things are called there.
        ca_file: Whom to trust for the secure ones; None where the system does.
        keys: Directory of the signing key that it trusts; None if a new one may be made.
        journal: Of its requests; None where it is not ours to read.
    """

    plain: Endpoints
    secure: Endpoints
    names: Names = field(default_factory=Names)
    ca_file: Path | None = None
    keys: Path | None = None
    journal: Journal | None = None

    @property
    def is_ours(self) -> bool:
        """Whether it is the emulator of this run, which does as it is told and counts."""
        return self.journal is not None

    def limit_lives(self, lives: Mapping[str, float]) -> None:
        """Let new access tokens of the accounts of these names live so many seconds at most; only if it is ours."""
        if self.is_ours:
            accounts = {self.names.account(name): life for name, life in lives.items()}
            self._post("/emulator/seed", {"access_token_lives": accounts})

    def plant(self, names: Iterable[str], jwks: dict[str, Any]) -> None:
        """Let exist what clients of these names need; only if it is ours."""
        if not self.is_ours:
            return
        self._post("/emulator/seed", demands(names, jwks, self.names))
        token = json.loads(self._post("/emulator/token", {"member": OPERATOR}))["access_token"]
        for name in names:
            path = f"/upload/storage/v1/b/{self.names.bucket(name)}/o?uploadType=media&name={OBJECT}"
            self._post(path, content_of(name), token=token)

    def _post(self, path: str, body: object, *, token: str = "") -> bytes:
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = Request(f"{self.plain.sts}{path}", content, headers)  # noqa: S310 - our own origin
        with urlopen(request, timeout=PATIENCE) as reply:  # noqa: S310 - our own origin
            answer: bytes = reply.read()
        return answer


def demands(clients: Iterable[str], jwks: dict[str, Any], names: Names) -> dict[str, Any]:
    """Give what must exist in a cloud for clients of these names, as a seed of the emulator says it.

    For each client an account that one subject may impersonate, and a bucket for that account and for another subject
    that acts directly; both may ask BigQuery.
    """
    accounts = {client: f"serviceAccount:{names.account(client)}" for client in clients}
    direct = {client: names.principal(f"user-{client}-direct") for client in accounts}
    provider = {"issuer": names.issuer, "jwks": jwks}
    askers = [*accounts.values(), *direct.values()]
    return {
        "projects": {names.project: names.project_number},
        "pools": [
            {"project_number": names.project_number, "pool": names.pool, "providers": {names.provider: provider}}
        ],
        "service_accounts": {
            names.account(client): {"roles/iam.workloadIdentityUser": [names.principal(f"user-{client}")]}
            for client in accounts
        },
        "project_policies": {names.project: {"roles/bigquery.jobUser": askers}},
        "buckets": {
            names.bucket(client): {"roles/storage.objectUser": [accounts[client], direct[client], OPERATOR]}
            for client in accounts
        },
    }


def is_elsewhere(environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether the environment names another cloud than our own."""
    return bool(environment.get(_ENDPOINTS["sts"]))


def _named(environment: Mapping[str, str]) -> Cloud:
    if not environment.get(_KEYS):
        raise RuntimeError(f"{_KEYS} is not set: let it name a keys directory whose keys that STS trusts")
    sts = environment[_ENDPOINTS["sts"]]
    endpoints = Endpoints(**{service: environment.get(variable) or sts for service, variable in _ENDPOINTS.items()})
    ca_file = environment.get(_CA_FILE)
    return Cloud(
        plain=endpoints,
        secure=endpoints,
        names=Names.of(environment),
        # clients run in directories of their own
        ca_file=Path(ca_file).absolute() if ca_file else None,
        keys=Path(environment[_KEYS]),
    )


@contextmanager
def cloud(place: Path, environment: Mapping[str, str] = os.environ) -> Iterator[Cloud]:
    """Give the cloud that the environment names, else run an emulator for the length of a `with` block."""
    if is_elsewhere(environment):
        yield _named(environment)
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
                names=Names.of(environment),
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
    clients = [*(client.name for client in CLIENTS), STRANGER]
    sys.stdout.write(json.dumps(demands(clients, json.loads(jwks.stdout), Names.of()), indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
