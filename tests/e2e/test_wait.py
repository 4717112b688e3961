"""`refresher wait` and `refresher status` beyond the plain case: real exchanges, refused files, other users."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import yaml

from refresher.resources import CLOUD_PLATFORM_SCOPE
from tests.program import COMMAND, account_of, until

if TYPE_CHECKING:
    from refresher.emulator.testing import Scenario
    from tests.conftest import Need
    from tests.program import Worker

PRINCIPAL = (
    "principal://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/workers/subject/"
)
STRANGER = 54_322


def as_stranger(worker: Worker, need: Need) -> None:
    """Run a worker's program as a user without any right on its files, who may read the configuration."""
    need.root()
    setpriv = need.tool("setpriv", "apt-get install util-linux")
    worker.configuration.chmod(0o644)
    for path in (worker.place, *worker.place.parents[:-2]):
        path.chmod(path.stat().st_mode | 0o011)
    worker.prefix = [setpriv, f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups"]


@pytest.mark.parametrize("fault", ["503", "binding"])
def test_exchange_is_repeated_until_google_accepts_it(cloud: tuple[Worker, Scenario], fault: str) -> None:
    """A single 503 and a grant that comes later are waited for; the first failure is reported at once."""
    worker, google = cloud
    worker.configure("alice")
    worker.once()
    if fault == "503":
        google.faults.add("sts.token", status=503, times=1)
    else:
        google.state.service_accounts[account_of("alice")].bindings.clear()

    with worker.running("wait", "--exchange", "--timeout", "60s") as log:
        until(lambda: "trying again until the timeout" in log.path.read_text(), what="the first failure")
        google.allow(account_of("alice"), subject="user-alice")
        assert log.process.wait(60) == 0

    assert f"alice: exchanged, acts as {account_of('alice')}" in log.path.read_text()


def test_every_target_is_tried_and_its_failure_can_be_pasted(cloud: tuple[Worker, Scenario]) -> None:
    """Two missing grants are both reported, with principal, account, project and command; the good target is proved."""
    worker, google = cloud
    worker.configure("alice", "bob", "carol", targets={name: {} for name in ("alice", "bob", "carol")})
    google.allow(account_of("carol"), subject="user-carol")
    worker.once()
    for name in ("alice", "bob"):
        google.state.service_accounts[account_of(name)].bindings.clear()

    done = worker.command("wait", "--exchange", "--timeout", "0s", status=5)

    for name in ("alice", "bob"):
        account, principal = account_of(name), f"{PRINCIPAL}user-{name}"
        assert f"impersonating {account} as {principal} was refused with HTTP 403" in done.stderr
        assert f"concerns: {name}" in done.stderr
        assert (
            f"gcloud iam service-accounts add-iam-policy-binding {account} --project=my-project "
            f"--role=roles/iam.workloadIdentityUser --member='{principal}'"
        ) in done.stderr
    assert f"carol: exchanged, acts as {account_of('carol')}" in done.stderr


REFUSED = {
    "The audience in ID Token [https://x] does not match the expected audience.": "providers.main.audience",
    'The target service indicated by the "audience" parameters is invalid.': "providers.main",
    "The given credential is rejected by the attribute condition.": "refresher inspect {token}",
    "`issuer` claim in OIDC discovery document does not match": "issuer_uri and `issuer` of the discovery document",
    "The mapped attribute attribute.email_verified must be of type STRING.": "map attribute.email_verified as text",
}


@pytest.mark.parametrize(("text", "remedy"), REFUSED.items(), ids=list(REFUSED.values()))
def test_remedy_of_a_refused_exchange_has_the_names_filled_in(
    cloud: tuple[Worker, Scenario], text: str, remedy: str
) -> None:
    """Google's words become a remedy with the names of this configuration and this worker's paths."""
    worker, google = cloud
    worker.configure("alice")
    worker.once()
    google.faults.add(
        "sts.token", status=400, body=json.dumps({"error": "invalid_grant", "error_description": text}), times=9
    )

    done = worker.command("wait", "--exchange", "--timeout", "0s", status=5)

    assert text in done.stderr
    assert remedy.format(token=worker.directory("alice") / "token") in done.stderr.partition("remedy: ")[2]
    assert "NAME" not in done.stderr
    assert "FILE" not in done.stderr


def test_timeout_is_kept_while_google_hangs(cloud: tuple[Worker, Scenario]) -> None:
    """With an STS that does not answer, two seconds are two seconds, and the message shows which host hangs."""
    worker, google = cloud
    worker.configure("alice", "bob")
    worker.once()
    google.faults.add("sts.token", delay=30, times=50)
    began = time.monotonic()

    done = worker.command("wait", "--exchange", "--timeout", "2s", status=5)

    assert time.monotonic() - began < 8
    assert google.http in done.stderr
    assert "concerns: alice, bob" in done.stderr


def test_account_without_a_pool_is_proved_with_the_machines_credentials(cloud: tuple[Worker, Scenario]) -> None:
    """An identity that impersonates as the worker is proved without STS, and the missing role is that of the worker."""
    worker, google = cloud
    document = worker.document("alice")
    document["identities"]["alice"] = {"service_account": account_of("alice"), "via": "impersonation"}
    worker.write(document)
    machine = google.add_service_account("worker@my-project.iam.gserviceaccount.com")
    google.state.metadata_account = machine.email
    worker.once(status=5)

    done = worker.command("wait", "--exchange", "--timeout", "0s", status=5)

    assert "roles/iam.serviceAccountTokenCreator" in done.stderr
    assert "then start the daemon (systemctl start refresher), or run `refresher once --config " in done.stderr
    assert "the daemon tries again" not in done.stderr


def test_missing_artifact_has_a_reason_and_a_way_to_try_again(cloud: tuple[Worker, Scenario]) -> None:
    """A refused artifact makes `wait` and `status` not ready; each shows the command that shows why."""
    worker, google = cloud
    worker.configure("alice", targets={"alice": {"artifacts": {"access_token": True}}})
    google.state.service_accounts[account_of("alice")].bindings.clear()
    assert "1 target published, 1 artifact failed" in worker.once(status=5).stderr

    alone = worker.command("wait", "--artifact", "access_token", "--timeout", "0s", status=6).stderr
    plain = worker.command("wait", "--timeout", "0s", status=6).stderr
    directory = str(worker.directory("alice"))
    probe = worker.run("wait", "--directory", directory, "--timeout", "0s", status=6).stderr
    worker.command("wait", "--artifact", "token", "--timeout", "0s")
    worker.run("wait", "--directory", directory, "--artifact", "token", "--timeout", "0s")
    proved = worker.command("wait", "--artifact", "access_token", "--exchange", "--timeout", "0s", status=5).stderr
    shown = worker.command("status").stdout
    google.allow(account_of("alice"), subject="user-alice")

    assert (
        "access_token of target alice is absent: it is not minted yet, or Google refuses it or can't be asked" in alone
    )
    assert "remedy: run `refresher once alice --config " in alone
    assert "access_token of target alice is absent" in plain
    assert f"{directory}/access_token is absent" in probe
    assert "getAccessToken" in proved
    assert "access_token of target alice is absent" in shown
    assert shown.endswith("not ready\n")
    assert "except for" not in shown
    assert "1 target kept, 1 artifact published" in worker.once().stderr


def test_life_that_is_too_short_is_written_for_people(worker: Worker) -> None:
    """The remaining life is written in hours and minutes."""
    worker.configure("alice")
    worker.once()

    done = worker.command("wait", "--timeout", "0s", "--min-validity", "2h", status=6)

    assert "the token of target alice has 59 min 5" in done.stderr
    assert "left, not 2 h" in done.stderr


@pytest.mark.parametrize("harm", ["syntax", "key", "owner"])
def test_refused_configuration_leaves_what_is_published(worker: Worker, harm: str) -> None:
    """While the main file is refused, `status` and `wait` judge the published files, and report since when it is."""
    worker.configure("alice", "bob", listen="none")
    worker.once()
    broken = worker.document("alice", "bob")
    match harm:
        case "syntax":
            worker.configuration.write_text(worker.configuration.read_text() + "\n]: {\n")
        case "key":
            worker.write(broken | {"targetz": {}})
        case _:
            broken["targets"]["alice"] = {"owner": "nobody-of-this-name"}
            worker.write(broken)
    (worker.directory("bob") / "token").unlink()

    done = worker.command("status", "--json")
    report = json.loads(done.stdout)

    assert "the configuration is refused since 20" in done.stderr
    assert datetime.now(UTC) - datetime.fromisoformat(report["refused"]["since"]) < timedelta(minutes=5)
    assert str(worker.configuration) in report["refused"]["problems"][0]
    assert {each["name"]: each["state"] for each in report["targets"]} == {"alice": "fresh", "bob": "absent"}
    worker.command("wait", "alice", "--timeout", "0s")
    assert "the token of target bob is absent" in worker.command("wait", "--timeout", "0s", status=6).stderr
    assert "carol is not published" in worker.command("wait", "carol", "--timeout", "0s", status=6).stderr
    assert "not refused" in worker.command("wait", "alice", "--exchange", "--timeout", "0s", status=2).stderr


def test_refused_configuration_with_nothing_published_is_an_error(worker: Worker) -> None:
    """Where nothing is published, and where the file is missing, `status` and `wait` exit with 2 as other commands."""
    worker.write(worker.document("alice") | {"targetz": {}})

    assert "write targets if you mean that" in worker.command("status", status=2).stderr
    worker.configuration.unlink()
    assert "does not exist" in worker.command("wait", "--timeout", "0s", status=2).stderr


def test_refused_drop_in_differs_from_an_unknown_target(worker: Worker) -> None:
    """A scheduler can distinguish a typo (2) from a drop-in that is refused (6), and a bad edit keeps what is there."""
    worker.configure("alice", targets={}, targets_directory=str(worker.drop_ins))
    worker.drop_in("alice")
    worker.once()
    worker.drop_in("alice", mode="888")
    worker.drop_in("broken", mode="888")

    assert "there is no target alicf" in worker.command("wait", "alicf", "--timeout", "0s", status=2).stderr
    refused = worker.command("wait", "broken", "--timeout", "30s", status=6).stderr
    kept = worker.command("wait", "alice", "--timeout", "0s").stderr
    shown = worker.status()["alice"]

    assert "target broken is not in force" in refused
    assert f"{worker.drop_ins}/broken.yaml:1:" in refused
    assert f"{worker.drop_ins}/alice.yaml:1:" in kept
    assert (shown["state"], shown["note"]) == ("fresh", "its drop-in is refused: judged by its files alone")


def test_user_who_may_not_read_is_advised_to_use_root_and_nothing_else(worker: Worker, need: Need) -> None:
    """`status` as another user shows which right is missing; it advises to change no owner and to run no `once`."""
    worker.configure("alice", "bob", targets={"alice": {}, "bob": {"owner": f":{STRANGER + 1}"}})
    worker.once()
    as_stranger(worker, need)

    report = json.loads(worker.command("status", "--json").stdout)

    for target in report["targets"]:
        assert "this user may not read" in target["problem"]
        assert target["remedy"] == "run this command as root"


def test_remedy_depends_on_whether_a_daemon_runs(worker: Worker) -> None:
    """Without a daemon the remedy is to start it; with one, its log shows the cause; without a root no one knows."""
    worker.configure("alice")

    rootless = worker.status()["alice"]["remedy"]
    worker.root.mkdir(mode=0o755)
    alone = worker.status()["alice"]["remedy"]
    with worker.daemon() as log:
        log.wait_for("daemon.ready")
        for key in (worker.place / "keys").glob("*.pem"):
            key.unlink()
        log.send(signal.SIGHUP)
        log.wait_for("config.reloaded")
        (worker.directory("alice") / "token").unlink()
        log.wait_for("token.supply_failed")  # the daemon notices that at once
        beside = worker.status()["alice"]["remedy"]

    assert (
        "mount it again; a daemon that runs goes on by itself; without one, start it, or run `refresher once"
        in rootless
    )
    assert "start the daemon (systemctl start refresher), since none publishes there now" in alone
    assert "read the daemon's log" in beside


def test_directory_of_another_owner_has_the_same_verdict_for_root(worker: Worker, need: Need) -> None:
    """A directory that the daemon refuses since another user owns it is foreign for root too."""
    need.root()
    worker.configure("alice")
    worker.once()
    for path in (worker.root, worker.root / ".lock"):
        os.chown(path, STRANGER, STRANGER)

    found = worker.status()["alice"]

    assert found["state"] == "foreign"
    assert f"belongs to uid 0, not to the daemon (uid {STRANGER})" in found["problem"]


def test_removed_directory_is_distinguished_from_an_empty_one(worker: Worker, need: Need) -> None:
    """A container that holds a removed directory learns that waiting does not help; `status` finds it as root."""
    need.root()
    unshare = need.tool("unshare", "apt install util-linux")
    worker.configure("alice")
    worker.once()
    seen = worker.place / "seen"
    seen.mkdir()
    script = f"""
mount --bind -o ro {worker.directory("alice")} {seen}
echo mounted
read -r answer
{COMMAND[0]} wait --directory {seen} --timeout 60s
echo $?
read -r answer
"""
    container = subprocess.Popen(
        [unshare, "--mount", "sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert container.stdin is not None
    assert container.stdout is not None
    assert container.stdout.readline() == "mounted\n"
    for path in sorted(worker.directory("alice").iterdir()):
        path.unlink()
    worker.directory("alice").rmdir()
    worker.once()
    container.stdin.write("go on\n")
    container.stdin.flush()

    status = container.stdout.readline()
    warnings = worker.command("status").stderr
    _, errors = container.communicate("end\n", timeout=60)

    assert status == "6\n"
    assert f"{seen} was removed on the worker, and this container still holds the former one" in errors
    assert f"process {container.pid} has the former directory {worker.directory('alice')} mounted at {seen}" in warnings


def test_names_with_control_characters_reach_no_terminal(worker: Worker) -> None:
    """A name of an argument or a file is shown escaped, wherever it is printed."""
    worker.configure("alice", targets_directory=str(worker.drop_ins))
    worker.drop_in("alice2", identity="alice")
    (worker.drop_ins / "a\x1b[2Jb.yaml").write_text("{}")
    odd = "x\x1b[2J\x07"

    shown = [
        worker.command("wait", odd, "--timeout", "0s", status=None),
        worker.command("status"),
        worker.run(odd, status=2),
        worker.run("wait", "--directory", odd, "--timeout", "0s", status=6),
        worker.run("adc", "--config", odd, odd, status=2),
        worker.run("inspect", odd, status=2),
        worker.run("token", f"--{odd}", status=2),
    ]

    text = "".join(done.stdout + done.stderr for done in shown)
    assert "\\x1b[2J" in text
    assert [each for each in text if not each.isprintable() and each != "\n"] == []


def test_check_explains_everything_that_a_container_depends_on(cloud: tuple[Worker, Scenario]) -> None:
    """`check` shows artifacts, provider, endpoints and `listen`, and warns about the emulator and misnamed drop-ins."""
    worker, google = cloud
    worker.drop_ins.mkdir()
    (worker.drop_ins / "dave.yml").write_text("{}")
    artifacts = {"access_token": True, "id_tokens": {"api": {"audience": "https://api"}}}
    worker.configure(
        "alice",
        targets={"alice": {"artifacts": artifacts}},
        targets_directory=str(worker.drop_ins),
        listen="127.0.0.1:8099",
    )
    document = worker.document("alice") | yaml.safe_load(worker.configuration.read_text())
    document["identities"]["alice"]["scopes"] = ["openid", CLOUD_PLATFORM_SCOPE, "https://svc-abc123-ew.a.run.app"]
    worker.write(document)

    done = worker.command("check")
    document = json.loads(worker.command("check", "--json").stdout)

    assert "optional artifacts: access_token, id_tokens/api" in done.stdout
    assert "accepted by projects/123456789012/locations/global/workloadIdentityPools/workers/prov" in done.stdout
    assert "the daemon answers HTTP on 127.0.0.1:8099: status page, probes, metrics" in done.stdout
    assert f"warning: google.emulator is true: endpoints may be other servers than Google's (sts is {google.http}" in (
        done.stderr
    )
    assert (
        f"{worker.drop_ins}/dave.yml is not read: drop-ins are named NAME.yaml — rename it to dave.yaml" in done.stderr
    )
    assert "scopes: https://svc-abc123-ew.a.run.app is not a scope of Google's" in done.stderr
    assert "id_tokens: {NAME: {audience: https://svc-abc123-ew.a.run.app}}" in done.stderr
    assert document["targets"][0]["artifacts"] == ["access_token", "id_tokens/api"]
    assert (document["google"]["sts"], document["listen"]) == (google.http, "127.0.0.1:8099")


def test_lost_keys_are_restored_before_new_ones_are_created(worker: Worker) -> None:
    """A new first key would be unknown to Google: the remedy puts the backup first, and shows the directory."""
    worker.configure("alice")
    (worker.place / "keys").rename(worker.place / "lost")

    for done in (worker.command("check"), worker.once(status=3)):
        assert "restore it from a backup" in done.stderr
        assert f"refresher keys new --directory {worker.place / 'keys'}" in done.stderr


def test_check_lists_directories_of_an_earlier_version(worker: Worker) -> None:
    """A directory with our files and no record, which belongs to no target, is listed with the command to remove it."""
    worker.configure("alice", "bob")
    worker.once()
    (worker.directory("bob") / ".target").unlink()
    worker.write(yaml.safe_load(yaml.safe_dump(worker.document("alice"))))

    done = worker.command("check")

    assert f"rm -r {worker.directory('bob')}" in done.stderr
