from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest

from refresher.errors import ExchangeError, ImpersonationError
from refresher.google.call import Response
from refresher.google.chain import GoogleChain
from refresher.resources import CLOUD_PLATFORM_SCOPE, Endpoints, Impersonation, WorkloadIdentityProvider
from refresher.tokens import AccessToken
from tests.fakes import FakeTransport
from tests.tokens import NOW

if TYPE_CHECKING:
    from collections.abc import Callable

ALICE, MIDDLE, LATER = (f"{name}@p.iam.gserviceaccount.com" for name in ("alice", "middle", "later"))
PROVIDER = WorkloadIdentityProvider(project_number="123456789012", pool="workers", provider="refresher")
PRINCIPAL = PROVIDER.principal("user-alice")
WAY = Impersonation(
    provider=PROVIDER,
    subject="user-alice",
    subject_token_type="urn:ietf:params:oauth:token-type:jwt",
    service_account=ALICE,
    delegates=(),
    scopes=(CLOUD_PLATFORM_SCOPE,),
    lifetime=None,
)
OWN = replace(WAY, provider=None)
FEDERATED = AccessToken(value="ya29.d.federated", expires_at=NOW + timedelta(hours=1))
CREATOR = "roles/iam.serviceAccountTokenCreator"
DENIED = "Permission 'iam.serviceAccounts.{}' denied on resource (or it may not exist)."


def refused(way: Impersonation, text: str, *, status: int = 403, is_id_token: bool = False) -> ImpersonationError:
    """Return the failure of asking for a token of an account."""
    body = json.dumps({"error": {"code": status, "message": text}}).encode()
    transport = FakeTransport(lambda _: Response(status=status, headers={}, body=body))
    chain = GoogleChain(transport=lambda: transport, endpoints=Endpoints.of_universe(), own=lambda *_: FEDERATED)
    ask: Callable[..., object] = partial(chain.access_token, way)
    if is_id_token:
        ask = partial(chain.id_token, way, "https://api", include_email=False)
    with pytest.raises(ImpersonationError) as caught:
        ask(federated=FEDERATED)
    return caught.value


@pytest.mark.parametrize(
    ("issued", "said"),
    [
        (NOW - timedelta(minutes=90), "1 h 30 min before the time of this machine"),
        (NOW + timedelta(minutes=5), "5 min after the time of this machine"),
    ],
)
@pytest.mark.parametrize("unit", [1, 1000])
def test_stale_token_is_dated(issued: datetime, said: str, unit: int) -> None:
    """The seconds (or milliseconds) in Google's words are a time of UTC in the remedy, with the difference."""
    text = f"ID Token issued at {int(issued.timestamp()) * unit} is stale to sign-in."
    body = json.dumps({"error": "invalid_grant", "error_description": text}).encode()
    transport = FakeTransport(lambda _: Response(status=400, headers={}, body=body))
    chain = GoogleChain(transport=lambda: transport, endpoints=Endpoints.of_universe(), own=lambda *_: FEDERATED)

    with pytest.raises(ExchangeError) as caught:
        chain.exchange(WAY, "a.b.c", NOW)

    assert f"issued at {issued:%FT%TZ}, {said}" in caught.value.remedy


@pytest.mark.parametrize(
    "text", ["Error connecting to the given credential's issuer.", "Unable to verify the ID Token signature."]
)
@pytest.mark.parametrize("command", [None, "refresher keys jwks --config /etc/r.yaml --supplier worker > jwks.json"])
def test_refused_key_is_uploaded_by_commands_that_can_be_pasted(text: str, command: str | None) -> None:
    """Whatever STS reports about a key, the remedy has the commands that print and upload the keys."""
    body = json.dumps({"error": "invalid_grant", "error_description": text}).encode()
    transport = FakeTransport(lambda _: Response(status=400, headers={}, body=body))
    chain = GoogleChain(transport=lambda: transport, endpoints=Endpoints.of_universe(), own=lambda *_: FEDERATED)

    with pytest.raises(ExchangeError) as caught:
        chain.exchange(replace(WAY, jwks_command=command), "a.b.c", NOW)

    assert (command or "refresher keys jwks --supplier NAME > jwks.json") in caught.value.remedy
    assert (
        "gcloud iam workload-identity-pools providers update-oidc projects/123456789012/locations/global/"
        "workloadIdentityPools/workers/providers/refresher --jwk-json-path=jwks.json" in caught.value.remedy
    )


@pytest.mark.parametrize(
    ("way", "is_id_token", "role"),
    [
        (WAY, False, "roles/iam.workloadIdentityUser"),
        (WAY, True, "roles/iam.workloadIdentityUser"),
        (OWN, False, CREATOR),
        (OWN, True, "roles/iam.serviceAccountOpenIdTokenCreator"),
    ],
    ids=["federated", "federated-id", "own", "own-id"],
)
def test_missing_role_is_that_of_the_principal(way: Impersonation, is_id_token: bool, role: str) -> None:  # noqa: FBT001 - of a table
    """A federated principal needs one role for both kinds of tokens; the worker's own account needs another role."""
    permission = "getOpenIdToken" if is_id_token else "getAccessToken"

    for text in (DENIED.format(permission), "The caller does not have permission"):
        error = refused(way, text, is_id_token=is_id_token)

        assert error.remedy.startswith(f"grant {way.principal} {role} on {ALICE}")
        assert f"(asked as {way.principal})" in error.problem


@pytest.mark.parametrize("permission", ["implicitDelegation", "getAccessToken"])
@pytest.mark.parametrize("way", [WAY, OWN], ids=["federated", "own"])
def test_every_link_of_a_chain_is_named_in_order(way: Impersonation, permission: str) -> None:
    """With delegates the caller needs a role on the first one, each one on the next, and the last on the account."""
    error = refused(replace(way, delegates=(MIDDLE, LATER)), DENIED.format(permission))

    assert error.remedy.startswith(f"grant each of the chain {CREATOR} on the next")
    assert error.remedy.endswith(f"{way.principal} on {MIDDLE}, then {MIDDLE} on {LATER}, then {LATER} on {ALICE}")


def test_other_refusals_keep_their_remedy_and_kind() -> None:
    """A refusal for another reason than a missing role keeps its remedy, shows the principal, and may be retryable."""
    absent = refused(replace(WAY, delegates=(MIDDLE,)), "Not found", status=404)
    passing = refused(WAY, "Internal", status=500)

    assert "neither deleted nor disabled" in absent.remedy
    assert passing.retryable
    assert not absent.retryable
    assert PRINCIPAL in passing.problem
