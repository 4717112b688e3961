"""The emulator in a test: a context manager whose methods read like a scenario.

```python
with emulator() as google:
    google.add_provider(issuer="https://workers.invalid", jwks=jwks)
    google.allow("alice@my-project.iam.gserviceaccount.com", subject="user-1")
    …
    assert google.whoami(token)["service_account"] == "alice@my-project.iam.gserviceaccount.com"
```
"""

from __future__ import annotations

import json
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

from refresher.emulator.cloud import Cloud
from refresher.emulator.oidc_issuer import discover
from refresher.emulator.server import EmulatorServer
from refresher.emulator.state import DEFAULT_NUMBER, WORKLOAD_IDENTITY_USER, Provider, ServiceAccount
from refresher.resources import WorkloadIdentityProvider

if TYPE_CHECKING:
    from collections.abc import Iterator

    from refresher.emulator.journal import Journal
    from refresher.emulator.settable_clock import SettableClock
    from refresher.emulator.state import State

POOL = "workers"
PROVIDER = "refresher"


class Scenario:
    """A running emulator and what a test says of it; `cloud.state` holds the rest."""

    def __init__(self, server: EmulatorServer) -> None:
        self._server = server
        self.http = server.http
        self.https = server.https
        self.ca_file = server.ca_file

    @property
    def state(self) -> State:
        """What exists; change it by assignment."""
        return self._server.cloud.state

    @property
    def clock(self) -> SettableClock:
        """The cloud's clock; move it with `advance`."""
        return self._server.cloud.clock

    @property
    def journal(self) -> Journal:
        """What was asked and answered."""
        return self._server.cloud.journal

    def add_provider(
        self,
        *,
        issuer: str,
        jwks: dict[str, Any] | None = None,
        pool: str = POOL,
        provider: str = PROVIDER,
        allowed_audiences: list[str] | None = None,
    ) -> WorkloadIdentityProvider:
        """Let a pool trust an issuer; without `jwks` its keys are discovered."""
        settings = Provider(issuer=issuer, jwks=jwks, allowed_audiences=allowed_audiences or [])
        self.state.add_pool(pool).providers[provider] = settings
        return WorkloadIdentityProvider(project_number=DEFAULT_NUMBER, pool=pool, provider=provider)

    def add_service_account(self, email: str) -> ServiceAccount:
        """Make a service account that nobody may use yet."""
        return self.state.add_service_account(email)

    def allow(
        self, service_account: str, *, subject: str, pool: str = POOL, role: str = WORKLOAD_IDENTITY_USER
    ) -> None:
        """Bind exactly one subject of a pool to a service account."""
        name = WorkloadIdentityProvider(project_number=DEFAULT_NUMBER, pool=pool, provider=PROVIDER)
        self.state.allow(service_account, name.principal(subject), role)

    def whoami(self, access_token: str) -> dict[str, Any]:
        """Ask the emulator whom an access token speaks for."""
        request = Request(f"{self.http}/emulator/whoami", headers={"Authorization": f"Bearer {access_token}"})  # noqa: S310 - our own origin
        with urlopen(request, timeout=10) as reply:  # noqa: S310 - our own origin
            document: dict[str, Any] = json.load(reply)
        return document


@contextmanager
def emulator(directory: Path | None = None) -> Iterator[Scenario]:
    """Run an emulator in this process for the length of a `with` block; two of them share nothing.

    Args:
        directory: Where its certificates are put; default a temporary one. State stays in memory.
    """
    with tempfile.TemporaryDirectory() as temporary:
        cloud = Cloud(discover=discover)
        with EmulatorServer(cloud, directory or Path(temporary)) as server:
            yield Scenario(server)
