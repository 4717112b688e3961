from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from refresher.emulator.state import KEPT_AFTER_DELETION
from tests.unit.emulator.conftest import ALICE, ISSUER, POOL, Google, Issuer

if TYPE_CHECKING:
    from refresher.emulator.http import Reply

POOLS = "/v1/projects/my-project/locations/global/workloadIdentityPools"
PROVIDER = f"/v1/{POOL}/providers/refresher"
OIDC = {"attributeMapping": {"google.subject": "assertion.sub"}, "oidc": {"issuerUri": ISSUER}}


def admin(google: Google, method: str, path: str, document: Any = None, **query: str) -> Reply:  # noqa: ANN401 - JSON
    """Send a request as the administrator."""
    return google.ask(method, path, document=document, query=query, token="anything")


def message(reply: Reply) -> str:
    """Return the text of an error."""
    return str(reply.document["error"]["message"])


@pytest.mark.parametrize("project", ["my-project", "123456789012"])
def test_pool_is_created_and_shown(google: Google, project: str) -> None:
    """Project id and number find the same pool; empty fields are not shown."""
    body = {"displayName": "Agents", "description": "", "disabled": True}
    pools = f"/v1/projects/{project}/locations/global/workloadIdentityPools"

    started = admin(google, "POST", pools, body, workloadIdentityPoolId="agents")

    name = "projects/123456789012/locations/global/workloadIdentityPools/agents"
    assert started.document["name"].startswith(f"{name}/operations/")
    assert admin(google, "GET", f"{POOLS}/agents").document == {
        "name": name,
        "displayName": "Agents",
        "disabled": True,
        "state": "ACTIVE",
    }


def test_operation_is_done_when_it_is_read(google: Google) -> None:
    """The first answer has the name of an operation, below any prefix; an unknown one is not found."""
    name = admin(google, "POST", POOLS, {}, workloadIdentityPoolId="agents").document["name"]

    assert admin(google, "GET", f"/v1/{name}").document == {"name": name, "done": True, "response": {}}
    assert admin(google, "GET", f"/iam/v1/{name}").document["name"] == name
    assert admin(google, "GET", f"/v1/{name}0").status == 404
    assert admin(google, "GET", "/v1/operations/op1").status == 404


@pytest.mark.parametrize("pool_id", ["", "abc", "a" * 33, "UPPER", "gcp-pool", "a_b_c"])
def test_invalid_ids_are_refused(google: Google, pool_id: str) -> None:
    """An id has 4 to 32 characters `[a-z0-9-]` and does not begin with `gcp-`."""
    assert admin(google, "POST", POOLS, {}, workloadIdentityPoolId=pool_id).status == 400
    assert admin(google, "POST", f"/v1/{POOL}/providers", OIDC, workloadIdentityPoolProviderId=pool_id).status == 400


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"displayName": "x" * 33}, "display name must be less than or equal to 32 characters"),
        ({"description": "x" * 257}, "description must be less than or equal to 256 characters"),
        ({"disabled": "yes"}, "Invalid value for field disabled."),
        ({"mode": "OTHER"}, "Invalid value for field mode."),
    ],
)
def test_invalid_fields_are_refused(google: Google, body: dict[str, Any], text: str) -> None:
    """Texts have a greatest length, and fields a type."""
    assert message(admin(google, "POST", POOLS, body, workloadIdentityPoolId="agents")) == text


def test_update_changes_the_fields_of_its_mask(google: Google) -> None:
    """A masked field that is absent is cleared, other fields stay, and the mask must not be empty."""
    admin(google, "POST", POOLS, {"displayName": "A", "description": "B"}, workloadIdentityPoolId="agents")

    admin(google, "PATCH", f"{POOLS}/agents", {"disabled": True}, updateMask="displayName,disabled")

    shown = admin(google, "GET", f"{POOLS}/agents").document
    assert (shown.get("displayName"), shown["description"], shown["disabled"]) == (None, "B", True)
    assert admin(google, "PATCH", f"{POOLS}/agents", {}, updateMask="name").status == 400
    assert admin(google, "PATCH", f"{POOLS}/agents", {}).status == 400
    assert admin(google, "PATCH", f"{POOLS}/agents", {"mode": "TRUST_DOMAIN"}, updateMask="mode").status == 400


def test_deleted_pool_refuses_until_it_is_undeleted(google: Google, issuer: Issuer) -> None:
    """E4 and T7: for 30 days a deleted pool is shown and keeps its id; undeleting restores everything in it."""
    assert admin(google, "DELETE", f"/v1/{POOL}").status == 200

    assert google.exchange(issuer.token()).document["error"] == "invalid_target"
    assert admin(google, "GET", f"/v1/{POOL}").document["state"] == "DELETED"
    assert admin(google, "DELETE", f"/v1/{POOL}").status == 404
    assert admin(google, "POST", POOLS, {}, workloadIdentityPoolId="workers").status == 409
    assert admin(google, "GET", POOLS).document == {}
    assert len(admin(google, "GET", POOLS, showDeleted="true").document["workloadIdentityPools"]) == 1

    assert admin(google, "POST", f"/v1/{POOL}:undelete", {}).status == 200
    assert google.exchange(issuer.token()).status == 200
    assert admin(google, "POST", f"/v1/{POOL}:undelete", {}).status == 400


@pytest.mark.parametrize("name", [f"/v1/{POOL}", PROVIDER])
def test_deleted_resources_are_gone_after_thirty_days(google: Google, name: str) -> None:
    """The id can be used again when nothing can be undeleted any more."""
    admin(google, "DELETE", name)
    google.clock.pass_(timedelta(seconds=KEPT_AFTER_DELETION))
    parent, _, last = name.rpartition("/")
    field = "workloadIdentityPoolId" if name.endswith("workers") else "workloadIdentityPoolProviderId"

    assert admin(google, "GET", name).status == 404
    assert admin(google, "POST", f"{name}:undelete", {}).status == 404
    assert admin(google, "POST", parent, OIDC, **{field: last}).status == 200


def test_deleted_provider_refuses_until_it_is_undeleted(google: Google, issuer: Issuer) -> None:
    """E4 and T7 for providers."""
    assert admin(google, "DELETE", PROVIDER).status == 200

    assert google.exchange(issuer.token()).document["error"] == "invalid_target"
    assert admin(google, "GET", PROVIDER).document["state"] == "DELETED"
    assert admin(google, "GET", f"/v1/{POOL}/providers").document == {}
    assert admin(google, "PATCH", PROVIDER, {}, updateMask="disabled").status == 404

    admin(google, "POST", f"{PROVIDER}:undelete", {})
    assert google.exchange(issuer.token()).status == 200
    assert admin(google, "POST", f"{PROVIDER}:undelete", {}).status == 400


@pytest.mark.parametrize(
    ("method", "body", "query"), [("PATCH", {"disabled": True}, {"updateMask": "disabled"}), ("DELETE", None, {})]
)
def test_tokens_stay_valid_when_their_provider_is_disabled(
    google: Google, issuer: Issuer, federated: str, method: str, body: dict[str, Any] | None, query: dict[str, str]
) -> None:
    """A disabled or deleted provider refuses new exchanges, while its tokens stay valid (measured)."""
    admin(google, method, PROVIDER, body, **query)

    assert google.exchange(issuer.token()).document["error"] == "invalid_target"
    assert google.impersonate(ALICE, federated).status == 200


def test_disabled_pool_stops_its_tokens(google: Google, issuer: Issuer, federated: str) -> None:
    """A disabled pool stops exchanges and existing tokens; once enabled, the tokens work again."""
    account_token = google.impersonate(ALICE, federated).document["accessToken"]
    admin(google, "PATCH", f"/v1/{POOL}", {"disabled": True}, updateMask="disabled")

    assert google.exchange(issuer.token()).document["error"] == "invalid_target"
    refused = google.impersonate(ALICE, federated)
    assert (refused.status, refused.document["error"]["status"]) == (401, "UNAUTHENTICATED")
    assert google.ask("POST", "/v1/introspect", document={"token": federated}).document == {"active": False}
    assert google.whoami(account_token)["service_account"] == ALICE

    admin(google, "PATCH", f"/v1/{POOL}", {"disabled": False}, updateMask="disabled")
    assert google.impersonate(ALICE, federated).status == 200


def test_deleted_pool_stops_its_tokens(google: Google, federated: str) -> None:
    """While a pool is deleted its tokens grant nothing; once it is undeleted, they work again."""
    admin(google, "DELETE", f"/v1/{POOL}")
    assert google.impersonate(ALICE, federated).status == 401

    admin(google, "POST", f"/v1/{POOL}:undelete", {})
    assert google.impersonate(ALICE, federated).status == 200


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ("", 400),
        ("true", 400),
        ("1 == 1", 400),
        ("'assertion.sub' != ''", 400),
        ("'\\' assertion.sub' != ''", 400),
        ('"it\'s assertion.sub" != ""', 400),
        ("'''assertion.sub''' != ''", 400),
        ("assertion.repository_owner_id == '1'", 200),
        ("attribute.owner == '1'", 200),
    ],
)
def test_condition_for_a_shared_issuer_must_read_a_claim(google: Google, condition: str, status: int) -> None:
    """T6: a condition that is true for every token of such an issuer is refused."""
    body = {
        "attributeMapping": {"google.subject": "assertion.sub", "attribute.owner": "assertion.owner"},
        "oidc": {"issuerUri": "https://token.actions.githubusercontent.com"},
        "attributeCondition": condition,
    }

    reply = admin(google, "POST", f"/v1/{POOL}/providers", body, workloadIdentityPoolProviderId="another")

    assert reply.status == status


@pytest.mark.parametrize(
    "body",
    [
        {"oidc": {"issuerUri": ISSUER}},
        {**OIDC, "aws": {"accountId": "1"}},
        {"attributeMapping": OIDC["attributeMapping"]},
        {**OIDC, "oidc": {"issuerUri": f"{ISSUER}?q"}},
        {**OIDC, "oidc": {"issuerUri": "workers.invalid"}},
        {**OIDC, "oidc": {"issuerUri": "https://[::1"}},
        {**OIDC, "oidc": {"issuerUri": ISSUER, "allowedAudiences": ["a"] * 11}},
        {**OIDC, "oidc": {"issuerUri": ISSUER, "allowedAudiences": ["a" * 257]}},
        {**OIDC, "oidc": {"issuerUri": ISSUER, "allowedAudiences": [""]}},
        {**OIDC, "oidc": {"issuerUri": ISSUER, "jwksJson": "{}"}},
        {**OIDC, "oidc": {"issuerUri": ISSUER, "jwksJson": '{"keys": []}'}},
        {**OIDC, "oidc": {"issuerUri": ISSUER, "jwksJson": '{"keys": [1]}'}},
    ],
)
def test_invalid_providers_are_refused(google: Google, body: dict[str, Any]) -> None:
    """A provider has exactly one kind, and its settings are within Google's limits."""
    reply = admin(google, "POST", f"/v1/{POOL}/providers", body, workloadIdentityPoolProviderId="another")

    assert reply.status == 400


def test_eight_keys_can_be_uploaded(google: Google, issuer: Issuer) -> None:
    """A ninth key is too many."""
    (key,) = issuer.jwks["keys"]

    def upload(count: int) -> int:
        keys = [{**key, "kid": str(number)} for number in range(count)]
        oidc = {"issuerUri": ISSUER, "jwksJson": str({"keys": keys}).replace("'", '"')}
        return admin(google, "PATCH", PROVIDER, {"oidc": oidc}, updateMask="oidc.jwks_json").status

    assert (upload(8), upload(9)) == (200, 400)


def test_upload_replaces_all_keys(google: Google, issuer: Issuer) -> None:
    """Keys that a new upload lacks are no longer accepted; an empty upload means discovery."""
    other = {
        "kty": "EC",
        "crv": "P-256",
        "kid": "other",
        "x": issuer.jwks["keys"][0]["x"],
        "y": issuer.jwks["keys"][0]["y"],
    }
    oidc = {"issuerUri": ISSUER, "jwksJson": str({"keys": [other]}).replace("'", '"')}
    admin(google, "PATCH", PROVIDER, {"oidc": oidc}, updateMask="oidc.jwksJson")

    assert "credential's issuer" in google.exchange(issuer.token()).document["error_description"]
    assert google.exchange(issuer.token(headers={"kid": "other"})).status == 200

    admin(google, "PATCH", PROVIDER, {"oidc": {"issuerUri": ISSUER}}, updateMask="oidc.jwksJson")
    google.cloud.discover = lambda _: issuer.jwks
    assert google.exchange(issuer.token()).status == 200


@pytest.mark.parametrize(
    ("kind", "settings"),
    [("aws", {"accountId": "999999999999"}), ("saml", {"idpMetadataXml": "<x/>"}), ("x509", {"trustStore": {}})],
)
def test_other_kinds_are_stored_and_shown(google: Google, kind: str, settings: dict[str, Any]) -> None:
    """Providers of AWS, SAML and X.509 can be managed, and keep their kind."""
    body = {"attributeMapping": OIDC["attributeMapping"], kind: settings}
    admin(google, "POST", f"/v1/{POOL}/providers", body, workloadIdentityPoolProviderId="another")

    shown = admin(google, "GET", f"/v1/{POOL}/providers/another").document
    assert (shown["attributeMapping"], shown.get(kind, {"trustStore": {}})) == (body["attributeMapping"], settings)
    assert admin(google, "PATCH", f"/v1/{POOL}/providers/another", OIDC, updateMask="oidc").status == 400


def test_attestation_rules_are_stored(google: Google) -> None:
    """Attestation rules of a pool are replaced and listed."""
    rules = [{"googleCloudResource": "//run.googleapis.com/x"}]

    admin(google, "POST", f"/v1/{POOL}:setAttestationRules", {"attestationRules": rules})

    assert admin(google, "GET", f"/v1/{POOL}:listAttestationRules").document == {"attestationRules": rules}


def test_providers_need_a_pool_of_the_right_mode(google: Google) -> None:
    """A pool of managed workload identities cannot have providers."""
    admin(google, "POST", POOLS, {"mode": "TRUST_DOMAIN"}, workloadIdentityPoolId="domain")

    reply = admin(google, "POST", f"{POOLS}/domain/providers", OIDC, workloadIdentityPoolProviderId="another")

    assert (reply.status, reply.document["error"]["status"]) == (400, "FAILED_PRECONDITION")
