"""Clients with a metadata endpoint: each in a network namespace of its own, with nothing mounted and no file named.

A namespace has the loopback alone. The ports of the cloud lead out of it, so that clients use the same origins as
elsewhere. What a client runs in is a prefix of its commands: the namespace alone, the namespace with a host entry and
no variable, or a podman container in the namespace, whose root file system is this machine's with a layer on top.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.clients.proxy import proxy
from tests.clients.setup import STRANGER, Setup, Way, subject_name
from tests.network_namespaces import open_site
from tests.program import PATIENCE, Worker

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.clients.client import Client
    from tests.clients.cloud import Cloud
    from tests.network_namespaces import NamespaceSite
    from tests.program import Log

_HOSTS = "127.0.0.1 localhost\n169.254.169.254 metadata.google.internal\n"
_PODMAN = (
    *("podman", "--cgroup-manager=cgroupfs", "--events-backend=none", "--log-level=error", "--runtime=runc"),
    *("run", "--rm", "--interactive", "--env-host", "--no-hosts", "--pids-limit=-1"),
    *(
        "--ulimit=nofile=1024:1024",
        "--ulimit=nproc=4096:4096",
        "--tmpfs=/run:rw,notmpcopyup",
        "--security-opt=label=disable",
    ),
)


class Place(StrEnum):
    """What a client runs in."""

    NAMESPACE = "a namespace"
    PODMAN = "podman"
    NOTHING_SET = "nothing set"


@dataclass(kw_only=True)
class MetadataSite:
    """A worker whose daemon serves an endpoint for each client.

    Attributes:
        setup: What clients are started with; `enter` sets where.
        worker: The worker.
        namespaces: Their namespaces, each named after its client.
        log: The log of the daemon that runs.
    """

    setup: Setup
    worker: Worker
    namespaces: NamespaceSite
    log: Log | None = None
    _daemon: ExitStack = field(default_factory=ExitStack)

    def start(self, *, is_waiting: bool = True) -> None:
        """Start the daemon; with `is_waiting` return when all targets are ready."""
        daemon = self.worker.daemon("--netns-helper", str(self.namespaces.socket))
        self.log = self._daemon.enter_context(daemon)
        if is_waiting:
            for name in self.setup.all_needs:  # the files can be ready from before, while the helper is another one
                self.log.wait_for("metadata.serving", target=name)
            self.worker.command("wait", "--timeout", f"{2 * PATIENCE:.0f}s")

    def stop(self) -> None:
        """End the daemon at once."""
        self._daemon.close()

    def place(self, client: Client, where: Place) -> Setup:
        """Return the setup for a client at a place."""
        path = self.namespaces.root / client.name
        enter: tuple[str, ...] = ("nsenter", f"--net={path}")
        home = self.setup.place
        if where is Place.PODMAN:
            podman = " ".join((*_PODMAN, f"--network=ns:{path}", f"--volume={home}:{home}:rw"))
            enter = ("sh", "-c", f'exec {podman} --workdir="$PWD" --rootfs /:O "$@"', "sh")
        elif where is Place.NOTHING_SET:
            (home / "hosts").write_text(_HOSTS)
            script = f'mount --bind {home / "hosts"} /etc/hosts; exec "$@"'
            enter = ("unshare", "--mount", "sh", "-ec", script, "sh", *enter)
        return replace(self.setup, prefixes={client.name: enter})

    def variables(self, client: Client, where: Place) -> dict[str, str]:
        """Return the variables of a client: those of `env`, or none that names a metadata server or a project."""
        found = self.setup.variables(client.name)
        if where is Place.NOTHING_SET:
            written = (self.setup.directory(client.name) / "env").read_text().splitlines()
            for line in written:
                found.pop(line.partition("=")[0], None)
        return found


@contextmanager
def open_metadata_site(cloud: Cloud, place: Path, clients: Sequence[Client]) -> Iterator[MetadataSite]:
    """Create namespaces and a worker for clients, with a helper that runs and a daemon that does not yet."""
    names = [client.name for client in clients]
    origins = {"sts": cloud.plain.sts, "iam_credentials": cloud.plain.iam_credentials}
    worker = Worker(place=place, google={"emulator": True, "endpoints": origins})
    cloud.seed([*names, STRANGER], worker.make_keys())
    with open_site(place) as namespaces, proxy(cloud.secure.by_host()) as lead:
        ports = {urlsplit(each).port or 443 for each in (cloud.plain.storage, cloud.secure.storage, lead)}
        for name in names:
            namespaces.make(name)
            for port in ports:
                namespaces.forward(name, port)
        worker.write(_configuration(worker, namespaces, names, cloud))
        workers = dict.fromkeys(Way, worker)
        all_needs = {client.name: client.needs for client in clients}
        setup = Setup(cloud=cloud, place=place, all_needs=all_needs, workers=workers, proxy=lead)
        site = MetadataSite(setup=setup, worker=worker, namespaces=namespaces)
        try:
            yield site
        finally:
            site.stop()


def _configuration(worker: Worker, namespaces: NamespaceSite, names: list[str], cloud: Cloud) -> dict[str, Any]:
    document = worker.document(*names)
    for name in names:
        document["identities"][name] = {"service_account": cloud.names.account(name), "subject": subject_name(name)}
        metadata = {"netns": str(namespaces.root / name), "link_local": True}
        document["targets"][name] = {"metadata": metadata, "environment": "metadata"}
    return document
