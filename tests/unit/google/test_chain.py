from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from email.utils import format_datetime
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


def refused(
    way: Impersonation, text: str, *, status: int = 403, is_id_token: bool = False, worker: str | None = None
) -> ImpersonationError:
    """Return the failure of asking for a token of an account; `worker` is the member that the worker is, if known."""
    body = json.dumps({"error": {"code": status, "message": text}}).encode()
    transport = FakeTransport(lambda _: Response(status=status, headers={}, body=body))
    chain = GoogleChain(
        transport=lambda: transport,
        endpoints=Endpoints.of_universe(),
        own=lambda *_: FEDERATED,
        worker=lambda _: worker,
    )
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
    middle, later = f"serviceAccount:{MIDDLE}", f"serviceAccount:{LATER}"
    assert f"{way.principal} on {MIDDLE}, then {middle} on {LATER}, then {later} on {ALICE}" in error.remedy
    for account, member in ((MIDDLE, way.principal), (LATER, middle), (ALICE, later)):
        command = f"add-iam-policy-binding {account} --project=p --role={CREATOR} --member='{member}'"
        assert (command in error.remedy) is (":" in member)


def test_other_refusals_keep_their_remedy_and_kind() -> None:
    """A refusal for another reason than a missing role keeps its remedy, shows the principal, and may be retryable."""
    absent = refused(replace(WAY, delegates=(MIDDLE,)), "Not found", status=404)
    passing = refused(WAY, "Internal", status=500)

    assert "neither deleted nor disabled" in absent.remedy
    assert passing.retryable
    assert not absent.retryable
    assert PRINCIPAL in passing.problem


def test_worker_is_named_in_the_command_where_its_account_is_known() -> None:
    """Without a pool the worker's own account is looked up for a remedy that can be pasted."""
    error = refused(OWN, DENIED.format("getAccessToken"), worker="serviceAccount:machine@p.iam.gserviceaccount.com")

    assert error.remedy == (
        f"grant serviceAccount:machine@p.iam.gserviceaccount.com {CREATOR} on {ALICE}: "
        f"gcloud iam service-accounts add-iam-policy-binding {ALICE} --project=p --role={CREATOR} "
        "--member='serviceAccount:machine@p.iam.gserviceaccount.com'"
    )


@pytest.mark.parametrize(
    ("way", "members"),
    [
        (WAY, [PRINCIPAL, f"serviceAccount:{ALICE}"]),
        (OWN, [f"serviceAccount:{ALICE}"]),
        (replace(WAY, service_account=None), [PRINCIPAL]),
    ],
    ids=["pool", "without-pool", "direct"],
)
def test_quota_project_is_opened_by_one_command_for_each_who_names_it(way: Impersonation, members: list[str]) -> None:
    """Clients name the quota project as the principal and as the account; without a pool as the account alone."""
    text = "Grant the caller the roles/serviceusage.serviceUsageConsumer role: permission to use project payer."
    body = json.dumps({"error": {"code": 403, "message": text}}).encode()
    transport = FakeTransport(lambda _: Response(status=403, headers={}, body=body))
    chain = GoogleChain(transport=lambda: transport, endpoints=Endpoints.of_universe(), own=lambda *_: FEDERATED)

    with pytest.raises(ImpersonationError) as caught:
        chain.prove_quota_project(replace(way, quota_project="payer"), FEDERATED)

    command = "gcloud projects add-iam-policy-binding payer --role=roles/serviceusage.serviceUsageConsumer --member="
    assert caught.value.remedy.count("gcloud") == len(members)
    assert f"grant {' and '.join(members)} roles/" in caught.value.remedy
    for member in members:
        assert f"{command}'{member}'" in caught.value.remedy


def test_quota_project_that_can_not_be_asked_for_counts_as_fine() -> None:
    """Another refusal than that of the quota project shows nothing about it, and stops no probe."""
    transport = FakeTransport(lambda _: Response(status=503, headers={}, body=b""))
    chain = GoogleChain(transport=lambda: transport, endpoints=Endpoints.of_universe(), own=lambda *_: FEDERATED)

    chain.prove_quota_project(replace(WAY, quota_project="payer"), FEDERATED)

    assert len(transport.requests) == 1


STALE = "ID Token issued at 1767225600 is stale to sign-in."


@pytest.mark.parametrize(
    ("lead", "entry", "words"),
    [
        (600, "clock-ahead", "this machine's clock is 10 min ahead of sts.googleapis.com, by its Date header"),
        (-600, "clock-behind", "this machine's clock is 10 min behind sts.googleapis.com, by its Date header"),
        (20, "E7", ""),
        (None, "E7", ""),
    ],
    ids=["ahead", "behind", "together", "unknown"],
)
def test_clock_that_is_off_is_named_where_the_tokens_times_are_refused(
    lead: int | None, entry: str, words: str
) -> None:
    """The header Date of the refusal shows how this machine's clock differs; the remedy sets the clock."""
    headers = {} if lead is None else {"date": format_datetime(NOW - timedelta(seconds=lead), usegmt=True)}
    body = json.dumps({"error": "invalid_grant", "error_description": STALE}).encode()
    transport = FakeTransport(lambda _: Response(status=400, headers=headers, body=body))
    chain = GoogleChain(transport=lambda: transport, endpoints=Endpoints.of_universe(), own=lambda *_: FEDERATED)

    with pytest.raises(ExchangeError) as caught:
        chain.exchange(WAY, "a.b.c", NOW)

    assert caught.value.entry == entry
    assert words in caught.value.problem
    assert STALE in caught.value.problem
    assert ("timedatectl set-ntp true, or chronyc makestep" in caught.value.remedy) is bool(words)
    assert ("token file is refreshed" in caught.value.remedy) is not bool(words)


def test_clock_is_not_blamed_for_another_refusal() -> None:
    """A refusal that has nothing to do with times keeps its cause, however wrong the clock is."""
    headers = {"date": format_datetime(NOW - timedelta(hours=1), usegmt=True)}
    body = json.dumps({"error": "invalid_target", "error_description": "rejected by the attribute condition"}).encode()
    transport = FakeTransport(lambda _: Response(status=400, headers=headers, body=body))
    chain = GoogleChain(transport=lambda: transport, endpoints=Endpoints.of_universe(), own=lambda *_: FEDERATED)

    with pytest.raises(ExchangeError) as caught:
        chain.exchange(WAY, "a.b.c", NOW)

    assert caught.value.entry == "E12"
    assert "clock" not in caught.value.problem
