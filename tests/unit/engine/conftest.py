from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from refresher import adc, environment
from refresher.engine.target import Target
from refresher.publishing.directory import CredentialsDirectory
from refresher.publishing.ownership import Ownership
from refresher.resources import Endpoints, WorkloadIdentityProvider
from refresher.suppliers.interface import SupplierContext
from refresher.tokens import ExpectedClaims, SubjectToken, peek
from tests.tokens import AUDIENCE, ISSUER, NOW, make_jwt

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROVIDER = WorkloadIdentityProvider(project_number="123456789012", pool="workers", provider="refresher")


class HandClock:
    """A clock that a test moves."""

    def __init__(self, now: datetime = NOW) -> None:
        self.wall = now
        self.seconds = 1000.0

    def now(self) -> datetime:
        """Give the time last set."""
        return self.wall

    def boot(self) -> float:
        """Give the seconds last set."""
        return self.seconds

    def monotonic(self) -> float:
        """Give the seconds last set."""
        return self.seconds

    def pass_(self, duration: timedelta) -> None:
        """Let time go by on all clocks."""
        self.wall += duration
        self.seconds += duration.total_seconds()


@dataclass
class ScriptedSupplier:
    """Supplies unsigned JWTs, or raises what it was told to."""

    lifetime: timedelta = timedelta(hours=1)
    failure: Exception | None = None
    fixed: str | None = None
    contexts: list[SupplierContext] = field(default_factory=list)

    def supply(self, context: SupplierContext, now: datetime) -> SubjectToken:
        """Give a token of the asked-for subject, or fail."""
        self.contexts.append(context)
        if self.failure is not None:
            raise self.failure
        return peek(
            self.fixed
            or make_jwt(
                subject=context.subject or "somebody",
                issued_at=now.astimezone(UTC),
                lifetime=self.lifetime,
                audience=context.audience,
            )
        )


@pytest.fixture
def clock() -> HandClock:
    """Give a clock at the tests' beginning of time."""
    return HandClock()


@pytest.fixture
def supplier() -> ScriptedSupplier:
    """Give a supplier that works."""
    return ScriptedSupplier()


@pytest.fixture
def target_of(tmp_path: Path) -> Callable[..., Target]:
    """Give a maker of targets below one root."""

    def make(
        name: str = "alice",
        *,
        subject: str = "user-1",
        account: str = "alice@p.iam.gserviceaccount.com",
        path: str = "",
    ) -> Target:
        document = adc.adc_document(
            provider=PROVIDER,
            token_path=f"/var/run/google/{name}/token",
            service_account=account,
            lifetime=None,
            quota_project=None,
            endpoints=Endpoints.of_universe(),
        )
        values = environment.variables(container_directory=f"/c/{account}", project="p", quota_project=None)
        return Target(
            name=name,
            supplier="worker",
            context=SupplierContext(identity=name, subject=subject, audience=AUDIENCE),
            expected=ExpectedClaims(
                issuer=ISSUER,
                subject=subject,
                audiences=frozenset({AUDIENCE}),
                key_ids=frozenset({"key-1"}),
                maximum_lifetime=timedelta(hours=1),
            ),
            directory=CredentialsDirectory(
                root=tmp_path / "root",
                path=tmp_path / "root" / (path or name),
                ownership=Ownership(uid=None, gid=None, mode=0o400),
                random_name=lambda: secrets.token_hex(8),
            ),
            credentials=adc.render(document),
            environment=environment.render(values).encode(),
        )

    return make
