"""The Google that the clients call: by default an emulator in a separate process, else the cloud of the environment.

Another cloud needs its endpoints, its certificate authority if the system does not trust it, and the resources of
`build_seed`. The tests don't create these resources there, cannot shorten access tokens, and have no journal to count
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

from tests.clients.names import PREFIX, Names, build_content
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
    def at_one_origin(cls, origin: str) -> Endpoints:
        """Return the endpoints of a cloud with one origin."""
        return cls(**dict.fromkeys(_ENDPOINTS, origin))

    def by_host(self) -> dict[str, str]:
        """Return the origins by Google's host names of the services."""
        return {
            "sts.googleapis.com": self.sts,
            "iamcredentials.googleapis.com": self.iam_credentials,
            "storage.googleapis.com": self.storage,
            "www.googleapis.com": self.storage,
            "bigquery.googleapis.com": self.bigquery,
        }


class Journal:
    """The journal file of the emulator, read as it grows; safe from several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._read = 0
        self._entries: dict[tuple[str, str], list[dict[str, Any]]] = {}

    def exchanges(self, subject: str) -> list[dict[str, Any]]:
        """Return the exchanges of a subject's tokens, oldest first."""
        return self._of("sts.token", subject)

    def impersonations(self, account: str) -> list[dict[str, Any]]:
        """Return the requests for access tokens of a service account, oldest first."""
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
    """A cloud for the clients.

    Attributes:
        plain: Endpoints for clients that accept http.
        secure: Endpoints for clients that only accept https.
        names: The names of its resources.
        ca_file: The certificate authority of the secure endpoints; None if the system trusts it.
        keys: The directory of the signing key that it trusts; None if a new key can be created.
        journal: The journal of its requests; None for another cloud.
    """

    plain: Endpoints
    secure: Endpoints
    names: Names = field(default_factory=Names)
    ca_file: Path | None = None
    keys: Path | None = None
    journal: Journal | None = None

    @property
    def is_ours(self) -> bool:
        """Whether it is the emulator of this run, which the tests can change and which has a journal."""
        return self.journal is not None

    def limit_lives(self, lives: Mapping[str, float]) -> None:
        """Limit the lifetime of new access tokens of these accounts, in seconds; only in the emulator of this run."""
        if self.is_ours:
            accounts = {self.names.account(name): life for name, life in lives.items()}
            self._post("/emulator/seed", {"access_token_lives": accounts})

    def go_down(self) -> None:
        """Issue no tokens until `come_back`; only in the emulator of this run."""
        for operation in ("sts.token", "iamcredentials.generateAccessToken"):
            self._post("/emulator/faults", {"operation": operation, "status": 503, "times": 1_000_000})

    def come_back(self) -> None:
        """Issue tokens again."""
        self._post("/emulator/faults", {}, method="DELETE")

    def seed(self, names: Iterable[str], jwks: dict[str, Any]) -> None:
        """Create the resources that clients of these names need; only in the emulator of this run."""
        if not self.is_ours:
            return
        self._post("/emulator/seed", build_seed(names, jwks, self.names))
        token = json.loads(self._post("/emulator/token", {"member": OPERATOR}))["access_token"]
        for name in names:
            path = f"/upload/storage/v1/b/{self.names.bucket(name)}/o?uploadType=media&name={OBJECT}"
            self._post(path, build_content(name), token=token)

    def _post(self, path: str, body: object, *, token: str = "", method: str = "POST") -> bytes:
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = Request(f"{self.plain.sts}{path}", content, headers, method=method)  # noqa: S310 - our own origin
        with urlopen(request, timeout=PATIENCE) as reply:  # noqa: S310 - our own origin
            answer: bytes = reply.read()
        return answer


def build_seed(clients: Iterable[str], jwks: dict[str, Any], names: Names) -> dict[str, Any]:
    """Return the resources that a cloud needs for clients of these names, as a seed of the emulator.

    Each client has an account that one subject may impersonate, and a bucket for that account and for a second subject
    that acts directly. Both may query BigQuery.
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


def is_other_cloud(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether the environment selects another cloud than the emulator."""
    return bool(environment.get(_ENDPOINTS["sts"]))


def _read_cloud(environment: Mapping[str, str]) -> Cloud:
    if not environment.get(_KEYS):
        raise RuntimeError(f"{_KEYS} is not set: set it to a keys directory whose keys that STS trusts")
    sts = environment[_ENDPOINTS["sts"]]
    endpoints = Endpoints(**{service: environment.get(variable) or sts for service, variable in _ENDPOINTS.items()})
    ca_file = environment.get(_CA_FILE)
    return Cloud(
        plain=endpoints,
        secure=endpoints,
        names=Names.from_environment(environment),
        # each client runs in another directory
        ca_file=Path(ca_file).absolute() if ca_file else None,
        keys=Path(environment[_KEYS]),
    )


@contextmanager
def cloud(place: Path, environment: Mapping[str, str] = os.environ) -> Iterator[Cloud]:
    """Return the cloud of the environment, or run an emulator for the length of a `with` block."""
    if is_other_cloud(environment):
        yield _read_cloud(environment)
        return
    journal = place / "journal"
    command = [*COMMAND, "emulator", "--directory", str(place / "google"), "--journal", str(journal)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            yield Cloud(
                plain=Endpoints.at_one_origin(ready["http"]),
                secure=Endpoints.at_one_origin(ready["https"]),
                names=Names.from_environment(environment),
                ca_file=Path(ready["ca_file"]),
                journal=Journal(journal),
            )
        finally:
            process.kill()


def main(keys: str) -> None:
    """Print the resources that another cloud needs to trust the keys of a directory, as a seed of the emulator."""
    from tests.clients.registry import CLIENTS  # noqa: PLC0415 - the registry imports this module
    from tests.clients.setup import STRANGER  # noqa: PLC0415

    jwks = subprocess.run([*COMMAND, "keys", "jwks", "--directory", keys], capture_output=True, check=True, timeout=100)
    clients = [*(client.name for client in CLIENTS), STRANGER]
    sys.stdout.write(
        json.dumps(build_seed(clients, json.loads(jwks.stdout), Names.from_environment()), indent=2) + "\n"
    )


if __name__ == "__main__":
    main(sys.argv[1])
