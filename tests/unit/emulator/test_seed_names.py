"""A seed contains only names and grants that Google accepts."""

from __future__ import annotations

from typing import Any

import pytest

from refresher.emulator.seed import apply_seed
from refresher.emulator.state import State
from refresher.errors import EmulatorError
from tests.unit.emulator.conftest import ALICE

SIGNER = "projects/my-project/locations/global/keyRings/workers/cryptoKeys/signer"


@pytest.mark.parametrize(("pool", "provider"), [("idp", "refresher"), ("workers", "idp"), ("gcp-pool", "refresher")])
def test_invalid_names_are_refused(pool: str, provider: str) -> None:
    """A seed cannot contain names that Google would refuse."""
    settings = {"issuer": "https://workers.invalid"}
    seed = {"projects": {"project-a": "1"}, "pools": [{"pool": pool, "providers": {provider: settings}}]}

    with pytest.raises(EmulatorError, match="Invalid value for field"):
        apply_seed(State(), seed)


@pytest.mark.parametrize(
    "project",
    [
        {"My-Project": "1"},
        {"short": "1"},
        {"1-project": "1"},
        {"example.com:": "1"},
        {":my-project": "1"},
        {"a:b:my-project": "1"},
        {"legacy.example.com": "1"},
        {"project-a": "one"},
        {"project-a": "123456789012"},
        {"project-a": "7", "project-b": "7"},
    ],
)
def test_project_that_cannot_exist_is_refused(project: dict[str, str]) -> None:
    """A project has an id of Google's form, and a number in digits that no other project has."""
    state = State()

    with pytest.raises(EmulatorError, match="the seed's projects"):
        apply_seed(state, {"projects": project})
    apply_seed(state, {"projects": {"eu0:my-project": "8", "example.com:legacy": "9"}})

    assert set(state.projects) == {"my-project", "eu0:my-project", "example.com:legacy"}


@pytest.mark.parametrize(
    "email",
    [
        "alice@my-project.iam.gserviceaccount.com",
        "Task-Alice@my-project.iam.gserviceaccount.com",
        "task-alice-@my-project.iam.gserviceaccount.com",
        "task-alice@my-project.example.com.iam.gserviceaccount.com",
        "task-alice@eu0:my-project.iam.gserviceaccount.com",
        "task-alice@no-project.iam.gserviceaccount.com",
        "99-compute@developer.gserviceaccount.com",
        "carol@example.com",
        "task-alice",
    ],
)
@pytest.mark.parametrize("part", ["service_accounts", "access_token_lives", "metadata_account"])
def test_account_that_cannot_exist_is_refused(part: str, email: str) -> None:
    """An account has an id that Google accepts and a project that exists, wherever the seed has its e-mail."""
    seeds: dict[str, dict[str, Any]] = {
        "service_accounts": {"service_accounts": {email: None}},
        "access_token_lives": {"access_token_lives": {email: 60}},
        "metadata_account": {"metadata_account": email},
    }

    with pytest.raises(EmulatorError, match=rf"the seed's {part}.*shape"):
        apply_seed(State(), seeds[part])


@pytest.mark.parametrize(
    "email",
    [
        "task-alice@my-project.iam.gserviceaccount.com",
        "task-alice@legacy.example.com.iam.gserviceaccount.com",
        "123456789012-compute@developer.gserviceaccount.com",
        "my-project@appspot.gserviceaccount.com",
    ],
)
def test_account_of_each_kind_is_created(email: str) -> None:
    """Accounts that users create, also in a project with a domain, and the default accounts belong to their project."""
    state = State()

    apply_seed(state, {"projects": {"example.com:legacy": "9"}, "service_accounts": {email: None}})

    assert state.service_accounts[email].project in ("my-project", "example.com:legacy")


@pytest.mark.parametrize(
    "seed",
    [
        {"buckets": {"data": {"roles/iam.workloadIdentityUser": ["user:carol@example.com"]}}},
        {"buckets": {"data": {"roles/viewer": ["user:carol@example.com"]}}},
        {"service_accounts": {ALICE: {"roles/storage.objectViewer": ["user:carol@example.com"]}}},
        {"crypto_keys": {SIGNER: {"bindings": {"roles/run.invoker": ["user:carol@example.com"]}}}},
    ],
)
def test_role_of_another_kind_of_resource_is_refused(seed: dict[str, object]) -> None:
    """A seed grants the roles that the API would grant on the resource, and no others."""
    with pytest.raises(EmulatorError, match="is not supported for this resource"):
        apply_seed(State(), seed)
