"""A container with a credentials directory and a Google at Google's own host names, for programs that sign."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.connect_proxy import ConnectProxy
from tests.program import ISSUER, Worker, account_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from refresher.emulator.testing import Scenario

ALICE = account_of("alice")
TOKEN_CREATOR = "roles/iam.serviceAccountTokenCreator"


@dataclass(frozen=True, kw_only=True)
class SigningSite:
    """The surroundings of a program that signs.

    Attributes:
        google: A Google where alice's account may sign as itself after `allow_signing`.
        variables: The variables of the container: `env`, and those for Google's host names.
    """

    google: Scenario
    variables: dict[str, str]

    def allow_signing(self) -> None:
        """Grant the account the right to sign as itself."""
        self.google.allow_member(ALICE, f"serviceAccount:{ALICE}", TOKEN_CREATOR)

    def run(self, *command: str, path: str = "/usr/bin:/bin") -> subprocess.CompletedProcess[str]:
        """Run a program with the container's variables and a PATH, and nothing else."""
        return subprocess.run(
            command, env={**self.variables, "PATH": path}, capture_output=True, text=True, check=False, timeout=100
        )


@contextmanager
def signing_site(place: Path, google: Scenario) -> Iterator[SigningSite]:
    """Return a site with a published credentials directory."""
    origins = dict.fromkeys(("sts", "iam_credentials", "metadata"), google.http)
    worker = Worker(place=place, google={"emulator": True, "endpoints": origins})
    google.add_provider(issuer=ISSUER, jwks=worker.make_keys())
    google.allow(ALICE, subject="user-alice")
    worker.configure("alice")
    worker.once()
    lines = (worker.directory("alice") / "env").read_text().splitlines()
    proxy = ConnectProxy({"iamcredentials.googleapis.com": urlsplit(google.https).port or 0})
    ca_file = str(google.ca_file)
    trust = dict.fromkeys(("REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"), ca_file)
    variables = dict(line.split("=", 1) for line in lines)
    way = {"HTTPS_PROXY": proxy.origin, "NO_PROXY": "127.0.0.1", "HOME": str(place)}
    yield SigningSite(google=google, variables=variables | trust | way)
    proxy.close()
