"""Artifacts with via: impersonation: minted as the worker itself, where there is no pool."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.line_server import LineServer, silent
from tests.program import Worker, account_of, until
from tests.status_socket import ask

if TYPE_CHECKING:
    from collections.abc import Callable

    from refresher.emulator.testing import Scenario

    Arrange = Callable[[Worker, Scenario], dict[str, Any]]

CREATOR = "roles/iam.serviceAccountTokenCreator"
MACHINE = account_of("machine")
GUIDE = Path(__file__).parents[2] / "docs" / "clients.md"
ARTIFACTS = {"access_token": True, "id_tokens": {"api": {"audience": "https://api-xyz.a.run.app"}}}


def of_the_metadata_server(worker: Worker, google: Scenario) -> dict[str, Any]:
    """The machine's own account."""
    google.add_service_account(MACHINE)
    google.state.metadata_account = MACHINE
    return {}


def of_a_federated_file(worker: Worker, google: Scenario) -> dict[str, Any]:
    """An ADC document of another target, whose account is the machine's: google-auth does the exchange."""
    google.allow(MACHINE, subject="user-machine")
    worker.configure("machine")
    worker.once()
    shutil.copytree(worker.directory("machine"), worker.place / "own")
    document = json.loads((worker.place / "own" / "credentials.json").read_text())
    document["credential_source"]["file"] = str(worker.place / "own" / "token")
    (worker.place / "own" / "credentials.json").chmod(0o600)
    (worker.place / "own" / "credentials.json").write_text(json.dumps(document))
    return {"credentials": "own/credentials.json"}


def of_a_service_account_key(worker: Worker, google: Scenario) -> dict[str, Any]:
    """A key of the machine's account, whose assertions the emulator's token endpoint exchanges."""
    google.add_service_account(MACHINE)
    key = worker.place / "key.json"
    key.write_text(json.dumps(google.create_key(MACHINE)))
    key.chmod(0o600)
    return {"credentials": "key.json"}


def configure(worker: Worker, own: dict[str, Any], *names: str) -> None:
    """Configure targets without a pool: there is neither provider nor supplier."""
    worker.write(without_pool(worker, own, *names))


def without_pool(worker: Worker, own: dict[str, Any], *names: str, **body: Any) -> dict[str, Any]:  # noqa: ANN401 - any key of a target
    """Return a configuration of targets without a pool."""
    document = worker.document(*names)
    del document["providers"], document["suppliers"]
    document["identities"] = {
        name: {"service_account": account_of(name), "via": "impersonation", **own} for name in names
    }
    return document | {"targets": {name: dict(body) for name in names}}


def grant(google: Scenario, *names: str) -> None:
    """Allow the machine's account to act as these accounts."""
    for name in names:
        google.allow_member(account_of(name), f"serviceAccount:{MACHINE}", CREATOR)


@pytest.mark.parametrize("arrange", [of_the_metadata_server, of_a_federated_file, of_a_service_account_key])
def test_worker_impersonates_with_whatever_it_has(cloud: tuple[Worker, Scenario], arrange: Arrange) -> None:
    """No subject token is exchanged: each account is asked for with the worker's own token, which is fetched once."""
    worker, google = cloud
    own = arrange(worker, google)
    grant(google, "alice", "bob")
    worker.write(without_pool(worker, own, "alice", "bob", artifacts=ARTIFACTS))
    google.journal.clear()

    worker.once()

    for name in ("alice", "bob"):
        token = (worker.directory(name) / "access_token").read_text()
        assert google.whoami(token)["service_account"] == account_of(name)
        assert (worker.directory(name) / "id_tokens" / "api").read_text().startswith("eyJ")
        variables = (worker.directory(name) / "env").read_text()
        assert f"CLOUDSDK_AUTH_ACCESS_TOKEN_FILE={worker.directory(name)}/access_token" in variables
        assert "GOOGLE_APPLICATION_CREDENTIALS" not in variables
    asked = [entry.operation for entry in google.journal.entries()]
    assert sum(asked.count(source) for source in ("sts.token", "metadata.token", "oauth2.token")) == 1
    assert asked.count("iamcredentials.generateIdToken") == 2


def test_refused_pass_is_known_before_the_next_probe(cloud: tuple[Worker, Scenario]) -> None:
    """What Google refuses `once --force`, the daemon asks about at once, so that `status` shows it."""
    worker, google = cloud
    grant(google, "alice")
    own = of_the_metadata_server(worker, google)
    worker.write(
        without_pool(worker, own, "alice") | {"listen": f"unix:{worker.place}/status/http.sock", "canary": "8h"}
    )

    def shows(state: str) -> bool:
        return (worker.status()["alice"]["exchange"] or {}).get("state") == state

    with worker.daemon():
        until(lambda: shows("accepted"), what="the first answer")
        google.state.service_accounts[account_of("alice")].bindings.clear()

        worker.command("once", "--force", status=5)

        until(lambda: shows("refused"), what="the refusal")


def test_least_configuration_without_a_pool_is_complete(cloud: tuple[Worker, Scenario]) -> None:
    """One identity and one target are enough; the directory holds no token and no ADC document, and it is ready."""
    worker, google = cloud
    grant(google, "alice")
    configure(worker, of_the_metadata_server(worker, google), "alice")

    worker.once()

    assert set(worker.files("alice")) == {"access_token", "artifacts.json", "env"}
    shown = worker.status()["alice"]
    assert (shown["state"], shown["path"]) == ("fresh", f"{worker.directory('alice')}/access_token")
    assert (shown["issuer"], shown["subject"], shown["artifacts"]) == (None, None, [])
    worker.command("wait", "--timeout", "0s")
    worker.command("wait", "--timeout", "0s", "--artifact", "access_token")
    worker.command("wait", "--timeout", "0s", "--exchange")
    worker.run("wait", "--directory", str(worker.directory("alice")), "--timeout", "0s")


def test_daemon_keeps_both_kinds_of_identities(cloud: tuple[Worker, Scenario]) -> None:
    """Targets with and without a pool are ready side by side, and an identity that changes its kind is followed."""
    worker, google = cloud
    path = worker.place / "status" / "http.sock"
    grant(google, "alice", "bob")
    document = worker.document("alice", "bob", listen=f"unix:{path}", canary="1m")
    with_pool = document["identities"]["alice"]
    own = {"via": "impersonation", **of_the_metadata_server(worker, google)}
    document["identities"]["bob"] = {"service_account": account_of("bob"), **own}
    worker.write(document)
    with worker.daemon() as log:
        log.wait_for("daemon.ready")
        probes = ("/readyz/alice", "/readyz/bob", "/readyz/bob?artifact=access_token")
        until(lambda: [ask(path, probe).status for probe in probes] == [200] * 3, what="both ready")
        until(lambda: ask(path, "/readyz/bob?exchange").status == 200, what="bob accepted")
        assert ask(path, "/readyz/bob?artifact=boto").status == 404
        assert 'refresher_token_expiry_timestamp_seconds{target="bob"}' in ask(path, "/metrics").body

        document["identities"]["alice"] = {"service_account": account_of("alice"), **own}
        worker.write(document)
        until(lambda: set(worker.files("alice")) == {"access_token", "artifacts.json", "env"}, what="no pool")
        document["identities"]["alice"] = with_pool
        worker.write(document)
        until(lambda: set(worker.files("alice")) == {"token", "credentials.json", "env"}, what="a pool again")
        assert log.events("token.supply_failed") == []
        assert log.end(signal.SIGTERM) == 0


def test_daemon_recovers_when_the_role_is_granted(cloud: tuple[Worker, Scenario]) -> None:
    """Without the role `env` does not appear, the log has the remedy, and the canary and readyz show the refusal."""
    worker, google = cloud
    path = worker.place / "status" / "http.sock"
    document = without_pool(worker, of_the_metadata_server(worker, google), "alice")
    worker.write(document | {"listen": f"unix:{path}", "canary": "1m"})
    with worker.daemon() as log:
        refused = log.wait_for("token.supply_failed", target="alice")
        assert f"grant serviceAccount:{MACHINE} {CREATOR}" in refused["remedy"]
        until(lambda: "403" in ask(path, "/readyz/alice").body, what="the refusal in readyz")
        assert worker.files("alice") == {}
        grant(google, "alice")
        log.send(signal.SIGHUP)
        until(lambda: "env" in worker.files("alice"), what="alice's variables")
        log.wait_for("token.recovered", target="alice")
        assert log.end(signal.SIGTERM) == 0


def test_commands_that_need_a_pool_explain_its_absence(cloud: tuple[Worker, Scenario]) -> None:
    """Adc and a subject token do not exist without a pool: each error names what does; inspect reads what is there."""
    worker, google = cloud
    grant(google, "alice")
    configure(worker, of_the_metadata_server(worker, google), "alice")
    worker.once()

    document = worker.command("adc", "alice", status=2).stderr
    subject = worker.command("token", "alice", "--kind", "subject", status=2).stderr
    printed = worker.command("env", "alice").stdout
    identity = worker.command("token", "alice", "--kind", "id", "--audience", "https://api").stdout
    inspected = worker.run("inspect", str(worker.directory("alice"))).stdout
    worker.outputs.clear()

    assert "target alice has no ADC document" in document
    assert "target alice has no subject token" in subject
    assert printed == (worker.directory("alice") / "env").read_text()
    assert identity.startswith("eyJ")
    assert "access_token" in inspected


def test_guide_works_where_there_is_no_pool(google_emulator: Scenario, tmp_path: Path) -> None:
    """With the lines of the guide and no pool, the access token is the account's."""
    origins = dict.fromkeys(("sts", "iam_credentials", "metadata"), google_emulator.http)
    worker = Worker(place=tmp_path, google={"emulator": True, "endpoints": origins})
    of_the_metadata_server(worker, google_emulator)
    section = GUIDE.read_text().partition("### Without a pool\n")[2]
    document = yaml.safe_load(section.partition("```yaml\n")[2].partition("```")[0])
    account = document["identities"]["alice"]["service_account"]
    google_emulator.allow_member(account, f"serviceAccount:{MACHINE}", CREATOR)
    worker.write(without_pool(worker, {}) | document)

    worker.once()

    token = (worker.directory("alice") / "access_token").read_text()
    assert google_emulator.whoami(token)["service_account"] == account


def test_python_of_the_guide_follows_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines of the guide read the access token again at each refresh."""
    section = GUIDE.read_text().partition("### Without a pool\n")[2]
    lines = section.partition("```python\n")[2].partition("```")[0]
    file = tmp_path / "access_token"
    monkeypatch.setenv("REFRESHER_ACCESS_TOKEN_FILE", str(file))
    found: dict[str, Any] = {}
    exec(lines, found)  # noqa: S102 - of our own guide

    for token in ("first", "second"):
        file.write_text(token)
        found["credentials"].refresh(None)
        assert (found["credentials"].token, found["credentials"].valid) == (token, True)


def test_missing_role_is_reported_for_the_worker(cloud: tuple[Worker, Scenario]) -> None:
    """Without the role nothing is published; the failure names the role, the account and the machine's own."""
    worker, google = cloud
    configure(worker, of_the_metadata_server(worker, google), "alice")
    google.state.service_accounts[account_of("alice")].bindings.clear()

    done = worker.once(status=5)

    assert worker.status()["alice"]["state"] == "absent"
    assert worker.files("alice") == {}
    assert f"grant serviceAccount:{MACHINE} {CREATOR} on {account_of('alice')}" in done.stderr
    assert "asked as the machine's service account" in done.stderr


def test_unusable_credentials_are_reported(cloud: tuple[Worker, Scenario]) -> None:
    """A credentials file that is not there is named, and nothing is published."""
    worker, _ = cloud
    configure(worker, {"credentials": "absent.json"}, "alice")

    done = worker.once(status=3)

    assert worker.files("alice") == {}
    assert str(worker.place / "absent.json") in done.stderr


def test_one_off_goes_the_same_way(cloud: tuple[Worker, Scenario]) -> None:
    """`refresher token` asks as the worker too, over the configured chain."""
    worker, google = cloud
    configure(worker, of_the_metadata_server(worker, google), "alice")
    google.allow_member(account_of("alice"), f"serviceAccount:{MACHINE}", CREATOR)

    printed = worker.command("token", "alice", "--kind", "access").stdout.strip()
    worker.outputs.clear()

    assert google.whoami(printed)["service_account"] == account_of("alice")


def test_credentials_without_an_answer_delay_no_other_target(cloud: tuple[Worker, Scenario]) -> None:
    """While a metadata server lets dozens of targets wait, a target that asks STS gets its access token."""
    worker, google = cloud
    server = LineServer(silent)
    try:
        worker.google = {
            "emulator": True,
            "endpoints": {**(worker.google or {})["endpoints"], "metadata": server.origin},
        }
        others = [f"other{number}" for number in range(40)]
        document = without_pool(worker, {}, *others)
        worker.write(document)
        with worker.daemon() as log:
            until(lambda: server.connections, what="another target to wait for the metadata server")
            pooled = worker.document("alice")
            document["identities"] |= pooled["identities"]
            document["targets"]["alice"] = {"artifacts": ARTIFACTS}
            document |= {key: pooled[key] for key in ("providers", "suppliers")}

            worker.write(document)

            token = until(lambda: access_token_of(worker, "alice"), what="alice's access token")
            assert google.whoami(token)["service_account"] == account_of("alice")
            assert log.end(signal.SIGTERM) == 0
    finally:
        server.close()


def access_token_of(worker: Worker, target: str) -> str:
    """Return what an access token's file holds; an empty text without a file."""
    path = worker.directory(target) / "access_token"
    return path.read_text() if path.exists() else ""
