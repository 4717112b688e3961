from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from refresher.catalogue.entries import (
    OPAQUE_REMEDY,
    SERVER_REMEDY,
    UNKNOWN_REMEDY,
    compose_remedy,
    find_exchange_remedy,
    find_remedy,
    get_entry,
    read_entries,
    recognise,
)
from refresher.doctor.chain import NAMES
from refresher.text import redact
from refresher.tokens import ACCESS_TOKEN_TYPE, JWT_TYPE
from tests.docs.words import read_rules
from tests.unit.emulator.test_catalogue import CAUSES

if TYPE_CHECKING:
    from refresher.catalogue.entries import Entry

SAME = {"I11": "I10", "T5b": "T5"}
"""Refusals with the remedy of another one."""


@pytest.mark.parametrize("entry", read_entries(), ids=lambda entry: entry.name)
def test_known_texts_stay_whole(entry: Entry) -> None:
    """No text by which an error is recognised looks like a secret, and each entry has cause, remedy and source."""
    assert [redact(text) for text in entry.texts] == list(entry.texts)
    assert entry.service in {"google", "kms", "any", "client", "local"}
    assert entry.texts or entry.by_status or entry.service == "local"
    assert entry.link in ("", "set-up", *NAMES)
    assert all((entry.cause, compose_remedy(entry, ""), entry.source))


FACTS = {
    "service_account": "alice@my-project.iam.gserviceaccount.com",
    "caller": "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/subject/user-1",
    "provider": "main",
    "file": "/run/refresher/alice/token",
    "jwks": "refresher keys jwks --config /etc/refresher.yaml --supplier worker > jwks.json",
    "upload": "gcloud iam workload-identity-pools providers update-oidc refresher --workload-identity-pool=workers",
    "host": "sts.googleapis.com",
    "account": "alice@my-project.iam.gserviceaccount.com",
    "key": "projects/my-project/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1",
}
ROLE = "roles/serviceusage.serviceUsageConsumer"
PLACEHOLDER = re.compile(
    r"(?<![A-Za-z_])(?:NAME|FILE|CLAIM|HOST|PATH|PROJECT|API|ACCOUNT|DIR)(?![A-Za-z_])"
    r"|the (?:caller|principal|account|quota project|attribute)(?![A-Za-z'])"
)


@pytest.mark.parametrize("entry", read_entries(), ids=lambda entry: entry.name)
def test_remedies_have_no_placeholder_where_the_facts_are_known(entry: Entry) -> None:
    """With what our calls know, and what Google's own words name, nothing is left for the reader to fill in."""
    words = {
        "disabled": "Security Token Service API has not been used in project 123 before",
        "E20": "The mapped attribute attribute.team must be of type STRING.",
        "I12": "Caller does not have required permission to use project my-quota. Grant the caller the "
        "roles/serviceusage.serviceUsageConsumer role",
    }
    text = words.get(entry.name, (*entry.texts, "")[0])
    service = "google" if entry.service == "any" else entry.service

    remedy = compose_remedy(entry, text, **FACTS)

    if entry.service not in ("client", "local"):
        assert recognise(entry.status or 403, text, service=service) == entry
    assert PLACEHOLDER.findall(remedy) == []


def test_deleted_account_can_be_found_by_the_command() -> None:
    """The remedy of a deleted account has the command that prints its unique id, and the one that restores it."""
    entry = get_entry("I4")
    assert entry is not None

    remedy = compose_remedy(entry, "", **FACTS)

    email = FACTS["service_account"]
    assert f'gcloud logging read \'resource.labels.email_id="{email}" AND protoPayload.methodName' in remedy
    assert "--project=my-project --freshness=30d --format='value(resource.labels.unique_id)'" in remedy
    assert "gcloud iam service-accounts undelete ID --project=my-project" in remedy


def test_refused_audience_may_be_of_a_provider_without_a_list() -> None:
    """Google refuses an audience with the same words with and without a list: the cause covers both."""
    entry = get_entry("E5")
    assert entry is not None

    assert "the provider's list, or, without a list, its own name" in entry.cause
    assert "delete it if the provider has no list" in entry.remedy


def test_quota_project_is_opened_to_all_who_name_it() -> None:
    """Clients name the quota project as the principal and as the account: the remedy grants the role to both."""
    entry, members = get_entry("I12"), (FACTS["caller"], f"serviceAccount:{FACTS['service_account']}")
    assert entry is not None

    both = compose_remedy(entry, "to use project payer", quota_account=FACTS["service_account"], **FACTS)
    alone = compose_remedy(entry, "to use project payer", quota_account=FACTS["service_account"], caller="the worker")

    for member in members:
        assert f"add-iam-policy-binding payer --role={ROLE} --member='{member}'" in both
    assert f"grant {' and '.join(members)} {ROLE} on project payer" in both
    assert f"--member='{members[1]}'" in alone
    assert alone.count("gcloud") == 1


@pytest.mark.parametrize("entry", read_entries(), ids=lambda entry: entry.name)
def test_entries_are_plain_english(entry: Entry) -> None:
    """Cause and remedy contain no phrase that is banned in messages."""
    rules = [rule.pattern for rule in read_rules().phrases if "message" in rule.kinds]

    assert [rule.pattern for rule in rules if rule.search(entry.cause) or rule.search(entry.remedy)] == []


IMPERATIVES = {
    "add",
    "allow",
    "check",
    "compare",
    "configure",
    "correct",
    "create",
    "enable",
    "find",
    "fix",
    "grant",
    "import",
    "impersonate",
    "look",
    "make",
    "map",
    "mount",
    "reject",
    "remove",
    "repair",
    "request",
    "run",
    "set",
    "start",
    "upload",
    "use",
    "wait",
}


@pytest.mark.parametrize("entry", read_entries(), ids=lambda entry: entry.name)
def test_remedies_begin_with_what_to_do(entry: Entry) -> None:
    """A remedy is an imperative that a person can carry out: its first word is a verb, never a condition."""
    assert entry.remedy.split()[0].rstrip(":;,") in IMPERATIVES


def test_names_are_unique() -> None:
    """An id means one failure."""
    names = [entry.name for entry in read_entries()]

    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("status", "text", "name"),
    [
        (400, "ID Token issued at 1 is stale to sign-in.", "E7"),
        (400, "ID Token issued at null is stale to sign-in.", "E8"),
        (403, "Permission 'iam.serviceAccounts.getOpenIdToken' denied on resource (or it may not exist).", "I1-openid"),
        (403, "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).", "I1"),
        (403, "Permission 'iam.serviceAccounts.implicitDelegation' denied on resource.", "I1-delegation"),
        (403, "The caller does not have permission", "I2"),
        (403, "Request had insufficient authentication scopes.", "I3"),
        (403, "IAM Service Account Credentials API has not been used in project 1 before", "disabled"),
        (403, "another refusal", "I2-other"),
        (400, "The `issuer` claim in OIDC discovery document does not match the issuer", "E19"),
        (400, "The mapped attribute attribute.x must be of type STRING.", "E20"),
        (400, "ID Token does not contain user's identity in 'sub' claim: x", "E18"),
        (400, "Role roles/iam.none is not supported for this resource.", "role"),
        (403, "Permission 'iam.workloadIdentityPoolProviders.update' denied on resource", "T9"),
        (403, "Request is prohibited by organization's policy. vpcServiceControlsUniqueIdentifier: x", "E17"),
        (404, "Not found; Gaia id not found for email x", "I4"),
        (429, "throttled due to rate limit: sts", "E13"),
        (429, "Quota exceeded", "quota"),
        (500, "INTERNAL", "E15"),
        (418, "teapot", None),
    ],
)
def test_failures_are_recognised(status: int, text: str, name: str | None) -> None:
    """Each known text leads to its own entry, and the narrow ones come before the wide."""
    entry = recognise(status, text)

    assert (entry.name if entry else None) == name


@pytest.mark.parametrize("name", CAUSES)
def test_every_refusal_of_the_emulator_has_its_entry(name: str) -> None:
    """Each of Google's exact texts that the emulator sends leads to the entry of its own id, never to a search."""
    _, status, _, text = CAUSES[name]

    entry = recognise(status, text)

    assert entry is not None
    assert entry.name == SAME.get(name, name)
    assert find_remedy(status, text) not in (UNKNOWN_REMEDY, SERVER_REMEDY)


@pytest.mark.parametrize(
    ("status", "text", "parts"),
    [
        (400, "The mapped attribute attribute.x must be of type STRING.", ("string(",)),
        (400, "The given credential is rejected by the attribute condition.", ("condition", "refresher inspect")),
        (400, "`issuer` claim in OIDC discovery document does not match", ("issuer_uri", "discovery", "slash")),
        (409, "Requested entity already exists", ("undelete",)),
        (400, "Role roles/x is not supported for this resource.", ("roles/iam.workloadIdentityUser",)),
        (401, "Request had invalid authentication credentials.", ("pool", "account", "enabled")),
    ],
)
def test_remedy_fits_its_cause(status: int, text: str, parts: tuple[str, ...]) -> None:
    """A remedy names what is to be changed, not a powerful role."""
    remedy = find_remedy(status, text)

    assert all(part in remedy for part in parts)
    assert "serviceAccountTokenCreator" not in remedy


def test_remedy_of_a_pool_or_provider_that_is_off_is_the_command_that_turns_it_on() -> None:
    """Google does not show which of them is disabled or deleted: both have their commands, with their names."""
    pool = "projects/1/locations/global/workloadIdentityPools/p"
    text = 'The target service indicated by the "audience" parameters is invalid.'

    remedy = find_remedy(400, text, resource=f"{pool}/providers/q")

    assert f"workload-identity-pools update {pool} --no-disabled" in remedy
    assert f"providers update-oidc {pool}/providers/q --no-disabled" in remedy
    assert f"workload-identity-pools undelete {pool}," in remedy
    assert remedy.endswith(f"providers undelete {pool}/providers/q")


def test_remedy_names_the_account() -> None:
    """A remedy names the service account concerned; an unknown failure has a remedy too."""
    for text in ("x", "Requested entity was not found."):
        remedy = find_remedy(404, text, service_account="a@my-p.iam.gserviceaccount.com")
        assert "describe a@my-p.iam.gserviceaccount.com --project=my-p" in remedy
        assert "gcloud iam service-accounts undelete" in remedy
    assert "ACCOUNT is spelled correctly, and neither deleted nor disabled" in find_remedy(404, "x")
    assert find_remedy(418, "teapot") == UNKNOWN_REMEDY
    assert find_remedy(503, "") == SERVER_REMEDY
    assert "by itself" not in SERVER_REMEDY


@pytest.mark.parametrize("service", ["google", "kms"])
@pytest.mark.parametrize(
    ("text", "command"),
    [
        (
            "IAM Service Account Credentials API has not been used in project 123456789012 before or it is disabled.",
            "gcloud services enable iamcredentials.googleapis.com --project=123456789012",
        ),
        (
            "sts.googleapis.com has not been used in project my-project before or it is disabled.",
            "gcloud services enable sts.googleapis.com --project=my-project",
        ),
        ("It has not been used in project 1.", "gcloud services enable API --project=1"),
    ],
)
def test_remedy_of_a_disabled_api_names_it_and_the_project(service: str, text: str, command: str) -> None:
    """An API that is off is enabled, in the project that Google names; no role is advised."""
    remedy = find_remedy(403, text, service=service, key="k", caller="c")

    assert remedy.endswith(command)
    assert "roles/" not in remedy


@pytest.mark.parametrize(
    ("kind", "status", "text", "is_opaque"),
    [
        (ACCESS_TOKEN_TYPE, 400, "no known words", True),
        (ACCESS_TOKEN_TYPE, 400, "Unable to parse the ID Token", True),
        (ACCESS_TOKEN_TYPE, 400, "Scope(s) must be provided", False),
        (ACCESS_TOKEN_TYPE, 500, "no known words", False),
        (JWT_TYPE, 400, "no known words", False),
    ],
)
def test_refused_opaque_token_has_a_remedy_of_its_own(kind: str, status: int, text: str, is_opaque: bool) -> None:  # noqa: FBT001 - a table's column
    """Where an opaque token was sent, the remedy is another supplier, unless STS names another fault."""
    assert (find_exchange_remedy(kind, status, text) == OPAQUE_REMEDY) is is_opaque
