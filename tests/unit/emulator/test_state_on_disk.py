from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from refresher.emulator.http import Call
from refresher.emulator.routes import answer
from refresher.emulator.seed import apply_seed, read_seed
from refresher.emulator.state import Provider, State
from refresher.emulator.tokens import Bearer
from refresher.errors import EmulatorError
from tests.unit.emulator.conftest import ALICE, ISSUER, Issuer, principal

if TYPE_CHECKING:
    from pathlib import Path

    from refresher.emulator.cloud import Cloud
    from tests.conftest import LoadCloud


BEARER = Bearer(kind="service_account", name=ALICE, expires_at=2_000_000_000, scopes=("a",))


def test_restart_restores_the_state(tmp_path: Path, load_cloud: LoadCloud) -> None:
    """Resources and tokens are known after a restart on the same directory."""
    before = load_cloud(tmp_path)
    before.state.add_pool("workers").providers["refresher"] = Provider(
        issuer=ISSUER, jwks={"keys": []}, allowed_audiences=["a"], disabled=True
    )
    before.state.allow(ALICE, principal("user-1"))
    before.state.metadata_account = ALICE
    before.save()
    token = before.vault.issue(BEARER)

    after = load_cloud(tmp_path)

    assert after.state == before.state
    assert after.vault.recognise(token, now=1_900_000_000) == BEARER
    assert after.vault.jwks == before.vault.jwks


def test_order_of_projects_survives_changes(tmp_path: Path, load_cloud: LoadCloud) -> None:
    """The first project, which is the metadata server's, stays first after restarts, whatever changed in between."""
    for name, number in {"b-project": "7", "a-project": "8"}.items():
        cloud = load_cloud(tmp_path)
        apply_seed(cloud.state, {"projects": {name: number}})
        cloud.state.projects["my-project"].services.add(f"{name}.googleapis.com")
        cloud.save()

    assert list(load_cloud(tmp_path).state.projects) == ["my-project", "b-project", "a-project"]


def test_restart_restores_what_a_test_has_set(tmp_path: Path, load_cloud: LoadCloud) -> None:
    """Pending and applied faults, quotas and the clock continue where they were."""
    before = load_cloud(tmp_path)

    def ask(cloud: Cloud, method: str, path: str, document: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
        headers = {"content-type": "application/json", "metadata-flavor": "Google"}
        body = b"" if document is None else json.dumps(document).encode()
        return answer(cloud, Call(method=method, path=path, headers=headers, body=body)).document

    fault = {"operation": "metadata.email", "status": 503, "without": ["a"], "times": 3, "fields": {"b": 1}}
    ask(before, "POST", "/emulator/faults", fault)
    ask(before, "POST", "/emulator/quotas", {"limits": {"sts.googleapis.com/requests": 5}})
    ask(before, "POST", "/emulator/clock", {"offset_seconds": 60})
    ask(before, "GET", "/computeMetadata/v1/instance/service-accounts/default/email")

    after = load_cloud(tmp_path)

    for path in ("/emulator/faults", "/emulator/quotas"):
        assert ask(after, "GET", path) == ask(before, "GET", path)
    assert after.faults.pending == {"metadata.email": 2}
    assert len(after.faults.met) == 1
    assert after.quotas.enabled
    assert after.clock.offset.total_seconds() == 60
    ask(after, "DELETE", "/emulator/faults")
    assert load_cloud(tmp_path).faults.pending == {}


def test_no_other_user_can_read_the_secrets(tmp_path: Path, load_cloud: LoadCloud) -> None:
    """The files with keys are readable by their owner only."""
    load_cloud(tmp_path).save()

    assert [
        path.name for path in tmp_path.iterdir() if path.name.startswith("state") and path.stat().st_mode & 0o077
    ] == []


def test_damaged_state_is_shown(tmp_path: Path, load_cloud: LoadCloud) -> None:
    """The error shows the damaged file and what to do."""
    load_cloud(tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(b"rubbish" * 1000)

    with pytest.raises(EmulatorError, match="is damaged — remove it"):
        load_cloud(tmp_path)


def test_unusable_directory_is_shown(tmp_path: Path, load_cloud: LoadCloud) -> None:
    """The error shows a directory that cannot be created."""
    (tmp_path / "file").write_text("")

    with pytest.raises(EmulatorError, match="cannot be used"):
        load_cloud(tmp_path / "file")


def test_seed_creates_every_kind_of_resource(tmp_path: Path, issuer: Issuer) -> None:
    """Projects, pools, providers with keys from a file, accounts and the machine's account exist afterwards."""
    (tmp_path / "jwks.json").write_text(json.dumps(issuer.jwks))
    (tmp_path / "seed.yaml").write_text(
        yaml.safe_dump(
            {
                "projects": {"other-project": "42"},
                "pools": [
                    {
                        "pool": "others",
                        "project_number": "42",
                        "providers": {
                            "first": {"issuer": ISSUER, "jwks_file": "jwks.json", "allowed_audiences": ["a"]}
                        },
                    }
                ],
                "service_accounts": {ALICE: {"roles/iam.workloadIdentityUser": [principal("user-1")]}},
                "metadata_account": "worker@other-project.iam.gserviceaccount.com",
            }
        )
    )
    state = State()

    apply_seed(state, read_seed(tmp_path / "seed.yaml"), directory=tmp_path)

    provider = state.add_pool("others", project_number="42").providers["first"]
    assert (provider.issuer, provider.jwks, provider.allowed_audiences) == (ISSUER, issuer.jwks, ["a"])
    assert set(state.service_accounts) == {ALICE, "worker@other-project.iam.gserviceaccount.com"}
    assert state.metadata_account == "worker@other-project.iam.gserviceaccount.com"


def test_seed_adds_to_present_resources() -> None:
    """A second seed keeps what exists and changes the settings that it contains."""
    state = State()
    state.allow(ALICE, principal("user-1"))

    for subject in ("user-2", "user-3"):
        apply_seed(state, {"service_accounts": {ALICE: {"roles/iam.workloadIdentityUser": [principal(subject)]}}})

    (binding,) = state.service_accounts[ALICE].bindings
    assert binding.members == {principal(f"user-{number}") for number in (1, 2, 3)}


def test_invalid_seed_changes_nothing() -> None:
    """A seed with one invalid entry leaves the state as it was."""
    state = State()

    with pytest.raises(EmulatorError, match="shape"):
        apply_seed(state, {"service_accounts": {ALICE: {}}, "pools": [{"providers": {}}]})

    assert state == State()


@pytest.mark.parametrize(
    ("content", "text"),
    [(b"[", "is not YAML"), (b"[]", "is not a mapping"), (b"\xff", "is not YAML"), (None, "cannot be read")],
)
def test_file_that_is_not_a_seed_is_refused(tmp_path: Path, content: bytes | None, text: str) -> None:
    """The error shows the file and what is wrong with it."""
    if content is not None:
        (tmp_path / "seed.yaml").write_bytes(content)

    with pytest.raises(EmulatorError, match=text):
        read_seed(tmp_path / "seed.yaml")


def test_unknown_keys_of_a_seed_are_shown() -> None:
    """The error shows a misspelt key."""
    with pytest.raises(EmulatorError, match="unknown keys: pool"):
        apply_seed(State(), {"pool": []})
