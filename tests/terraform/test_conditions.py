"""What condition and mapping of the provider mean to tokens: kinds of claims, shortened subjects, quotes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.terraform.exchanges import Issuer, exchange, impersonate
from tests.terraform.test_examples import POOL, account, list_grants, principal
from tests.terraform.test_guardrails import query_log, rails
from tests.terraform.tool import SECONDS

if TYPE_CHECKING:
    from tests.conftest import Act
    from tests.terraform.conftest import Site

pytestmark = pytest.mark.timeout(SECONDS)

IDP = "https://idp.example.com"
SPIFFE = "spiffe://example.com/"
LONG = f"/eid1/c/pub/t/{'t' * 22}/a/{'a' * 22}/sc/{'0' * 36}/"
"""A prefix as that of Azure DevOps' subjects, which have 155 bytes with the id of a connection."""


def apply(site: Site, issuer: Issuer, **inputs: Any) -> dict[str, Any]:  # noqa: ANN401 - any value of Terraform's
    """Apply the root for an issuer; return the outputs."""
    (site.modules / "issuer.json").write_text(issuer.jwks)
    terraform = site.call(
        "conditions",
        issuer={"kind": "oidc", "uri": issuer.uri},
        jwks='${file("../../issuer.json")}',
        deletion_protection=False,
        outputs=("audience", "audit_queries", "principals", "refresher_yaml", "service_accounts"),
        **inputs,
    )
    terraform.apply()
    assert terraform.plan() == {}
    return terraform.output()


def test_truth_values_of_an_issuer(site: Site) -> None:
    """A truth value of a token is compared as such, and mapped to a text; a text of the same letters is refused."""
    issuer = Issuer(IDP)
    condition = {"claims": {"email_verified": True, "owner_id": "1234"}}
    outputs = apply(site, issuer, attribute_condition=condition)

    def exchange_with(**claims: Any) -> str:  # noqa: ANN401 - any claim
        return exchange(site, outputs["audience"], issuer.token("user-1042", outputs["audience"], **claims))

    federated = exchange_with(email_verified=True, owner_id="1234")
    refused = [
        exchange_with(email_verified="true", owner_id="1234"),
        exchange_with(email_verified=False, owner_id="1234"),
        exchange_with(email_verified=True, owner_id=1234),
    ]

    assert impersonate(site, federated, outputs["service_accounts"]["task-alice"]) == 200
    assert [text for text in refused if "error" not in text] == []


def test_truth_values_of_our_own_key(site: Site, act: Act) -> None:
    """A truth value in the condition is minted as one."""
    terraform = site.call(
        "conditions",
        attribute_condition={"subject_prefix": "user-", "claims": {"batch": True}},
        deletion_protection=False,
        outputs=("refresher_yaml",),
    )
    terraform.apply()
    site.write("federation.yaml", terraform.output()["refresher_yaml"])
    site.host("task-alice")
    site.worker.once()

    provider = site.google.state.pools[POOL].providers["refresher"]
    assert provider.condition == "assertion.sub.startsWith('user-') && assertion.batch == true"
    assert act(site.worker.directory("task-alice"), site.google)["service_account"].startswith("task-alice@")


@pytest.mark.parametrize(("prefix", "subject"), [(SPIFFE, "ns/prod/alice"), (LONG, "1" * 36)], ids=["spiffe", "azure"])
def test_dropped_prefix(site: Site, prefix: str, subject: str) -> None:
    """The principal is the subject without its prefix; another subject, or another prefix, does not get in."""
    issuer = Issuer(IDP)
    outputs = apply(
        site,
        issuer,
        attribute_condition={"subject_prefix": prefix, "drop_subject_prefix": True},
        identities={"task-alice": {"subject": f"{prefix}{subject}"}},
    )

    def impersonate_as(claim: str) -> int | str:
        federated = exchange(site, outputs["audience"], issuer.token(claim, outputs["audience"]))
        return federated if "error" in federated else impersonate(site, federated, account(site, "task-alice").email)

    assert outputs["principals"] == {"task-alice": principal(subject)}
    assert impersonate_as(f"{prefix}{subject}") == 200
    assert impersonate_as(f"{prefix}{subject}x") == 403
    assert impersonate_as(f"{prefix}{prefix}{subject}") != 200
    assert "error" in str(impersonate_as(f"spiffe://example.org/{subject}"))


def test_refresher_compares_the_whole_subject(site: Site, act: Act) -> None:
    """With a dropped prefix, the configuration has the claim `sub`, so that another user's token is not published."""
    issuer = Issuer(IDP)
    outputs = apply(
        site,
        issuer,
        attribute_condition={"subject_prefix": SPIFFE, "drop_subject_prefix": True},
        identities={"task-alice": {"subject": f"{SPIFFE}ns/prod/alice"}},
    )
    site.supplier = {"path": str(site.worker.place / "source.jwt")}
    site.write("federation.yaml", outputs["refresher_yaml"])
    site.host("task-alice")
    site.write("source.jwt", issuer.token(f"{SPIFFE}ns/prod/bob", outputs["audience"]))
    refused = site.worker.once(status=3)
    site.write("source.jwt", issuer.token(f"{SPIFFE}ns/prod/alice", outputs["audience"]))
    site.worker.once()

    assert "sub" in refused.stderr
    assert act(site.worker.directory("task-alice"), site.google)["service_account"].startswith("task-alice@")


def test_quotes_in_a_subject(site: Site) -> None:
    """A quote and a backslash in a subject stay in the filters, which find this subject's entries and no others."""
    subject = 'user-"OR(protoPayload.serviceName="sts.googleapis.com")OR"\\'
    issuer = Issuer(IDP)
    site.google.state.add_project("data-project", "222222222222")
    identities = {"task-alice": {"subject": subject}, "task-bob": {"subject": "user-1043"}}
    outputs = apply(site, issuer, attribute_condition={"subject_prefix": "user-"}, identities=identities)
    watching = rails(site, expected_principals=[outputs["principals"]["task-alice"]]).output()["rails"]
    for claim, email in ((subject, "task-alice"), ("user-1043", "task-bob")):
        federated = exchange(site, outputs["audience"], issuer.token(claim, outputs["audience"]))
        assert impersonate(site, federated, account(site, email).email) == 200

    queries = outputs["audit_queries"]["task-alice"]
    strangers = [entry["authenticationInfo"] for entry in query_log(site, watching["unexpected_filter"])]

    assert len(query_log(site, queries["exchanges"])) == 1
    assert [entry["methodName"] for entry in query_log(site, queries["by_subject"])] == ["GenerateAccessToken"]
    assert strangers == [{"principalSubject": principal("user-1043")}]
    assert len(list_grants(account(site, "task-alice"))) == 1


@pytest.mark.parametrize("project", ["eu0:my-project", "example.com:my-project"])
def test_project_with_a_domain(site: Site, act: Act, project: str) -> None:
    """A project id DOMAIN:NAME is NAME.DOMAIN in the addresses of its accounts, at Google and in every output."""
    domain, _, name = project.partition(":")
    email = f"task-alice@{name}.{domain}.iam.gserviceaccount.com"
    site.google.state.add_project(project, "222222222222")
    terraform = site.call(
        "domain",
        project_id=project,
        identities={"task-alice": {"subject": "user-1042", "signing": True}},
        deletion_protection=False,
        outputs=("refresher_yaml", "service_accounts", "audit_queries"),
    )
    terraform.apply()
    outputs = terraform.output()
    site.write("federation.yaml", outputs["refresher_yaml"])
    site.host("task-alice")
    site.worker.once()

    assert terraform.plan() == {}
    assert outputs["service_accounts"] == {"task-alice": email}
    assert email in outputs["audit_queries"]["task-alice"]["became_account"]
    assert act(site.worker.directory("task-alice"), site.google)["service_account"] == email
