from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from refresher.app.explanation import list_faults
from refresher.app.plans import ConfiguredPlans, build_probe
from refresher.app.targets import build_targets
from refresher.config.loader import load
from refresher.google.call import Response
from refresher.keys.directory import create
from refresher.resources import CLOUD_PLATFORM_SCOPE, Impersonation, WorkloadIdentityProvider
from refresher.tokens import JWT_TYPE
from tests.fakes import FakeTransport, FakeWorkshop
from tests.tokens import NOW

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes import Request

WAY = Impersonation(
    provider=WorkloadIdentityProvider(project_number="123456789012", pool="workers", provider="refresher"),
    subject="user-1",
    subject_token_type=JWT_TYPE,
    service_account="alice@p.iam.gserviceaccount.com",
    delegates=(),
    scopes=(CLOUD_PLATFORM_SCOPE,),
    lifetime=None,
    quota_project="payer",
)

TEXT = """
version: 1
providers: {{main: {{project_number: "123456789012", pool: workers, provider: refresher}}}}
suppliers: {{worker: {{kind: self_issued, issuer: https://workers.invalid, keys: keys}}}}
identities: {{alice: {{service_account: alice@p.iam.gserviceaccount.com, subject: user-1}}}}
directory_root: {root}
targets: {{alice: {{}}}}
targets_directory: targets.d
"""


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    """Return a configuration with one target and an empty directory of drop-ins."""
    (tmp_path / "targets.d").mkdir(mode=0o755)
    path = tmp_path / "refresher.yaml"
    path.write_text(TEXT.format(root=tmp_path / "run"))
    path.chmod(0o600)
    return path


def drop_in(configuration: Path, name: str, text: str) -> None:
    """Write a drop-in like a scheduler."""
    path = configuration.parent / "targets.d" / f"{name}.yaml"
    path.write_text(text)
    path.chmod(0o644)


def plans_of(configuration: Path) -> ConfiguredPlans:
    """Return the plans of a configuration file."""
    return ConfiguredPlans(configuration, load(configuration))


def test_targets_of_two_loads_are_equal(configuration: Path) -> None:
    """Loading the same configuration twice returns equal targets: a reload alone refreshes nothing."""
    assert build_targets(load(configuration)) == build_targets(load(configuration))


def test_supplier_that_waits_for_answers_gets_more_threads(configuration: Path) -> None:
    """The worker's own key occupies few threads; for one in Cloud KMS many threads wait."""
    key = "projects/p-1-test/locations/global/keyRings/ring/cryptoKeys/key/cryptoKeyVersions/1"
    local = plans_of(configuration).poll(force=True)
    configuration.write_text(configuration.read_text().replace("keys: keys", f"signer: {{kms: {key}}}"))

    remote = plans_of(configuration).poll(force=True)

    assert local is not None
    assert remote is not None
    assert local.threads["worker"] < 5 < remote.threads["worker"]


def test_plan_comes_once_and_then_on_changes(configuration: Path) -> None:
    """The first poll returns the plan, the next ones nothing until a file changes or a poll is forced."""
    plans = plans_of(configuration)

    first, second, forced = plans.poll(force=False), plans.poll(force=False), plans.poll(force=True)

    assert first is not None
    assert set(first.targets) == {"alice"}
    assert second is None
    assert forced is not None


def test_drop_in_joins_and_keeps_suppliers(configuration: Path) -> None:
    """A drop-in adds a target and keeps the suppliers, and so the shared tokens."""
    plans = plans_of(configuration)
    first = plans.poll(force=False)

    drop_in(configuration, "task", "identity: alice\n")
    second = plans.poll(force=False)

    assert first is not None
    assert second is not None
    assert set(second.targets) == {"alice", "task"}
    assert second.suppliers is first.suppliers
    assert second.targets["alice"] == first.targets["alice"]


def test_drop_in_that_comes_before_the_first_plan_is_in_it(configuration: Path) -> None:
    """A change between loading and the first poll is in the first plan."""
    plans = plans_of(configuration)

    drop_in(configuration, "task", "identity: alice\n")
    plan = plans.poll(force=False)

    assert plan is not None
    assert set(plan.targets) == {"alice", "task"}
    assert plans.poll(force=False) is None


def test_what_changes_while_it_is_read_is_seen_later(configuration: Path) -> None:
    """If drop-ins change during a poll, the next polls return the final state."""
    plans = plans_of(configuration)
    plan = None

    def meddle(turn: int) -> None:
        for number in range(turn, turn + 25):
            drop_in(configuration, f"task-{number % 40}", "identity: alice\n")
            (configuration.parent / "targets.d" / f"task-{(number + 20) % 40}.yaml").unlink(missing_ok=True)

    for turn in range(30):
        with ThreadPoolExecutor(1) as threads:
            meddler = threads.submit(meddle, turn)
            while not meddler.done():
                plan = plans.poll(force=False) or plan
        for _ in range(3):
            plan = plans.poll(force=False) or plan

        there = {path.stem for path in (configuration.parent / "targets.d").iterdir()}
        assert plan is not None
        assert set(plan.targets) == {"alice", *there}


def test_file_included_meanwhile_is_watched(configuration: Path) -> None:
    """A file that a reload finds included is watched from then on, and causes one reload."""
    plans = plans_of(configuration)
    plans.poll(force=False)
    more = configuration.parent / "more.yaml"
    more.write_text("targets: {bob: {identity: alice}}\n")
    more.chmod(0o600)

    configuration.write_text(configuration.read_text() + "include: [more.yaml]\n")
    included, quiet = plans.poll(force=False), plans.poll(force=False)
    more.write_text("targets: {carol: {identity: alice}}\n")
    changed = plans.poll(force=False)

    assert included is not None
    assert set(included.targets) == {"alice", "bob"}
    assert quiet is None
    assert changed is not None
    assert set(changed.targets) == {"alice", "carol"}


def test_bad_drop_in_is_complained_of_and_left_out(configuration: Path) -> None:
    """A drop-in that cannot be used is reported; the other targets continue."""
    plans = plans_of(configuration)
    plans.poll(force=False)

    drop_in(configuration, "task", "identity: nobody\n")
    plan = plans.poll(force=False)

    assert plan is not None
    assert set(plan.targets) == {"alice"}
    ((problem, _),) = plan.complaints
    assert "task.yaml:1:" in problem


def test_bad_main_file_keeps_the_former_plan_and_its_drop_ins_live(configuration: Path) -> None:
    """While the main file cannot be used the earlier plan stays, drop-ins still work, and a correction is noticed."""
    plans = plans_of(configuration)
    plans.poll(force=False)
    good = configuration.read_text()

    configuration.write_text("version: 2\n")
    bad = plans.poll(force=False)
    quiet = plans.poll(force=False)
    drop_in(configuration, "task", "identity: alice\n")
    joined = plans.poll(force=False)
    configuration.write_text(good)
    mended = plans.poll(force=False)

    assert bad is not None
    assert set(bad.targets) == {"alice"}
    assert bad.refusal
    assert not bad.is_reloaded
    assert quiet is None
    assert joined is not None
    assert set(joined.targets) == {"alice", "task"}
    assert mended is not None
    assert mended.refusal == ()
    assert mended.is_reloaded


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ignored.yml", "identity: alice\n"),
        ("broken.yaml", "identity: nobody\n"),
        (".hidden.yaml", "identity: alice\n"),
    ],
)
def test_file_that_is_not_taken_over_is_no_reload(configuration: Path, name: str, text: str) -> None:
    """A file that changes no target reloads nothing; a signal does."""
    plans = plans_of(configuration)
    plans.poll(force=False)

    path = configuration.parent / "targets.d" / name
    path.write_text(text)
    path.chmod(0o644)
    plan, forced = plans.poll(force=False), plans.poll(force=True)

    assert plan is None or not plan.is_reloaded
    assert forced is not None
    assert forced.is_reloaded


def test_edit_that_changes_nothing_is_no_reload(configuration: Path) -> None:
    """A comment changes no plan; a variable, a target of a drop-in and its removal do."""
    plans = plans_of(configuration)
    plans.poll(force=False)

    configuration.write_text("# a comment\n" + configuration.read_text())
    comment = plans.poll(force=False)
    configuration.write_text("project: my-project\n" + configuration.read_text())
    variable = plans.poll(force=False)
    drop_in(configuration, "task", "identity: alice\n")
    added = plans.poll(force=False)
    (configuration.parent / "targets.d" / "task.yaml").unlink()
    removed = plans.poll(force=False)

    assert [plan is not None and plan.is_reloaded for plan in (comment, variable, added, removed)] == [
        False,
        True,
        True,
        True,
    ]


def test_plan_has_the_warnings_that_check_prints(configuration: Path) -> None:
    """A drop-in with another suffix, and all else that `check` warns about, is a warning of the plan, or a threat."""
    (configuration.parent / "targets.d" / "task.yml").write_text("identity: alice\n")
    loaded = load(configuration)

    plan = plans_of(configuration).poll(force=False)

    assert plan is not None
    assert any("task.yml is not read" in problem and remedy for problem, remedy in plan.list_warnings())
    shown = {problem for problem, _ in plan.list_warnings()} | {error.problem for error in plan.list_threats()}
    assert shown >= {error.problem for error in list_faults(loaded)}


def test_key_that_others_may_read_is_a_threat_at_once(configuration: Path) -> None:
    """The mode of a key decides whether it may be used: a change of it is followed as one of the directory is."""
    create(configuration.parent / "keys", algorithm="ES256", now=NOW)
    (key,) = (configuration.parent / "keys").glob("*.pem")
    plans = plans_of(configuration)
    first = plans.poll(force=False)
    assert first is not None
    assert not first.list_threats()

    key.chmod(0o444)
    opened = plans.poll(force=False)

    assert opened is not None
    assert key.name in plans.watched[key.parent].names
    (threat,) = opened.list_threats()
    assert f"{key} can be read or written by others" in threat.problem


def probe(way: Impersonation) -> list[Request]:
    """Return the requests of a probe that everything accepts."""
    answers: dict[str, Any] = {"testIamPermissions": {}, "token": {"access_token": "ya29.f", "expires_in": 60}}
    answers["generateAccessToken"] = {"accessToken": "ya29.a", "expireTime": "2026-01-01T00:00:01Z"}

    def answer(request: Request) -> Response:
        name = request.url.rpartition("/")[2].rpartition(":")[2]
        return Response(status=200, headers={}, body=json.dumps(answers[name]).encode())

    transport = FakeTransport(answer)
    build_probe(FakeWorkshop.over(transport))(way, "subject.token.x", NOW)
    return transport.requests


def test_probe_asks_for_the_least_under_its_own_name() -> None:
    """A probe asks for a token of a second that can do nothing, and names itself."""
    requests = probe(replace(WAY, quota_project=None))

    exchange, impersonation = requests
    assert all(request.headers["User-Agent"].endswith("(canary)") for request in requests)
    assert b"subject.token.x" in (exchange.body or b"")
    assert not any("x-goog-user-project" in request.headers for request in requests)
    asked = json.loads(impersonation.body or b"")
    assert asked["lifetime"] == "1s"
    assert asked["scope"] == ["https://www.googleapis.com/auth/userinfo.email"]


def test_probe_names_the_quota_project_as_clients_do() -> None:
    """The principal names it when it impersonates, and then the account, in a call that needs no role elsewhere."""
    exchange, impersonation, call = probe(WAY)

    named = [request.headers.get("x-goog-user-project") for request in (exchange, impersonation, call)]
    assert named == [None, "payer", "payer"]
    assert call.headers["Authorization"] == "Bearer ya29.a"
    assert call.url.endswith(f"/serviceAccounts/{WAY.service_account}:testIamPermissions")


def test_probe_without_a_pool_names_the_quota_project_as_the_account_alone() -> None:
    """No client names it as the worker's account, which needs no role there."""
    impersonation, call = probe(replace(WAY, provider=None))

    named = [request.headers.get("x-goog-user-project") for request in (impersonation, call)]
    assert named == [None, "payer"]
