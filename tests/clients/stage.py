"""The stage that every client plays on: a cloud, the real daemon, and a credentials directory per client.

A client gets the directory and the variables of its `env` file, a home of its own and a PATH. A daemon runs for each
way of getting to the cloud: they differ in the endpoints that they write.
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
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from tests.clients.cloud import Cloud, Endpoints
    from tests.clients.names import Names

STRANGER = "stranger"
"""A target whose subject may act as its own account and as no client's."""
NORMAL_LIFE = "1h"
_TRUST = (
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
)
"""Variables by which clients are told of an authority; Java has a trust store instead."""
SHORT_LIFE = "20s"
"""Of subject tokens: long as in real life, and so short that a file is rotated every eight to ten seconds."""


class Way(StrEnum):
    """How a client gets to the cloud."""

    PLAIN = "plain"
    """Over http, where there is that."""
    SECURE = "secure"
    """Over https, as it takes nothing else."""
    BY_NAME = "by-name"
    """By Google's own names, through the proxy, as it takes no other."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """What a client needs of the stage.

    Attributes:
        way: How it gets to the cloud.
        artifacts: Further artifacts of its target, as the configuration has them.
    """

    way: Way = Way.PLAIN
    artifacts: Collection[str] = ()


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What a client finds.

    Attributes:
        cloud: Where it is to go.
        place: Holds everything.
        parts: What each client needs, by name.
        workers: One for each way.
        proxy: Origin of a proxy that leads whoever calls Google by name to the cloud.
    """

    cloud: Cloud
    place: Path
    parts: Mapping[str, Part]
    workers: Mapping[Way, Worker]
    proxy: str
    _daemons: ExitStack = field(default_factory=ExitStack)

    def directory(self, name: str, *, of: str = "") -> Path:
        """Give the credentials directory of a client, or of another target beside it."""
        return self.workers[self.parts[name].way].directory(of or name)

    def endpoints(self, name: str) -> Endpoints:
        """Give where a client finds the services."""
        return self.cloud.plain if self.parts[name].way is Way.PLAIN else self.cloud.secure

    def variables(self, name: str, *, direct: bool = False) -> dict[str, str]:
        """Give all the variables that a client gets: what the product wrote, a home, a PATH, and whom to trust."""
        target = direct_of(name) if direct else name
        lines = (self.directory(name, of=target) / "env").read_text().splitlines()
        home = self.place / "homes" / target
        home.mkdir(parents=True, exist_ok=True)
        written = dict(line.split("=", 1) for line in lines)
        trusted = {} if self.cloud.ca_file is None else dict.fromkeys(_TRUST, str(self.cloud.ca_file))
        return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"} | trusted | written

    def configure(self, lifetime: str) -> None:
        """Let subject tokens live so long from the next start of the daemons; clients find new homes."""
        self.leave_homes()
        for way, worker in self.workers.items():
            worker.lifetime = lifetime
            parts = {name: part for name, part in self.parts.items() if part.way is way}
            worker.write(_configuration(worker, parts, self.cloud.names))

    def leave_homes(self, client: str = "") -> None:
        """Take away what clients, or one of them, kept in their homes, as tools keep access tokens there."""
        shutil.rmtree(self.place / "homes" / client, ignore_errors=True)

    def start(self) -> None:
        """Start the daemons, and return when every directory is complete."""
        for way, worker in self.workers.items():
            self._daemons.enter_context(worker.daemon()).wait_for("daemon.ready")
            for name, part in self.parts.items():
                if part.way is way:
                    for artifact in ("env", *part.artifacts):
                        until((worker.directory(name) / artifact).exists, what=f"{artifact} of {name}")

    def files(self) -> list[Path]:
        """Give all files that are replaced again and again."""
        return [
            self.directory(name, of=target) / artifact
            for name, part in self.parts.items()
            for target in (name, direct_of(name))
            for artifact in {"token", *part.artifacts}
        ]

    def public_keys(self) -> dict[str, Any]:
        """Give the JWKS that all subject tokens are signed by."""
        return next(iter(self.workers.values())).public_keys()

    def stop(self) -> None:
        """End the daemons as a crash does."""
        self._daemons.close()

    def printed(self) -> str:
        """Give all that the daemons and commands of the product printed."""
        return "\n".join(worker.everything_printed() for worker in self.workers.values())


@contextmanager
def stage(cloud: Cloud, place: Path, parts: Mapping[str, Part]) -> Iterator[Stage]:
    """Give a stage for clients, its daemons not yet started."""
    keys = cloud.keys
    if keys is None:
        keys = place / "keys"
        cloud.plant([*parts, STRANGER], Worker(place=place).make_keys())
    workers = {}
    for way in {part.way: part for part in parts.values()}:
        home = place / way
        home.mkdir()
        shutil.copytree(keys, home / "keys")
        workers[way] = Worker(place=home, google=_google(cloud, way))
    with proxy(cloud.secure.by_host()) as lead:
        made = Stage(cloud=cloud, place=place, parts=parts, workers=workers, proxy=lead)
        try:
            yield made
        finally:
            made.stop()


def direct_of(name: str) -> str:
    """Give the target beside a client's own that acts directly, with no service account."""
    return f"{name}-direct"


def subject_of(name: str) -> str:
    """Give the subject of a target."""
    return f"user-{name}"


def _google(cloud: Cloud, way: Way) -> dict[str, Any] | None:
    """Give what the configuration says of the cloud; None where it says nothing, as in real life."""
    if way is Way.BY_NAME:
        return None
    endpoints = cloud.plain if way is Way.PLAIN else cloud.secure
    origins = {"sts": endpoints.sts, "iam_credentials": endpoints.iam_credentials}
    trust = {} if cloud.ca_file is None else {"ca_file": str(cloud.ca_file)}
    return {"emulator": True, "endpoints": origins, **trust}


def _configuration(worker: Worker, parts: Mapping[str, Part], names: Names) -> dict[str, Any]:
    """Compose the configuration: for each client one target that impersonates and one that acts directly."""
    provider = {"project_number": names.project_number, "pool": names.pool, "provider": names.provider}
    document = worker.document(*parts, STRANGER, project=names.project, providers={"main": provider})
    document["suppliers"]["worker"]["issuer"] = names.issuer
    for name in (*parts, STRANGER):
        document["identities"][name] = {"service_account": names.account(name), "subject": subject_of(name)}
    needed = {artifact for part in parts.values() for artifact in part.artifacts}
    document["targets"] = {STRANGER: {"artifacts": dict.fromkeys(needed, True)}}
    for name, part in parts.items():
        document["identities"][direct_of(name)] = {"subject": subject_of(direct_of(name))}
        for target in (name, direct_of(name)):
            document["targets"][target] = {"artifacts": dict.fromkeys(part.artifacts, True)}
    return document
