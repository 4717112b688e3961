from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from refresher import adc, environment
from refresher.engine.artifacts import TargetFacts, build_static
from refresher.engine.plan import Target
from refresher.publishing.artifacts import ACCESS_TOKEN, BOTO, DESCRIPTIONS, TOKEN, sort_for_writing
from refresher.publishing.atomic import Ownership
from refresher.publishing.directory import CredentialsDirectory, TargetRecord, compute_fingerprint
from refresher.resources import CLOUD_PLATFORM_SCOPE, Endpoints, Impersonation, WorkloadIdentityProvider
from refresher.suppliers.interface import SupplierContext
from refresher.tokens import JWT_TYPE, ExpectedClaims
from tests.fakes import FakeClock, FakeSupplier
from tests.tokens import AUDIENCE, ISSUER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from refresher.engine.plan import MintedArtifact

PROVIDER = WorkloadIdentityProvider(project_number="123456789012", pool="workers", provider="refresher")


def make_name() -> str:
    """Return 16 hex digits; one function for all, so that equal targets are equal."""
    return secrets.token_hex(8)


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock at the start time of the tests."""
    return FakeClock()


@pytest.fixture
def supplier() -> FakeSupplier:
    """Return a supplier that works."""
    return FakeSupplier()


@pytest.fixture
def target_of(tmp_path: Path) -> Callable[..., Target]:
    """Return a function that creates targets below one root."""

    def make(
        name: str = "alice",
        *,
        identity: str = "",
        subject: str | None = "user-1",
        account: str = "alice@p.iam.gserviceaccount.com",
        minted: tuple[MintedArtifact, ...] = (),
        boto: bool = False,
        has_pool: bool = True,
    ) -> Target:
        subject = subject if has_pool else None
        provider, leading = (PROVIDER, TOKEN) if has_pool else (None, ACCESS_TOKEN)
        document = adc.adc_document(
            provider=PROVIDER,
            token_path=f"/var/run/google/{name}/token",
            service_account=account,
            lifetime=None,
            quota_project=None,
            endpoints=Endpoints.of_universe(),
        )
        values = environment.variables(
            container_directory=f"/c/{account}", project="p", quota_project=None, has_document=has_pool
        )
        facts = TargetFacts(document if has_pool else None, values, f"/c/{account}")
        static = build_static([BOTO] if boto else [], facts)
        names = {*static, leading, DESCRIPTIONS, *(artifact.name for artifact in minted)}
        expected = ExpectedClaims(
            issuer=ISSUER,
            subject=subject,
            audiences=frozenset({AUDIENCE}),
            key_ids=frozenset({"key-1"}),
            maximum_lifetime=timedelta(hours=1),
        )
        via = "federation" if has_pool else "impersonation"
        return Target(
            name=name,
            supplier="worker" if has_pool else None,
            context=SupplierContext(identity=identity or name, subject=subject, audience=AUDIENCE),
            expected=expected if has_pool else ExpectedClaims(is_jwt=False),
            directory=CredentialsDirectory(
                root=tmp_path / "root",
                name=name,
                ownership=Ownership(uid=None, gid=None, mode=0o400),
                random_name=make_name,
                artifacts=tuple(sort_for_writing(names)),
            ),
            record=TargetRecord(
                name,
                identity or name,
                compute_fingerprint(subject=subject, service_account=account, via=via, subject_source=None),
            ),
            static=static,
            impersonation=Impersonation(
                provider=provider,
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
