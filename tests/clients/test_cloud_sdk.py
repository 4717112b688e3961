from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.clients.conftest import ALICE, BOB, BUCKET, CONTENT, OBJECT, PROJECT, SUBJECT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.clients.conftest import Site
    from tests.conftest import Need

HOW = "install the Google Cloud CLI"
POOL = ("--location=global", "--workload-identity-pool=agents")


@pytest.fixture
def gcloud(site: Site, need: Need) -> Callable[..., str]:
    """Return a function that runs gcloud as alice's user, through the credential-file override; it returns stdout."""
    tool = need.tool("gcloud", HOW)

    def run(*arguments: str, account: str | None = ALICE, refused: bool = False) -> str:
        done = site.run(tool, *arguments, variables=site.variables(account), status=int(refused))
        return done.stderr if refused else done.stdout

    return run


@pytest.fixture
def administer(site: Site, need: Need) -> Callable[..., Any]:
    """Return a function that runs gcloud as the administrator, with any token, and returns the JSON of its output."""
    tool = need.tool("gcloud", HOW)
    variables = {
        name: value for name, value in site.variables().items() if name != "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE"
    }
    variables["CLOUDSDK_AUTH_ACCESS_TOKEN"] = "anything"

    def run(*arguments: str) -> Any:  # noqa: ANN401 - JSON
        printed = site.run(tool, *arguments, "--format=json", "--quiet", variables=variables).stdout
        return json.loads(printed) if printed.strip() else None

    return run


@pytest.mark.parametrize(("account", "who"), [(ALICE, ("service_account", ALICE)), (None, ("kind", "federated"))])
def test_gcloud_prints_a_token_of_the_identity(
    site: Site, gcloud: Callable[..., str], account: str | None, who: tuple[str, str]
) -> None:
    """`gcloud auth print-access-token` prints a token of the identity, with and without an account."""
    token = gcloud("auth", "print-access-token", account=account)

    assert site.google.whoami(token.strip())[who[0]] == who[1]


def test_gcloud_reads_lists_and_writes_objects(site: Site, gcloud: Callable[..., str]) -> None:
    """`gcloud storage` works as the identity, and is refused what the identity may not do."""
    assert gcloud("storage", "cat", f"gs://{BUCKET}/{OBJECT}") == CONTENT
    assert f"gs://{BUCKET}/{OBJECT}" in gcloud("storage", "ls", f"gs://{BUCKET}/**")
    file = site.place / "up.txt"
    file.write_text("from a file")

    refused = gcloud("storage", "cp", str(file), f"gs://{BUCKET}/up.txt", refused=True)
    gcloud("storage", "cp", str(file), f"gs://{BUCKET}/up.txt", account=None)

    assert "storage.objects.create" in refused
    assert gcloud("storage", "cat", f"gs://{BUCKET}/up.txt") == "from a file"


def test_gcloud_cannot_act_as_another_account(gcloud: Callable[..., str]) -> None:
    """Gcloud shows Google's refusal."""
    assert "iam.serviceAccounts.getAccessToken" in gcloud("auth", "print-access-token", account=BOB, refused=True)


def test_gcloud_administers_pools_providers_and_accounts(site: Site, administer: Callable[..., Any]) -> None:
    """Pools, providers and accounts are created, bound, changed, shown, deleted and undeleted as in Google's guides."""
    iam = ("iam", "workload-identity-pools")
    jwks = site.place / "jwks.json"
    jwks.write_text(
        json.dumps(site.google.state.pools[next(iter(site.google.state.pools))].providers["refresher"].jwks)
    )

    administer(*iam, "create", "agents", "--location=global", "--display-name=Agents")
    administer(
        *iam, "providers", "create-oidc", "scheduler", *POOL, "--issuer-uri=https://workers.invalid",
        f"--jwk-json-path={jwks}", "--attribute-mapping=google.subject=assertion.sub",
        "--attribute-condition=assertion.sub.startsWith('user-')",
    )  # fmt: skip
    administer(*iam, "providers", "update-oidc", "scheduler", *POOL, "--allowed-audiences=a,b")
    shown = administer(*iam, "providers", "describe", "scheduler", *POOL)
    administer(*iam, "providers", "delete", "scheduler", *POOL)
    deleted = administer(*iam, "providers", "describe", "scheduler", *POOL)
    administer(*iam, "providers", "undelete", "scheduler", *POOL)
    listed = administer(*iam, "list", "--location=global")
    administer(*iam, "delete", "agents", "--location=global")

    assert shown["oidc"]["allowedAudiences"] == ["a", "b"]
    assert shown["attributeCondition"] == "assertion.sub.startsWith('user-')"
    assert json.loads(shown["oidc"]["jwksJson"]) == json.loads(jwks.read_text())
    assert deleted["state"] == "DELETED"
    assert [pool["displayName"] for pool in listed if "displayName" in pool] == ["Agents"]

    made = administer("iam", "service-accounts", "create", "carol-1", "--display-name=Carol")
    email = f"carol-1@{PROJECT}.iam.gserviceaccount.com"
    member = f"principal://iam.googleapis.com/{shown['name'].partition('/providers/')[0]}/subject/{SUBJECT}"
    role = "roles/iam.workloadIdentityUser"
    binding = administer(
        "iam", "service-accounts", "add-iam-policy-binding", email, f"--member={member}", f"--role={role}"
    )
    assert made["email"] == email
    assert binding["bindings"] == [{"role": role, "members": [member]}]


def test_bq_shows_the_identity(site: Site, need: Need) -> None:
    """`bq` reads the discovery document, lists datasets and runs a query as the identity."""
    tool = need.tool("bq", HOW)
    site.google.grant("roles/bigquery.user", f"serviceAccount:{ALICE}")
    site.google.state.documents["datasets"] = {
        f"{PROJECT}/logs": {
            "id": f"{PROJECT}:logs",
            "datasetReference": {"projectId": PROJECT, "datasetId": "logs"},
        }
    }
    common = (tool, "--api", site.google.http, "--project_id", PROJECT, "--headless", "--format=json")

    datasets = site.run(*common, "ls", variables=site.variables()).stdout
    sql = "SELECT SESSION_USER() AS who, 7 AS n"
    rows = site.run(*common, "query", "--use_legacy_sql=false", sql, variables=site.variables()).stdout

    assert [entry["id"] for entry in json.loads(datasets)] == [f"{PROJECT}:logs"]
    assert json.loads(rows) == [{"who": ALICE, "n": "7"}]
