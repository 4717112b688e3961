"""The setup that every client runs in: a cloud, the real daemon, and a credentials directory per client.

A client gets the directory, the variables of its `env` file, its own home and a PATH. One daemon runs for each way to
the cloud, because the ways differ in the endpoints of the configuration.
"""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from tests.clients.proxy import proxy
from tests.program import Worker, until

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.clients.cloud import Cloud, Endpoints
    from tests.clients.names import Names

STRANGER = "stranger"
"""A target whose subject may act as its own account, but not as the account of any client."""
NORMAL_LIFE = "1h"
_TRUST = (
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
)
"""Variables that name a certificate authority for clients; Java has a trust store instead."""
SHORT_LIFE = "20s"
"""The lifetime of subject tokens in a short test: a file is rotated every eight to ten seconds."""


class Way(StrEnum):
    """How a client reaches the cloud."""

    PLAIN = "plain"
    """Over http, where the cloud has it."""
    SECURE = "secure"
    """Over https, for clients that accept nothing else."""
    BY_NAME = "by-name"
    """By Google's own host names, through the proxy, for clients that use no other names."""


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a client needs in the setup.

    Attributes:
        way: How it reaches the cloud.
        artifacts: The optional artifacts of its target.
    """

    way: Way = Way.PLAIN
    artifacts: Collection[str] = ()


@dataclass(frozen=True, kw_only=True)
class Setup:
    """The surroundings of all clients.

    Attributes:
        cloud: The Google that they call.
        place: The directory with all files.
        all_needs: What each client needs, by name.
        workers: One worker for each way.
        proxy: The origin of a proxy that connects Google's host names with the cloud.
        prefixes: By name of client, the command in front of each of its commands; none on this machine itself.
    """

    cloud: Cloud
    place: Path
    all_needs: Mapping[str, Needs]
    workers: Mapping[Way, Worker]
    proxy: str
    prefixes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    _daemons: ExitStack = field(default_factory=ExitStack)

    def directory(self, name: str, *, of: str = "") -> Path:
        """Return the credentials directory of a client, or of another target of the same worker."""
        return self.workers[self.all_needs[name].way].directory(of or name)

    def endpoints(self, name: str) -> Endpoints:
        """Return the endpoints that a client uses."""
        return self.cloud.plain if self.all_needs[name].way is Way.PLAIN else self.cloud.secure

    def variables(self, name: str, *, direct: bool = False) -> dict[str, str]:
        """Return all variables of a client: those of `env`, a home, a PATH, and the certificate authority."""
        target = direct_name(name) if direct else name
        lines = (self.directory(name, of=target) / "env").read_text().splitlines()
        home = self.place / "homes" / target
        home.mkdir(parents=True, exist_ok=True)
        written = dict(line.split("=", 1) for line in lines)
        trusted = {} if self.cloud.ca_file is None else dict.fromkeys(_TRUST, str(self.cloud.ca_file))
        return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"} | trusted | written

    def configure(self, lifetime: str) -> None:
        """Set the lifetime of subject tokens from the next start of the daemons; clients get new homes."""
        self.leave_homes()
        for way, worker in self.workers.items():
            worker.lifetime = lifetime
            all_needs = {name: needs for name, needs in self.all_needs.items() if needs.way is way}
            worker.write(_configuration(worker, all_needs, self.cloud.names))

    def leave_homes(self, client: str = "") -> None:
        """Remove the homes of clients, or of one client: tools keep access tokens there."""
        shutil.rmtree(self.place / "homes" / client, ignore_errors=True)

    def start(self) -> None:
        """Start the daemons, and return when every directory is complete."""
        for way, worker in self.workers.items():
            self._daemons.enter_context(worker.daemon()).wait_for("daemon.ready")
            for name, needs in self.all_needs.items():
                if needs.way is way:
                    for artifact in ("env", *needs.artifacts):
                        until((worker.directory(name) / artifact).exists, what=f"{artifact} of {name}")

    def wrap(self, name: str, command: Sequence[str]) -> Sequence[str]:
        """Return the command that runs a command where a client is."""
        return (*self.prefixes.get(name, ()), *command)

    def files(self) -> list[Path]:
        """Return all files that are replaced again and again."""
        return [
            self.directory(name, of=target) / artifact
            for name, needs in self.all_needs.items()
            for target in (name, direct_name(name))
            for artifact in {"token", *needs.artifacts}
        ]

    def public_keys(self) -> dict[str, Any]:
        """Return the JWKS that verifies all subject tokens."""
        return next(iter(self.workers.values())).public_keys()

    def stop(self) -> None:
        """Stop the daemons as a crash does."""
        self._daemons.close()

    def printed(self) -> str:
        """Return everything that the daemons and commands of the product printed."""
        return "\n".join(worker.everything_printed() for worker in self.workers.values())


@contextmanager
def set_up(cloud: Cloud, place: Path, all_needs: Mapping[str, Needs]) -> Iterator[Setup]:
    """Create a setup for clients. Its daemons are not started yet."""
    keys = cloud.keys
    if keys is None:
        keys = place / "keys"
        cloud.seed([*all_needs, STRANGER], Worker(place=place).make_keys())
    workers = {}
    for way in {needs.way: needs for needs in all_needs.values()}:
        home = place / way
        home.mkdir()
        shutil.copytree(keys, home / "keys")
        workers[way] = Worker(place=home, google=_google(cloud, way))
    with proxy(cloud.secure.by_host()) as lead:
        made = Setup(cloud=cloud, place=place, all_needs=all_needs, workers=workers, proxy=lead)
        try:
            yield made
        finally:
            made.stop()


def direct_name(name: str) -> str:
    """Return the name of a client's second target, which acts directly, without a service account."""
    return f"{name}-direct"


def subject_name(name: str) -> str:
    """Return the subject of a target."""
    return f"user-{name}"


def _google(cloud: Cloud, way: Way) -> dict[str, Any] | None:
    """Return the section `google` of the configuration; None for Google's own host names."""
    if way is Way.BY_NAME:
        return None
    endpoints = cloud.plain if way is Way.PLAIN else cloud.secure
    origins = {"sts": endpoints.sts, "iam_credentials": endpoints.iam_credentials}
    trust = {} if cloud.ca_file is None else {"ca_file": str(cloud.ca_file)}
    return {"emulator": True, "endpoints": origins, **trust}


def _configuration(worker: Worker, all_needs: Mapping[str, Needs], names: Names) -> dict[str, Any]:
    """Compose the configuration: for each client one target that impersonates and one that acts directly."""
    provider = {"project_number": names.project_number, "pool": names.pool, "provider": names.provider}
    document = worker.document(*all_needs, STRANGER, project=names.project, providers={"main": provider})
    document["suppliers"]["worker"]["issuer"] = names.issuer
    for name in (*all_needs, STRANGER):
        document["identities"][name] = {"service_account": names.account(name), "subject": subject_name(name)}
    needed = {artifact for needs in all_needs.values() for artifact in needs.artifacts}
    document["targets"] = {STRANGER: {"artifacts": dict.fromkeys(needed, True)}}
    for name, needs in all_needs.items():
        document["identities"][direct_name(name)] = {"subject": subject_name(direct_name(name))}
        for target in (name, direct_name(name)):
            document["targets"][target] = {"artifacts": dict.fromkeys(needs.artifacts, True)}
    return document
