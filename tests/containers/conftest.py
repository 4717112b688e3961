from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refresher.emulator.testing import emulator
from tests.containers.runtimes import CREDENTIALS, OFFSET, Mount, Namespaces, Podman, RootlessPodman, Runtime
from tests.program import ISSUER, Log, Worker, account_of, secret_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from refresher.emulator.testing import Scenario
    from tests.conftest import Need

UIDS = {"alice": 1042, "bob": 2077}
"""The ids of the users in their containers."""
OFFSETS = (0, OFFSET)


@dataclass(frozen=True, kw_only=True)
class Site:
    """A worker whose daemon replaces tokens every few seconds; each user has two targets, one with an offset."""

    worker: Worker
    google: Scenario
    log: Log

    def published(self, target: str) -> list[str]:
        """Return the fingerprints of a target's tokens so far, in order.

        A token that was published again after its owner damaged the file counts once.
        """
        events = self.log.events("token.published", target=target)
        return list(dict.fromkeys(str(event["fingerprint"]) for event in events))


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """A user with a container of a kind.

    Attributes:
        uid: The id inside the container.
        target: The user's target on the worker.
    """

    site: Site
    runtime: Runtime
    uid: int
    target: str

    @property
    def directory(self) -> Path:
        """The credentials directory on the worker."""
        return self.site.worker.directory(self.target)

    def command(self, *command: str, mounts: Sequence[Mount] | None = None) -> list[str]:
        """Return the command that runs a command in a container; by default the directory is mounted read-only."""
        usual = [Mount(source=self.directory, place=CREDENTIALS)]
        return self.runtime.command(
            *command,
            uid=self.uid,
            mounts=usual if mounts is None else mounts,
            env_file=self.directory / "env",
        )


def name_target(name: str, offset: int) -> str:
    """Return the target of a user whose container's ids have an offset."""
    return f"{name}-{offset}"


@pytest.fixture(scope="session")
def public() -> Iterator[Path]:
    """Return a directory that every user can traverse, like `/run/refresher`; only root can traverse pytest's own."""
    place = Path(tempfile.mkdtemp(prefix="refresher-containers-"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


@pytest.fixture(scope="session")
def site(public: Path, need: Need) -> Iterator[Site]:
    """Return a worker with a running daemon, and the emulator that trusts it; its log must not contain a secret."""
    need.root()
    owners = {
        name_target(name, offset): f"{uid + offset}:{uid + offset}" for name, uid in UIDS.items() for offset in OFFSETS
    }
    with emulator() as google:
        origins = {"sts": google.http, "iam_credentials": google.http, "metadata": google.http}
        # A token is replaced at 7 s at the latest: STS shows no `expires_in` when two seconds are left, and google-auth
        # fails without it.
        worker = Worker(place=public, lifetime="12s", google={"emulator": True, "endpoints": origins})
        google.add_provider(issuer=ISSUER, jwks=worker.make_keys())
        for target in owners:
            google.allow(account_of(target), subject=f"user-{target}")
        where = {"container_directory": CREDENTIALS, "mode": "0440"}
        worker.configure(*owners, targets={target: {"owner": owner, **where} for target, owner in owners.items()})
        with worker.daemon() as log:
            log.wait_for("daemon.ready")
            yield Site(worker=worker, google=google, log=log)
    assert secret_in(worker.everything_printed()) is None


@pytest.fixture(
    params=[
        "namespaces",
        "mapped-namespaces",
        pytest.param("podman", marks=pytest.mark.apart),
        pytest.param("mapped-podman", marks=pytest.mark.apart),
        pytest.param("rootless-podman", marks=pytest.mark.apart),
    ]
)
def runtime(request: pytest.FixtureRequest, public: Path, need: Need) -> Runtime:
    """Return each kind of container in turn."""
    need.root()
    offset = OFFSET if request.param.startswith("mapped") else 0
    if request.param.endswith("podman"):
        need.tool("podman", "apt install podman")
        need.tool("runc", "apt install runc")
        if request.param.startswith("rootless"):
            need.tool("newuidmap", "apt install uidmap")
            return RootlessPodman(place=public)
        return Podman(place=public, offset=offset)
    need.tool("unshare", "apt install util-linux")
    need.tool("setpriv", "apt install util-linux")
    return Namespaces(offset=offset)


@pytest.fixture
def alice(site: Site, runtime: Runtime) -> Tenant:
    """Return the user alice."""
    return Tenant(site=site, runtime=runtime, uid=UIDS["alice"], target=name_target("alice", runtime.offset))


@pytest.fixture
def bob(site: Site, runtime: Runtime) -> Tenant:
    """Return the user bob."""
    return Tenant(site=site, runtime=runtime, uid=UIDS["bob"], target=name_target("bob", runtime.offset))
