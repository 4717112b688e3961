from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from refresher.emulator.cloud import Cloud
from refresher.emulator.cloud_logging.filters import FilterError, parse_filter
from refresher.emulator.http import Call
from refresher.emulator.journal import CAPACITY, LONGEST
from refresher.emulator.routes import answer
from refresher.emulator.storage.resources import store
from refresher.emulator.storage_state import Bucket
from tests.unit.emulator.conftest import ALICE, BOB, PROVIDER, Google, Issuer, principal

if TYPE_CHECKING:
    from refresher.emulator.http import Reply

DATA_ACCESS = "projects/my-project/logs/cloudaudit.googleapis.com%2Fdata_access"


@pytest.fixture
def audited(google: Google) -> Google:
    """Return a cloud whose project logs data access, with resources to act on."""
    kinds = [{"logType": kind} for kind in ("ADMIN_READ", "DATA_READ", "DATA_WRITE")]
    services = ("sts.googleapis.com", "iam.googleapis.com", "storage.googleapis.com")
    google.cloud.state.projects["my-project"].policy.audit_configs = [
        {"service": service, "auditLogConfigs": kinds} for service in services
    ]
    google.cloud.state.allow(ALICE, principal("user-1"))
    google.cloud.state.add_service_account(BOB)
    bucket = Bucket(project="my-project", created=0.0)
    bucket.policy.allow("roles/storage.objectViewer", f"serviceAccount:{ALICE}")
    google.cloud.state.buckets["data"] = bucket
    store(google.cloud, bucket, "a", b"x", {})
    return google


def entries(google: Google, filter_: str = "", **more: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - JSON
    """Query the log as the administrator."""
    found: list[dict[str, Any]] = query(google, filter_, **more).document.get("entries", [])
    return found


def query(google: Google, filter_: str = "", **more: Any) -> Reply:  # noqa: ANN401 - JSON
    """Query the log and return the answer."""
    document = {"resourceNames": ["projects/my-project"], "filter": filter_, **more}
    return google.ask("POST", "/v2/entries:list", document=document, token="anything")


def test_entries_show_the_whole_chain(audited: Google, issuer: Issuer) -> None:
    """An exchange has subject and mapped principal, an impersonation both sides, an access the delegation."""
    federated = audited.exchange(issuer.token()).document["access_token"]
    token = audited.impersonate(ALICE, federated).document["accessToken"]
    audited.ask("GET", "/storage/v1/b/data/o/a", token=token)

    exchange, impersonation, access = (entry["protoPayload"] for entry in entries(audited))

    assert exchange["serviceName"] == "sts.googleapis.com"
    assert exchange["methodName"] == "google.identity.sts.v1.SecurityTokenService.ExchangeToken"
    assert exchange["authenticationInfo"] == {"principalSubject": "user-1"}
    assert exchange["metadata"]["mapped_principal"] == principal("user-1")
    assert exchange["resourceName"] == PROVIDER
    assert impersonation["methodName"] == "GenerateAccessToken"
    assert impersonation["authenticationInfo"] == {"principalSubject": principal("user-1")}
    assert access["authenticationInfo"]["principalEmail"] == ALICE
    assert access["authenticationInfo"]["serviceAccountDelegationInfo"] == [{"principalSubject": principal("user-1")}]
    assert {entry["logName"] for entry in entries(audited)} == {DATA_ACCESS}


WORKER = "worker@my-project.iam.gserviceaccount.com"
MIDDLE = "middle-one@my-project.iam.gserviceaccount.com"
CREATOR = "roles/iam.serviceAccountTokenCreator"


@pytest.mark.parametrize(
    ("caller", "shown"),
    [
        (f"serviceAccount:{WORKER}", {"firstPartyPrincipal": {"principalEmail": WORKER}}),
        ("user:carol@example.com", {"firstPartyPrincipal": {"principalEmail": "carol@example.com"}}),
        ("principal", {"principalSubject": principal("user-1")}),
    ],
)
@pytest.mark.parametrize("delegates", [[], [MIDDLE]])
def test_delegation_shows_each_kind_of_identity(
    audited: Google, issuer: Issuer, caller: str, shown: dict[str, Any], delegates: list[str]
) -> None:
    """Accounts and users are first parties with an e-mail, as at Google; a federated identity is a subject."""
    member = principal("user-1") if caller == "principal" else caller
    for account in (WORKER, MIDDLE):
        audited.cloud.state.add_service_account(account)
    audited.cloud.state.allow(MIDDLE, member, CREATOR)
    audited.cloud.state.allow(ALICE, f"serviceAccount:{MIDDLE}" if delegates else member, CREATOR)
    if caller == "principal":
        token = audited.exchange(issuer.token()).document["access_token"]
    else:
        token = audited.ask("POST", "/emulator/token", document={"member": caller}).document["access_token"]
    names = [f"projects/-/serviceAccounts/{delegate}" for delegate in delegates]
    acting = audited.impersonate(ALICE, token, delegates=names).document["accessToken"]

    audited.ask("GET", "/storage/v1/b/data/o/a", token=acting)

    chain = [shown, *({"firstPartyPrincipal": {"principalEmail": delegate}} for delegate in delegates)]
    (access,) = entries(audited, 'protoPayload.methodName="storage.objects.get"')
    assert access["protoPayload"]["authenticationInfo"]["serviceAccountDelegationInfo"] == chain
    field = "protoPayload.authenticationInfo.serviceAccountDelegationInfo.firstPartyPrincipal.principalEmail"
    first_parties = [entry for entry in chain if "firstPartyPrincipal" in entry]
    assert entries(audited, f"{field}:*") == ([access] if first_parties else [])
    for entry in first_parties:
        assert entries(audited, f'{field}="{entry["firstPartyPrincipal"]["principalEmail"]}"') == [access]


def test_delegation_shows_emails_and_whole_subjects(audited: Google, issuer: Issuer) -> None:
    """A delegate that was sent by its unique id is shown by its e-mail, and a subject may contain spaces."""
    middle = audited.cloud.state.add_service_account(MIDDLE)
    audited.cloud.state.allow(MIDDLE, principal("user 1"), CREATOR)
    audited.cloud.state.allow(ALICE, f"serviceAccount:{MIDDLE}", CREATOR)
    token = audited.exchange(issuer.token(sub="user 1")).document["access_token"]
    delegates = [f"projects/-/serviceAccounts/{middle.unique_id}"]

    acting = audited.impersonate(ALICE, token, delegates=delegates).document["accessToken"]
    audited.ask("GET", "/storage/v1/b/data/o/a", token=acting)

    (access,) = entries(audited, 'protoPayload.methodName="storage.objects.get"')
    assert access["protoPayload"]["authenticationInfo"]["serviceAccountDelegationInfo"] == [
        {"principalSubject": principal("user 1")},
        {"firstPartyPrincipal": {"principalEmail": MIDDLE}},
    ]


def test_entry_is_written_when_impersonation_is_refused(audited: Google, federated: str) -> None:
    """A refused impersonation is logged with code 7 and the denied principal."""
    audited.impersonate(BOB, federated)

    (entry,) = entries(audited, "severity>=ERROR AND protoPayload.status.code=7")

    assert entry["protoPayload"]["authenticationInfo"] == {"principalSubject": principal("user-1")}
    labels = {"email_id": BOB, "unique_id": entry["resource"]["labels"]["unique_id"], "project_id": "my-project"}
    assert entry["resource"] == {"type": "service_account", "labels": labels}


def test_entry_is_written_when_exchange_is_refused(audited: Google, issuer: Issuer) -> None:
    """An exchange that is refused after the signature check is logged with the subject and the reason."""
    provider = next(iter(audited.cloud.state.pools.values())).providers["refresher"]
    provider.condition = "false"
    audited.exchange(issuer.token())

    (entry,) = entries(audited, 'protoPayload.serviceName="sts.googleapis.com"')

    assert entry["protoPayload"]["status"]["code"] == 3
    assert "attribute condition" in entry["protoPayload"]["status"]["message"]


def test_data_access_is_only_logged_when_configured(google: Google, issuer: Issuer) -> None:
    """Without an audit configuration exchanges are not logged; administration is always logged."""
    google.exchange(issuer.token())
    assert entries(google) == []

    google.ask("POST", f"/v1/{PROVIDER.rpartition('/')[0]}", document={}, token="anything")
    google.ask("DELETE", f"/v1/{PROVIDER}", token="anything")

    assert [entry["severity"] for entry in entries(google)] == ["ERROR", "NOTICE"]
    assert entries(google)[1]["protoPayload"]["methodName"] == "workloadIdentityPoolProviders.delete"


def test_exempted_member_is_not_logged(audited: Google, issuer: Issuer) -> None:
    """An audit configuration can exempt members."""
    config = audited.cloud.state.projects["my-project"].policy.audit_configs[0]
    config["auditLogConfigs"] = [{"logType": "ADMIN_READ", "exemptedMembers": [f"x:{principal('user-1')}"]}]

    audited.exchange(issuer.token())
    audited.exchange(issuer.token(sub="user-2"))

    assert [entry["protoPayload"]["authenticationInfo"]["principalSubject"] for entry in entries(audited)] == ["user-2"]


def test_pages_add_up_and_are_in_order(audited: Google, issuer: Issuer) -> None:
    """All pages together are the whole log, and the newest entries come first on request."""
    for number in range(5):
        audited.exchange(issuer.token(sub=f"user-{number}"))

    def subjects(document: dict[str, Any]) -> list[str]:
        return [entry["protoPayload"]["authenticationInfo"]["principalSubject"] for entry in document["entries"]]

    first = query(audited, pageSize=3).document
    second = query(audited, pageSize=3, pageToken=first["nextPageToken"]).document
    assert subjects(first) + subjects(second) == [f"user-{number}" for number in range(5)]
    assert "nextPageToken" not in second
    assert subjects(query(audited, orderBy="timestamp desc").document)[0] == "user-4"


@pytest.mark.parametrize(
    "document",
    [
        {}, {"resourceNames": "x"}, {"projectIds": ["my-project"], "filter": "a=("}, {"projectIds": [7]},
        {"projectIds": ["my-project"], "pageSize": -1}, {"projectIds": ["my-project"], "orderBy": "x"},
        {"projectIds": ["my-project"], "pageToken": "x"}, {"projectIds": ["my-project"], "filter": 'a=~"("'},
    ],
)  # fmt: skip
def test_invalid_queries_are_refused(google: Google, document: dict[str, Any]) -> None:
    """A query needs projects, and a valid filter, page and order."""
    assert google.ask("POST", "/v2/entries:list", document=document, token="anything").status == 400


def test_log_is_refused_without_the_permission(google: Google, federated: str) -> None:
    """Data Access logs need a permission of their own."""
    document = {"resourceNames": ["projects/my-project"]}
    assert google.ask("POST", "/v2/entries:list", document=document, token=federated).status == 403

    google.cloud.state.projects["my-project"].policy.allow("roles/logging.privateLogViewer", principal("user-1"))
    assert google.ask("POST", "/v2/entries:list", document=document, token=federated).status == 200


ENTRY = {
    "severity": "ERROR",
    "timestamp": "2026-01-01T12:00:00Z",
    "protoPayload": {
        "serviceName": "sts.googleapis.com",
        "status": {"code": 7},
        "metadata": {"mapped_principal": "principal://x/workloadIdentityPools/workers/subject/u"},
        "authorizationInfo": [{"permission": "a"}, {"permission": "b"}],
        "@type": "t",
    },
    "labels": {"k8s/app": "v w"},
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("", True),
        ('protoPayload.serviceName="sts.googleapis.com"', True),
        ('protoPayload.serviceName="STS.googleapis.com"', True),
        ("protoPayload.serviceName=sts.googleapis.com", True),
        ('protoPayload.metadata.mapped_principal=~"workloadIdentityPools/workers/"', True),
        ('protoPayload.metadata.mapped_principal!~"workloadIdentityPools/workers/"', False),
        ('protoPayload.metadata.mappedPrincipal:"WORKERS"', False),
        ('protoPayload.metadata.mapped_principal:"WORKERS"', True),
        ("protoPayload.status.code=7", True),
        ("protoPayload.status.code>6 protoPayload.status.code<=7", True),
        ("protoPayload.status.code!=7", False),
        ("severity>=WARNING", True),
        ("severity>CRITICAL", False),
        ('timestamp>="2026-01-01T00:00:00Z" AND timestamp<"2026-01-02T00:00:00Z"', True),
        ('timestamp<"2026-01-01T12:00:00Z"', False),
        ("protoPayload.authorizationInfo.permission=b", True),
        ("protoPayload.authorizationInfo.permission=(c OR b)", True),
        ("protoPayload.authorizationInfo.permission=(c OR d)", False),
        ("severity=(ERROR OR CRITICAL) AND NOT protoPayload.status.code=5", True),
        ("-severity=ERROR", False),
        ("severity=INFO OR (severity=ERROR AND protoPayload.status.code=7)", True),
        ('labels."k8s/app"="v w"', True),
        ('protoPayload."@type"=t', True),
        ("absent:*", False),
        ("protoPayload.status:*", True),
        ("absent=x", False),
        ("absent!=x", True),
        ('"sts.googleapis"', True),
        ("nowhere", False),
        ("-- a comment\nseverity=ERROR", True),
    ],
)
def test_filters_match_as_at_google(text: str, holds: bool) -> None:  # noqa: FBT001 - a column
    """Comparisons, lists, negation, grouping and free text match the same entries as at Google."""
    assert parse_filter(text)(ENTRY) is holds


@pytest.mark.parametrize(
    "text", ["(", "a=", "a=(b", "a=(b c)", ")", "AND", 'a="', 'a=~"("', "(" * 200 + "a", "a" * 20_001]
)
def test_invalid_filters_are_refused(text: str) -> None:
    """A filter that cannot be parsed is an error."""
    with pytest.raises(FilterError):
        parse_filter(text)


def test_query_is_refused_when_it_takes_too_long() -> None:
    """A pattern that takes milliseconds with every entry is refused after a second, not after a minute."""
    cloud = Cloud()
    for _ in range(CAPACITY):
        cloud.audit_log.add({"logName": "projects/my-project/logs/a", "textPayload": "a" * 100})
    document = {"resourceNames": ["projects/my-project"], "filter": 'textPayload=~"' + "(a|b|[ac]*)" * 1500 + 'z"'}
    headers = {"authorization": "Bearer anything", "content-type": "application/json"}

    reply = answer(
        cloud, Call(method="POST", path="/v2/entries:list", headers=headers, body=json.dumps(document).encode())
    )

    assert (reply.status, reply.document["error"]["status"]) == (504, "DEADLINE_EXCEEDED")


def test_long_subject_is_cut_in_the_log(audited: Google, issuer: Issuer) -> None:
    """Long values from clients do not fill the memory."""
    audited.exchange(issuer.token(sub="s" * 100_000))

    (entry,) = entries(audited)
    assert entry["protoPayload"]["authenticationInfo"] == {"principalSubject": "s" * LONGEST}
    assert audited.cloud.journal.entries()[0].facts["subject"] == "s" * LONGEST


@pytest.mark.parametrize(
    ("method", "suffix", "name"),
    [
        ("POST", ":disable", "DisableServiceAccount"),
        ("POST", ":enable", "EnableServiceAccount"),
        ("POST", "/keys", "CreateServiceAccountKey"),
        ("DELETE", "", "DeleteServiceAccount"),
    ],
)
def test_change_of_an_account_is_found_by_its_e_mail(audited: Google, method: str, suffix: str, name: str) -> None:
    """The entry has Google's name of the method, and the labels that the query for a deleted account looks for."""
    path = f"/v1/projects/my-project/serviceAccounts/{BOB}"
    assert audited.ask(method, f"{path}{suffix}", document={}, token="anything").status == 200

    query = f'resource.labels.email_id="{BOB}" AND protoPayload.methodName="google.iam.admin.v1.{name}"'
    (entry,) = entries(audited, query)

    account = audited.cloud.state.find_service_account(BOB)
    assert account is not None
    assert entry["resource"]["labels"]["unique_id"] == account.unique_id
    assert entry["protoPayload"]["resourceName"] == f"projects/-/serviceAccounts/{account.unique_id}"
