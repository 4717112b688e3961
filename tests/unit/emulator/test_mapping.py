from __future__ import annotations

from typing import Any

import pytest

from refresher.emulator.state import Provider
from tests.unit.emulator.conftest import ALICE, ISSUER, POOL, Google, Issuer, principal

PROVIDERS = f"/v1/{POOL}/providers"


def trust(google: Google, issuer: Issuer, mapping: dict[str, str], condition: str = "") -> None:
    """Set the mapping and the condition of the provider."""
    google.cloud.state.pools[POOL].providers["refresher"] = Provider(
        issuer=ISSUER, jwks=issuer.jwks, mapping={"google.subject": "assertion.sub", **mapping}, condition=condition
    )


def create(google: Google, mapping: dict[str, Any], condition: str = "assertion.sub != ''") -> tuple[int, str]:
    """Create another provider; return status and text."""
    reply = google.ask(
        "POST",
        PROVIDERS,
        query={"workloadIdentityPoolProviderId": "another"},
        document={
            "attributeMapping": {"google.subject": "assertion.sub", **mapping},
            "attributeCondition": condition,
            "oidc": {"issuerUri": ISSUER},
        },
        token="anything",
    )
    return reply.status, reply.document.get("error", {}).get("message", "")


def list_members(google: Google, issuer: Issuer, **claims: Any) -> dict[str, Any]:  # noqa: ANN401 - any claim
    """Exchange a token, and return the names under which policies can contain its principal."""
    return google.whoami(google.exchange(issuer.token(**claims)).document["access_token"])


def test_maps_attributes_and_groups(google: Google, issuer: Issuer) -> None:
    """Custom attributes and groups are principal sets, to which roles can be bound."""
    trust(google, issuer, {"attribute.worker": "assertion.worker", "google.groups": "assertion.teams"})
    prefix = f"principalSet://iam.googleapis.com/{POOL}"
    token = google.exchange(issuer.token(worker="w-17", teams=["red", "blue"])).document["access_token"]

    for member, status in (
        (f"{prefix}/attribute.worker/w-17", 200),
        (f"{prefix}/attribute.worker/w-1", 403),
        (f"{prefix}/attribute.other/w-17", 403),
        (f"{prefix}/group/blue", 200),
        (f"{prefix}/group/green", 403),
        (f"{prefix}/*", 200),
        (principal("user-1"), 200),
        (principal("user"), 403),
    ):
        google.cloud.state.service_accounts.clear()
        google.cloud.state.allow(ALICE, member)
        assert google.impersonate(ALICE, token).status == status, member


@pytest.mark.parametrize("claims", [{}, {"worker": None}])
def test_attribute_is_absent_when_its_claim_is_absent(google: Google, issuer: Issuer, claims: dict[str, Any]) -> None:
    """A token without the claim is exchanged, and its principal lacks the attribute."""
    trust(google, issuer, {"attribute.worker": "assertion.worker", "google.groups": "assertion.teams"})

    assert google.exchange(issuer.token(**claims)).status == 200


@pytest.mark.parametrize(
    ("name", "value"), [("attribute.worker", 7), ("google.groups", [1]), ("google.groups", {"a": 1})]
)
def test_attributes_are_texts(google: Google, issuer: Issuer, name: str, value: object) -> None:
    """A claim of another type cannot be an attribute or a group."""
    trust(google, issuer, {name: "assertion.it"})

    reply = google.exchange(issuer.token(it=value))

    assert (reply.status, reply.document["error"]) == (400, "invalid_request")
    assert name in reply.document["error_description"]


@pytest.mark.parametrize(
    ("condition", "claims", "holds"),
    [
        ("assertion.tenant == 'a'", {"tenant": "a"}, True),
        ("assertion.tenant == 'a'", {"tenant": "A"}, False),
        ("assertion.tenant == 'a'", {}, False),
        ("google.subject == 'user-1' && attribute.tenant == 'a'", {"tenant": "a"}, True),
        ("attribute.tenant == 'a'", {}, False),
        ("'red' in google.groups", {"teams": ["red"]}, True),
        ("'red' in google.groups", {"teams": []}, False),
        ("assertion.flag", {"flag": True}, True),
        ("assertion.flag", {"flag": "true"}, False),
        ("assertion.sub.startsWith('user-') ? assertion.tenant == 'a' : false", {"tenant": "a"}, True),
    ],
)
def test_condition_decides(
    google: Google,
    issuer: Issuer,
    condition: str,
    claims: dict[str, Any],
    holds: bool,  # noqa: FBT001 - a column
) -> None:
    """E12: a condition that is not true, or fails, rejects the credential."""
    trust(google, issuer, {"attribute.tenant": "assertion.tenant", "google.groups": "assertion.teams"}, condition)

    reply = google.exchange(issuer.token(**claims))

    assert reply.status == (200 if holds else 400)
    assert holds or reply.document["error"] == "unauthorized_client"


@pytest.mark.parametrize(("length", "status"), [(8192 - len("user-1"), 200), (8192 - len("user-1") + 1, 400)])
def test_all_attributes_have_8192_bytes_at_most(google: Google, issuer: Issuer, length: int, status: int) -> None:
    """All mapped attributes together may have 8,192 bytes; the limit does not count characters."""
    trust(google, issuer, {"attribute.long": "assertion.long"})

    assert google.exchange(issuer.token(long="é" * (length // 2) + "a" * (length % 2))).status == status


@pytest.mark.parametrize(("count", "status"), [(50, 200), (51, 400)])
def test_mapping_has_fifty_attributes_at_most(google: Google, count: int, status: int) -> None:
    """A mapping has at most fifty custom attributes."""
    assert create(google, {f"attribute.a{number}": "'x'" for number in range(count)})[0] == status


@pytest.mark.parametrize(("length", "status"), [(2048, 200), (2049, 400)])
def test_mapping_has_2048_characters_at_most(google: Google, length: int, status: int) -> None:
    """One expression of a mapping has at most 2,048 characters."""
    assert create(google, {"attribute.a": "'" + "x" * (length - 2) + "'"})[0] == status


@pytest.mark.parametrize(("length", "status"), [(4096, 200), (4097, 400)])
def test_condition_has_4096_characters_at_most(google: Google, length: int, status: int) -> None:
    """A condition has at most 4,096 characters."""
    begin = "assertion.sub != '"

    assert create(google, {}, begin + "x" * (length - len(begin) - 1) + "'")[0] == status


@pytest.mark.parametrize(("name", "status"), [("a" * 100, 200), ("a" * 101, 400), ("A", 400), ("a-b", 400), ("", 400)])
def test_attribute_names_are_limited(google: Google, name: str, status: int) -> None:
    """The name of a custom attribute has at most a hundred characters `[a-z0-9_]`."""
    assert create(google, {f"attribute.{name}": "'x'"})[0] == status


@pytest.mark.parametrize(
    ("mapping", "condition", "text"),
    [
        ({"google.subject": ""}, "", "must include google.subject"),
        ({"google.other": "'x'"}, "", "Invalid mapped attribute key: google.other"),
        ({"attribute.a": "assertion."}, "", "Invalid mapping of attribute.a"),
        ({"attribute.a": 7}, "", "must be an expression"),
        ({}, "assertion.", "Invalid attribute condition"),
        ({}, "'yes'", "must evaluate to a boolean"),
    ],
)
def test_invalid_expressions_are_refused(google: Google, mapping: dict[str, Any], condition: str, text: str) -> None:
    """A mapping or condition that could never work is refused when it is configured."""
    status, said = create(google, mapping, condition)

    assert status == 400
    assert text in said


def test_subjects_of_two_providers_are_the_same_principal(google: Google, issuer: Issuer) -> None:
    """A principal does not contain its provider, so two providers of one pool can collide, as at Google."""
    google.cloud.state.pools[POOL].providers["second"] = Provider(issuer=ISSUER, jwks=issuer.jwks)
    second = f"{POOL}/providers/second"
    token = issuer.token(aud=f"https://iam.googleapis.com/{second}")

    reply = google.exchange(token, audience=f"//iam.googleapis.com/{second}")

    assert google.whoami(reply.document["access_token"])["principal"] == list_members(google, issuer)["principal"]
