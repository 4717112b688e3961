from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from refresher import adc, environment
from refresher.engine.target import Target
from refresher.publishing.directory import CredentialsDirectory
from refresher.publishing.ownership import Ownership
from refresher.resources import CLOUD_PLATFORM_SCOPE, Endpoints, Impersonation, WorkloadIdentityProvider
from refresher.suppliers.interface import SupplierContext
from refresher.tokens import JWT_TYPE, ExpectedClaims
from tests.fakes import FakeClock, FakeSupplier
from tests.tokens import AUDIENCE, ISSUER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from refresher.engine.target import MintedArtifact

PROVIDER = WorkloadIdentityProvider(project_number="123456789012", pool="workers", provider="refresher")


@pytest.fixture
def clock() -> FakeClock:
    """Give a clock at the tests' beginning of time."""
    return FakeClock()


@pytest.fixture
def supplier() -> FakeSupplier:
    """Give a supplier that works."""
    return FakeSupplier()


@pytest.fixture
def target_of(tmp_path: Path) -> Callable[..., Target]:
    """Give a maker of targets below one root."""

    def make(
        name: str = "alice",
        *,
        subject: str = "user-1",
        account: str = "alice@p.iam.gserviceaccount.com",
        path: str = "",
        minted: tuple[MintedArtifact, ...] = (),
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
                further=tuple(artifact.name for artifact in minted),
            ),
            credentials=adc.render(document),
            environment=environment.render(values).encode(),
            impersonation=Impersonation(
                provider=PROVIDER,
                subject=subject,
                subject_token_type=JWT_TYPE,
                service_account=account,
                delegates=(),
                scopes=(CLOUD_PLATFORM_SCOPE,),
                lifetime=None,
            ),
            minted=minted,
        )

    return make
