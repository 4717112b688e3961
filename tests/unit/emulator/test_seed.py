from __future__ import annotations

import json
from pathlib import Path

import pytest

from refresher.emulator.roles import GET_ACCESS_TOKEN
from refresher.emulator.seed import apply_seed, read_seed
from refresher.emulator.state import State
from refresher.errors import EmulatorError
from tests.unit.emulator.conftest import ALICE, Google, Issuer
from tests.unit.emulator.token_calls import USER, refresh

EXAMPLE = Path(__file__).parents[3] / "configs" / "emulator-seed.yaml"
KEY = {
    "kty": "EC",
    "kid": "k",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
"""The key of RFC 7515, appendix A.3."""

CAROL = {"member": "user:carol@example.com"}


@pytest.fixture
def planted(issuer: Issuer, tmp_path: Path) -> Google:
    """Return a cloud with the resources of the example's seed, next to which is the issuer's key."""
    google = Google()
    (tmp_path / "jwks.json").write_text(json.dumps(issuer.jwks))
    apply_seed(google.cloud.state, read_seed(EXAMPLE), directory=tmp_path, now=google.cloud.now())
    return google


def test_example_creates_its_resources(planted: Google) -> None:
    """Projects, pools, providers and the machine's account of the example exist."""
    state = planted.cloud.state
    (pool,) = state.pools.values()

    assert set(state.projects) == {"my-project", "elsewhere"}
    assert state.projects["elsewhere"].services == {"iam.googleapis.com", "sts.googleapis.com"}
    assert state.projects["elsewhere"].perimeter == {"sts.googleapis.com"}
    assert set(pool.providers) == {"refresher", "google", "retired"}
    assert pool.providers["retired"].disabled
    assert (
        planted.ask(
            "GET",
            "/computeMetadata/v1/instance/service-accounts/default/email",
            headers={"Metadata-Flavor": "Google"},
        ).text
        == "worker@my-project.iam.gserviceaccount.com"
    )


def test_policies_of_the_example_apply(planted: Google) -> None:
    """A member of the group has the rights of the custom role, and impersonates accounts by the project's policy."""
    carol = planted.ask("POST", "/emulator/token", document=CAROL).document["access_token"]

    buckets = planted.ask("GET", "/storage/v1/b", token=carol, query={"project": "my-project"})
    token = planted.impersonate(ALICE, carol).document["accessToken"]

    assert [bucket["name"] for bucket in buckets.document["items"]] == ["data"]
    assert planted.ask("GET", "/storage/v1/b/data/o", token=token).status == 200
    assert planted.ask("GET", "/storage/v1/b/data/o", token=carol).status == 403


def test_example_trusts_the_own_key(planted: Google, issuer: Issuer) -> None:
    """A token of the example's subject, signed with the key next to the seed, is exchanged and impersonates alice."""
    token = planted.exchange(issuer.token(sub="user-1042")).document["access_token"]

    assert planted.impersonate(ALICE, token).status == 200
    assert planted.exchange(issuer.token(sub="somebody")).document["error"] == "unauthorized_client"


def test_example_needs_the_own_key(tmp_path: Path) -> None:
    """Without the file of the key the error names it, and nothing is created."""
    state = State()

    with pytest.raises(EmulatorError) as refused:
        apply_seed(state, read_seed(EXAMPLE), directory=tmp_path)

    assert refused.value.problem == f"{tmp_path / 'jwks.json'} cannot be read: No such file or directory"
    assert state == State()


def test_user_of_the_example_refreshes(planted: Google) -> None:
    """The refresh token of the example gets an access token of its user."""
    fields = {name: read_seed(EXAMPLE)["users"]["carol@example.com"][name] for name in USER}

    token = refresh(planted, **fields).document["access_token"]

    assert planted.impersonate(ALICE, token).status == 200


def test_example_contains_every_key() -> None:
    """The example uses every key that a seed can have."""
    with pytest.raises(EmulatorError) as refused:
        apply_seed(State(), {"": None})

    assert set(read_seed(EXAMPLE)) == set(str(refused.value).partition("use one of: ")[2].split(", "))


def test_seed_limits_the_lifetime_of_access_tokens(planted: Google) -> None:
    """An account's tokens live no longer than the seed allows, and a later seed changes the limit."""
    state = planted.cloud.state
    carol = planted.ask("POST", "/emulator/token", document=CAROL).document["access_token"]

    def life(**asked: str) -> float:
        token = planted.impersonate(ALICE, carol, **asked).document["accessToken"]
        bearer = planted.cloud.vault.recognise(token, planted.cloud.now())
        assert bearer is not None
        return bearer.expires_at - planted.cloud.now()

    assert life() == 1800
    assert life(lifetime="600s") == 600
    apply_seed(state, {"access_token_lives": {ALICE: 20}})
    assert life() == 20
    apply_seed(state, {"service_accounts": {ALICE: None}})
    assert life() == 20


@pytest.mark.parametrize("life", [0, -1, True, "20", None])
def test_invalid_lifetimes_are_refused(life: object) -> None:
    """A lifetime is a positive number of seconds."""
    with pytest.raises(EmulatorError, match="expected shape"):
        apply_seed(State(), {"access_token_lives": {ALICE: life}})


def test_project_keeps_its_settings_when_a_seed_omits_them() -> None:
    """A seed with only a project's number leaves its services and perimeter as they are."""
    state = State()
    state.projects["my-project"].services = {"iam.googleapis.com"}
    state.projects["my-project"].perimeter = {"sts.googleapis.com"}

    apply_seed(state, {"projects": {"my-project": "77"}})
    apply_seed(state, {"projects": {"my-project": {"number": "78", "perimeter": []}}})

    project = state.projects["my-project"]
    assert (project.number, project.services, project.perimeter) == ("78", {"iam.googleapis.com"}, set())


@pytest.mark.parametrize(
    ("provider", "problem"),
    [
        ({"issuer": "https://i", "mapping": {}}, "must include google.subject"),
        ({"issuer": "https://i", "mapping": {"google.subject": 5}}, "must be an expression"),
        ({"issuer": "https://i", "mapping": 5}, "shape"),
        ({"issuer": "https://i", "condition": "assertion."}, "Invalid attribute condition"),
        ({"issuer": "https://i", "condition": 5}, "shape"),
        ({"issuer": 5}, "shape"),
        ({"issuer": "https://i", "allowed_audiences": "a"}, "shape"),
        ({"issuer": "https://i", "jwks": []}, "shape"),
        ({"issuer": "https://i", "disabled": "no"}, "shape"),
        ({"issuer": "https://i", "colour": "red"}, "shape: unknown keys: colour; known are: issuer"),
        ({"issuer": "https://i", "kind": "ldap"}, "Invalid value for field kind"),
        ({"issuer": "ftp://i"}, "The scheme must be https"),
        ({"issuer": "i"}, "Invalid OIDC issuer URI"),
        ({"issuer": "https://i", "allowed_audiences": ["a"] * 11}, "oidc.allowed_audiences"),
        ({"issuer": "https://i", "jwks": {"keys": []}}, "Input JWK is not in a valid json format"),
        ({"issuer": "https://i", "jwks": {"keys": [KEY] * 9}}, "At most 8 keys"),
        ({"issuer": "https://i", "jwks": {"keys": [KEY | {"x5c": ["AA"]}]}}, "Input JWK is not in a valid json"),
        ({"issuer": "https://i", "jwks": {"keys": [KEY | {"crv": "P-384"}]}}, "Only RSA, EC key types"),
        ({"issuer": "https://token.actions.githubusercontent.com"}, "must reference one of the provider's claims"),
    ],
)
def test_invalid_providers_are_refused(provider: dict[str, object], problem: str) -> None:
    """A provider that Google would refuse is refused when the seed is applied, not when it is used."""
    with pytest.raises(EmulatorError, match=problem) as refused:
        apply_seed(State(), {"pools": [{"pool": "workers", "providers": {"refresher": provider}}]})
    assert "the seed's pools[0].providers.refresher" in str(refused.value)


def test_issuer_can_have_plain_http() -> None:
    """The test issuers on the loopback have no certificate."""
    state = State()

    apply_seed(state, {"pools": [{"pool": "workers", "providers": {"refresher": {"issuer": "http://127.0.0.1:1"}}}]})

    assert state.add_pool("workers").providers["refresher"].issuer == "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("seed", "place"),
    [
        ({"pools": {}}, "pools does not have the expected shape: a list is needed"),
        ({"pools": ["workers"]}, "pools[0] does not have the expected shape: a mapping is needed"),
        ({"pools": [{"providers": {}}]}, "pools[0] does not have the expected shape: pool is missing"),
        ({"pools": [{"pool": "workers", "name": 1}]}, "pools[0] does not have the expected shape: unknown keys: name"),
        ({"projects": {"project-a": {}}}, "projects.project-a does not have the expected shape: number is missing"),
        (
            {"project_policies": {"absent": {}}},
            "project_policies.absent does not have the expected shape: the project",
        ),
        ({"buckets": {"data": []}}, "buckets.data does not have the expected shape: a mapping is needed"),
        ({"crypto_keys": {"signer": {}}}, "crypto_keys.signer does not have the expected shape: the name must be"),
        ({"groups": ["team"]}, "groups does not have the expected shape: a mapping is needed"),
    ],
)
def test_mistake_is_shown_with_its_place(seed: dict[str, object], place: str) -> None:
    """The author of a seed sees where the mistake is, and which value is expected."""
    with pytest.raises(EmulatorError) as refused:
        apply_seed(State(), seed)

    assert f"the seed's {place}" in str(refused.value)


def test_invalid_key_set_is_shown_with_its_file(tmp_path: Path) -> None:
    """A file next to the seed is shown with its path."""
    (tmp_path / "jwks.json").write_text("{")
    provider = {"issuer": "https://i", "jwks_file": "jwks.json"}

    with pytest.raises(EmulatorError, match=r"jwks\.json is not JSON"):
        apply_seed(State(), {"pools": [{"pool": "workers", "providers": {"refresher": provider}}]}, directory=tmp_path)


@pytest.mark.parametrize(
    "seed",
    [
        {"roles": {"projects/my-project/roles/a": GET_ACCESS_TOKEN}},
        {"service_accounts": {ALICE: {"roles/owner": "user:carol@example.com"}}},
        {"groups": {"team@example.com": "user:carol@example.com"}},
        {"projects": ["my-project"]},
        {"projects": {"project-a": {"number": "1", "perimeter": "sts.googleapis.com"}}},
        {"projects": {"project-a": {"number": "1", "colour": []}}},
        {"projects": {"project-a": {}}},
    ],
)
def test_text_is_refused_where_a_list_is_expected(seed: dict[str, object]) -> None:
    """One name where a list of names is expected is a mistake, not a list of letters."""
    with pytest.raises(EmulatorError, match="shape"):
        apply_seed(State(), seed)
