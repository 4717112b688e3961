from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import jwt
import pytest
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import KeySet

from tests.program import ISSUER, Worker, account_of, until
from tests.tokens import make_jwt

if TYPE_CHECKING:
    from pathlib import Path

    from refresher.emulator.testing import Scenario
    from tests.conftest import Act, Need

AUDIENCE = (
    "https://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/workers/providers/"
    "refresher"
)
CONTAINER = 54_321
DAEMON = 54_320


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_third_party_verifies_every_token(tmp_path: Path, algorithm: str) -> None:
    """Two JOSE libraries that we do not sign with accept the published tokens, by the uploaded keys alone."""
    worker = Worker(place=tmp_path)
    jwks = worker.make_keys(algorithm)
    worker.configure("alice", "bob")
    worker.once()

    for name in ("alice", "bob"):
        token = worker.token(name)
        key = jwt.PyJWKSet.from_dict(jwks)[jwt.get_unverified_header(token)["kid"]]
        claims = jwt.decode(token, key, algorithms=[algorithm], audience=AUDIENCE, issuer=ISSUER)
        keys = KeySet.import_key_set({"keys": jwks["keys"]})
        assert joserfc_jwt.decode(token, keys, algorithms=[algorithm]).claims == claims
        assert claims["sub"] == f"user-{name}"
        assert claims["exp"] - claims["iat"] == 3600


def test_user_acts_from_credentials_alone(cloud: tuple[Worker, Scenario], act: Act) -> None:
    """google-auth in another environment, given nothing but `env`, acts as each user's own service account."""
    worker, google = cloud
    worker.configure("alice", "bob")
    worker.once()

    for name in ("alice", "bob"):
        answer = act(worker.directory(name), google)
        assert (answer["service_account"], answer["project"]) == (account_of(name), "my-project")


def test_stranger_is_refused(cloud: tuple[Worker, Scenario], act: Act) -> None:
    """A subject that no account is bound to is refused by IAM Credentials in Google's words."""
    worker, google = cloud
    document = worker.document("alice")
    document["identities"]["alice"]["subject"] = "user-bob"
    worker.write(document)
    worker.once()

    assert "iam.serviceAccounts.getAccessToken" in act(worker.directory("alice"), google)["refused"]


def test_what_is_in_place_is_left_alone(worker: Worker) -> None:
    """A second run keeps fresh tokens, and `--force` replaces exactly those that are named."""
    worker.configure("alice", "bob")
    worker.once()
    before = worker.token("alice"), worker.token("bob")

    assert "2 kept" in worker.once().stderr
    assert (worker.token("alice"), worker.token("bob")) == before
    worker.once("--force", "alice")

    assert worker.token("alice") != before[0]
    assert worker.token("bob") == before[1]


def test_failing_supplier_changes_nothing(worker: Worker) -> None:
    """Without its key a supplier fails: exit status 3, problem and remedy, and every file stays byte for byte."""
    worker.configure("alice", "bob")
    worker.once()
    before = worker.files("alice") | {"b": worker.token("bob").encode()}
    for key in (worker.place / "keys").glob("*.pem"):
        key.rename(key.with_suffix(".away"))

    done = worker.once("--force", status=3)

    assert "cannot be used: No such file or directory" in done.stderr
    assert "concerns: alice, bob" in done.stderr
    assert "remedy: " in done.stderr
    assert worker.files("alice") | {"b": worker.token("bob").encode()} == before


def test_one_failing_target_does_not_hold_up_the_others(worker: Worker) -> None:
    """A directory that cannot be trusted fails its own target with status 4; the others are published."""
    worker.configure("alice", "bob")
    worker.directory("alice").mkdir(parents=True)
    worker.directory("alice").chmod(0o777)

    done = worker.once(status=4)

    assert f"chmod go-w {worker.directory('alice')}" in done.stderr
    assert os.listdir(worker.directory("alice")) == []
    assert worker.status()["bob"]["state"] == "fresh"


def test_wrong_configuration_writes_nothing(worker: Worker) -> None:
    """Every mistake is told at its place, the exit status is 2, and nothing is made."""
    document = worker.document("alice")
    document["targets"]["alice"] = {"mod": "0440"}
    document["identities"]["alice"]["subject"] = "x" * 128
    worker.write(document)

    done = worker.once(status=2)

    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"{worker.configuration}:") and " — " in line for line in lines)
    assert "did you mean mode?" in done.stderr
    assert not worker.root.exists()


def test_bad_drop_in_does_not_hold_up_the_others(worker: Worker) -> None:
    """A drop-in that cannot be used is told with its place and ends the run with status 2; the rest is published."""
    worker.drop_in("good", identity="alice")
    worker.drop_in("bad", identity="nobody")
    worker.configure("alice", targets_directory="targets.d")

    done = worker.once(status=2)

    assert f"{worker.drop_ins / 'bad.yaml'}:1:11: identity is" in done.stderr
    assert {name for name, status in worker.status().items() if status["state"] == "fresh"} == {"alice", "good"}


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_owner_and_mode_whatever_the_umask(worker: Worker, umask: int, need: Need) -> None:
    """As root, files get the configured owner and mode and the directory stays the daemon's, whatever the umask."""
    need.root()
    worker.configure("alice", targets={"alice": {"owner": f"{CONTAINER}:{CONTAINER}", "mode": "0440"}})

    worker.run("once", "--config", str(worker.configuration), umask=umask)

    files = {path.name: path.stat() for path in worker.directory("alice").iterdir()}
    assert files.keys() == {"token", "credentials.json", "env"}
    for status in files.values():
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (CONTAINER, CONTAINER, 0o440)
    directory = worker.directory("alice").stat()
    assert (directory.st_uid, directory.st_gid, stat.S_IMODE(directory.st_mode)) == (0, CONTAINER, 0o750)
    assert stat.S_IMODE(worker.root.stat().st_mode) == 0o755


ATTEMPTS = """
cd "$1" || exit 1
try() { name=$1; shift; "$@" >/dev/null 2>&1 && echo "$name"; }
try read cat token
try create touch new
try write dd if=/dev/null of=token
try rename mv -n token old
try replace mv -f /proc/self/environ token
try link ln token other
try symlink ln -s /etc/passwd other
try remove rm -f token
try chmod chmod 0777 .
try mkdir mkdir sub
true
"""
"""Tries with the shell's own tools, which every user can run, and names what went through."""


@pytest.mark.parametrize("owner", [f"{CONTAINER}:{CONTAINER}", f"{CONTAINER}"], ids=["group", "user-only"])
def test_owner_of_the_files_can_only_read(worker: Worker, owner: str, need: Need) -> None:
    """The files' owner reads, and can create, rename, link or remove nothing in the directory itself."""
    need.root()
    setpriv = need.tool("setpriv", "apt-get install util-linux")
    worker.configure("alice", targets={"alice": {"owner": owner}})
    worker.once()
    for path in (worker.place, *worker.place.parents[:-2]):
        path.chmod(path.stat().st_mode | 0o011)

    identity = [f"--reuid={CONTAINER}", f"--regid={CONTAINER}", "--clear-groups"]
    shell = ["sh", "-c", ATTEMPTS, "sh", str(worker.directory("alice"))]
    done = subprocess.run([setpriv, *identity, *shell], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["read"]


def as_daemon_user(worker: Worker, need: Need, capabilities: str) -> None:
    """Let a worker's program run with these capabilities as a user of its own, to whom everything there belongs."""
    need.root()
    setpriv = need.tool("setpriv", "apt-get install util-linux")
    for path in (worker.place, *worker.place.rglob("*")):
        os.chown(path, DAEMON, DAEMON)
    for path in worker.place.parents[:-2]:
        path.chmod(path.stat().st_mode | 0o011)
    worker.prefix = [setpriv, f"--reuid={DAEMON}", f"--regid={DAEMON}", "--clear-groups"]
    worker.prefix += [f"--inh-caps={capabilities}", f"--ambient-caps={capabilities}"]


def test_daemon_with_two_capabilities_gives_files_away(worker: Worker, need: Need) -> None:
    """A daemon that is not root publishes for another owner with CAP_CHOWN and CAP_DAC_READ_SEARCH, again and again."""
    worker.configure("alice", targets={"alice": {"owner": f"{CONTAINER}:{CONTAINER}"}})
    as_daemon_user(worker, need, "+chown,+dac_read_search")

    worker.once()
    worker.once("--force")

    status = (worker.directory("alice") / "token").stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (CONTAINER, 0o440)
    assert worker.directory("alice").stat().st_uid == DAEMON
    assert worker.status()["alice"]["state"] == "fresh"


@pytest.mark.parametrize("capability", ["dac_read_search", "chown"])
def test_daemon_with_one_capability_says_what_it_lacks(worker: Worker, need: Need, capability: str) -> None:
    """A configured owner is an error with a remedy unless files can be given away *and* read back."""
    worker.configure("alice", targets={"alice": {"owner": f"{CONTAINER}:{CONTAINER}"}})
    as_daemon_user(worker, need, f"+{capability}")

    assert "give it CAP_CHOWN and CAP_DAC_READ_SEARCH" in worker.once(status=4).stderr
    assert not worker.directory("alice").exists() or os.listdir(worker.directory("alice")) == []


def test_symlinks_are_not_followed(worker: Worker) -> None:
    """A symlink planted at `token` is replaced by the token, and what it pointed to keeps its content."""
    worker.configure("alice")
    worker.once()
    victim = worker.place / "victim"
    victim.write_text("precious")
    (worker.directory("alice") / "token").unlink()
    (worker.directory("alice") / "token").symlink_to(victim)

    worker.once()

    assert victim.read_text() == "precious"
    assert not (worker.directory("alice") / "token").is_symlink()


@pytest.mark.parametrize("kind", ["symlink", "file", "other owner", "writable"])
def test_untrustworthy_directory_is_refused(worker: Worker, kind: str, need: Need) -> None:
    """A directory that is a link, a file, somebody else's or writable by others is refused with what to do about it."""
    worker.configure("alice")
    worker.root.mkdir()
    place = worker.directory("alice")
    match kind:
        case "symlink":
            (worker.place / "elsewhere").mkdir()
            place.symlink_to(worker.place / "elsewhere")
        case "file":
            place.write_text("")
        case "other owner":
            need.root()
            place.mkdir(mode=0o755)
            os.chown(place, CONTAINER, CONTAINER)
        case _:
            place.mkdir()
            place.chmod(0o770)

    done = worker.once(status=4)

    assert str(place) in done.stderr
    assert "remedy: " in done.stderr
    assert not (worker.place / "elsewhere").exists() or os.listdir(worker.place / "elsewhere") == []


def test_directory_that_changes_hands_never_mixes_two_identities(cloud: tuple[Worker, Scenario], act: Act) -> None:
    """The directory of alice, given to bob, acts as bob alone; while bob's supplier fails it holds nobody's token."""
    worker, google = cloud
    shared = {"directory": str(worker.root / "shared")}
    worker.configure("alice", "bob", targets={"alice": shared})
    worker.once()
    key = next((worker.place / "keys").glob("*.pem"))
    key.rename(worker.place / "key")

    worker.configure("alice", "bob", targets={"bob": shared})
    worker.once(status=3)

    assert worker.files("shared").keys() == {"credentials.json"}
    (worker.place / "key").rename(key)
    worker.once()
    assert act(worker.directory("shared"), google)["service_account"] == account_of("bob")


def test_directory_that_changes_pools_changes_hands(worker: Worker) -> None:
    """One subject in two pools is two principals, though both may act as one account."""
    document = worker.document("alice", "bob")
    document["providers"]["other"] = document["providers"]["main"] | {"pool": "others"}
    document["suppliers"]["worker"]["provider"] = "main"
    document["suppliers"]["late"] = document["suppliers"]["worker"] | {"provider": "other", "keys": "later"}
    for name, supplier in (("alice", "worker"), ("bob", "late")):
        document["identities"][name] = {"service_account": account_of("x"), "subject": "user-1", "supplier": supplier}
    document["targets"] = {"task": {"identity": "alice"}}
    worker.write(document)
    worker.once()
    document["targets"] = {"task": {"identity": "bob"}}
    worker.write(document)

    worker.once(status=3)

    assert worker.files("task").keys() == {"credentials.json"}


@pytest.mark.parametrize("live", [False, True], ids=["at the next run", "while the daemon runs"])
def test_directory_changes_hands_though_nothing_names_the_subject(worker: Worker, live: bool) -> None:  # noqa: FBT001 - a parameter
    """With tokens from files, whose subject nobody configured, a directory given to bob never keeps alice's token.

    Not even while bob's file is missing and both act on one account, so that nothing else in the directory tells.
    """
    document = worker.document("alice", "bob")
    for name in ("alice", "bob"):
        minted = make_jwt(subject=name, issued_at=datetime.now(UTC), audience=AUDIENCE)
        (worker.place / f"{name}.jwt").write_text(minted)
        document["suppliers"][name] = {"kind": "file", "path": f"{name}.jwt"}
        document["identities"][name] = {"service_account": account_of("shared"), "supplier": name}
    document["targets"] = {"task": {"identity": "alice"}}
    worker.write(document)
    worker.once()
    document["targets"] = {"task": {"identity": "bob"}}
    theirs = (worker.place / "bob.jwt").rename(worker.place / "late.jwt")

    if live:
        with worker.daemon() as log:
            log.wait_for("daemon.ready")
            worker.write(document)
            log.wait_for("token.supply_failed")
            assert worker.files("task").keys() == {"credentials.json"}
            theirs.rename(worker.place / "bob.jwt")
            log.wait_for("token.published", subject="bob")
    else:
        worker.write(document)
        worker.once(status=3)
        assert worker.files("task").keys() == {"credentials.json"}
        theirs.rename(worker.place / "bob.jwt")
        worker.once()

    assert worker.token("task") == (worker.place / "bob.jwt").read_text()


@pytest.mark.parametrize("holder", ["alice", "bob"])
def test_of_two_drop_ins_whom_a_directory_serves_keeps_it(worker: Worker, holder: str) -> None:
    """Whoever starts asks the directory whose it is: neither an edit nor a file's age hands it to another."""
    other = {"alice": "bob", "bob": "alice"}[holder]
    shared = {"directory": str(worker.root / "shared")}
    worker.configure("alice", "bob", targets={}, targets_directory=str(worker.drop_ins))
    worker.drop_in(holder, **shared)
    worker.once()
    before = worker.token("shared")
    worker.drop_in(other, **shared)
    worker.drop_in(holder, **shared, container_directory="/var/run/google")

    worker.once(status=None)
    status = worker.status()
    with worker.daemon() as log:
        log.wait_for("daemon.ready")

    assert list(status) == [holder]
    assert worker.token("shared") == before
    assert "/var/run/google/token" in (worker.directory("shared") / "credentials.json").read_text()


@pytest.mark.parametrize("harm", ["broken", "readable by others", "gone", "owner unknown"])
def test_drop_in_that_cannot_be_used_costs_nobody_his_directory(worker: Worker, harm: str) -> None:
    """Whoever starts without its old body takes nothing away and gives its directory to nobody else."""
    shared = {"directory": str(worker.root / "shared")}
    worker.configure("alice", "bob", "carol", targets={}, targets_directory=str(worker.drop_ins))
    worker.drop_in("alice", **shared)
    worker.drop_in("carol")
    worker.once()
    before = worker.files("shared") | worker.files("carol")
    match harm:
        case "broken":
            worker.drop_in("alice", **shared, mode=440)
        case "readable by others":
            (worker.drop_ins / "alice.yaml").chmod(0o666)
        case "gone":
            worker.drop_ins.chmod(0o777)
        case _:
            worker.drop_in("alice", **shared, owner="nobody-of-this-name")
    worker.drop_in("bob", **shared, **({"owner": "2077:2077"} if os.geteuid() == 0 else {}))
    group = worker.directory("shared").stat().st_gid

    worker.once(status=None)
    # who is to get a directory may not even look into it before it was cleared
    assert worker.directory("shared").stat().st_gid == group
    report = json.loads(worker.command("status", "--json").stdout)
    waited = worker.command("wait", "--timeout", "0s", status=6).stderr
    with worker.daemon() as log:
        log.wait_for("config.rejected")
        if harm != "gone":
            assert "cannot be used" in log.wait_for("token.publish_failed", target="bob")["error"]
        assert not log.events("target.retired")

        until(lambda: worker.files("shared") | worker.files("carol") == before, what="everything as it was")
        assert not report["ready"]
        assert str(worker.drop_ins) in report["problems"][0]
        assert str(worker.drop_ins) in waited

        worker.drop_ins.chmod(0o755)
        worker.drop_in("alice", **shared)
        until(lambda: "which is that of target alice" in log.path.read_text(), what="bob refused for alice")
    assert list(worker.status()) == ["alice", "carol"]


@pytest.mark.parametrize("rival", ["inside", "around", "other container directory"])
def test_drop_in_beside_a_broken_one_waits_for_its_place(worker: Worker, rival: str) -> None:
    """Neither inside nor around a directory that a broken drop-in may be for, nor with another document in it."""
    mine = {"identity": "alice", "directory": str(worker.root / "x" / "y")}
    theirs = {
        "inside": {"directory": str(worker.root / "x" / "y" / "z")},
        "around": {"directory": str(worker.root / "x")},
        "other container directory": mine | {"container_directory": "/elsewhere"},
    }[rival]
    worker.configure("alice", "bob", targets={}, targets_directory=str(worker.drop_ins))
    worker.drop_in("task", **mine)
    worker.once()
    before = worker.files("x/y")
    worker.drop_in("task", **mine, mode=440)
    worker.drop_in("bob", **theirs)

    assert "cannot be used" in worker.once(status=4).stderr
    kept = {name: (worker.directory("x/y") / name).read_bytes() for name in before}
    worker.drop_in("task", **mine)
    worker.once(status=2)

    assert kept == before == {name: (worker.directory("x/y") / name).read_bytes() for name in before}
    assert list(worker.status()) == ["task"]


def test_status_is_read_from_the_files(worker: Worker) -> None:
    """`status` tells what a file holds now, whatever was published before, and changes nothing."""
    worker.configure("alice", "bob", "carol")
    worker.once()
    (worker.directory("alice") / "token").unlink()
    (worker.directory("bob") / "token").unlink()
    (worker.directory("bob") / "token").write_text(worker.token("carol"))
    before = worker.files("bob")

    status = worker.status()

    assert [status[name]["state"] for name in ("alice", "bob", "carol")] == ["absent", "foreign", "fresh"]
    assert status["alice"]["remedy"] is not None
    assert status["carol"]["fingerprint"] is not None
    assert worker.files("bob") == before


def test_wait_ends_with_its_own_status(cloud: tuple[Worker, Scenario]) -> None:
    """`wait` gives 6 while a target is not ready, 0 when it is, and 5 when Google refuses the exchange asked for."""
    worker, google = cloud
    worker.configure("alice", "bob")

    worker.command("wait", "--timeout", "0s", status=6)
    worker.run("wait", "--directory", str(worker.directory("alice")), "--timeout", "0s", status=6)
    worker.once()
    worker.command("wait", "--timeout", "0s")
    worker.run("wait", "--directory", str(worker.directory("alice")), "--timeout", "0s")
    worker.command("wait", "--timeout", "0s", "--min-validity", "2h", status=6)
    worker.command("wait", "--timeout", "0s", "--exchange")
    google.state.service_accounts[account_of("bob")].bindings.clear()

    done = worker.command("wait", "--timeout", "0s", "--exchange", status=5)

    assert "roles/iam.workloadIdentityUser" in done.stderr


def test_adc_is_what_gcloud_writes(worker: Worker, need: Need) -> None:
    """`adc` equals what gcloud generates for the same provider and account, but for the documented `format`."""
    gcloud = need.tool("gcloud", "install the Google Cloud CLI")
    worker.configure("alice")
    provider = "projects/123456789012/locations/global/workloadIdentityPools/workers/providers/refresher"
    output = worker.place / "gcloud.json"
    source = ["--credential-source-file", str(worker.directory("alice") / "token"), "--output-file", str(output)]
    generator = [gcloud, "iam", "workload-identity-pools", "create-cred-config", provider, *source]
    home = {"CLOUDSDK_CONFIG": str(worker.place / "gcloud"), "CLOUDSDK_CORE_DISABLE_PROMPTS": "1"}

    subprocess.run(
        [*generator, "--service-account", account_of("alice")],
        env={**os.environ, **home},
        check=True,
        capture_output=True,
    )
    ours = json.loads(worker.command("adc", "alice").stdout)
    theirs = json.loads(output.read_text())

    assert ours["credential_source"].pop("format") == {"type": "text"}
    assert theirs["credential_source"].pop("format", {"type": "text"}) == {"type": "text"}
    assert list(ours.items()) == list(theirs.items())


@pytest.mark.parametrize("form", ["dotenv", "docker"])
def test_env_prints_what_the_file_holds(worker: Worker, form: str) -> None:
    """`env` prints the published variables; the shell form sets them in a shell."""
    worker.configure("alice")
    worker.once()

    assert worker.command("env", "alice", "--format", form).stdout.encode() == worker.files("alice")["env"]
    script = worker.command("env", "alice", "--format", "shell").stdout + "env"
    shell = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, env={})
    assert set(worker.files("alice")["env"].decode().splitlines()) <= set(shell.stdout.splitlines())


def setuid_program(worker: Worker, setpriv: str) -> Path:
    """Give a program that becomes root for good, whoever starts it: the real user too."""
    program = worker.place / "become-root"
    shutil.copy(setpriv, program)
    os.chown(program, 0, 0)
    program.chmod(0o4755)
    return program


def test_program_that_becomes_another_user_is_told_and_not_waited_for(worker: Worker, need: Need) -> None:
    """A program that a daemon which is not root may not end fails its target in time, and is named with its process."""
    worker.configure("alice")
    as_daemon_user(worker, need, "-all")
    program = setuid_program(worker, need.tool("setpriv", "apt-get install util-linux"))
    argv = [str(program), "--reuid=0", "--clear-groups", "sleep", "600"]
    document = worker.document("alice") | {"suppliers": {"worker": {"kind": "command", "argv": argv, "timeout": "1s"}}}
    worker.write(document)
    os.chown(worker.configuration, DAEMON, DAEMON)

    done = worker.once(status=3)

    found = re.search(r"beyond its bounds \(process (\d+)\): it has become another user", done.stderr)
    assert found is not None, done.stderr
    assert "no setuid, no sudo" in done.stderr
    os.kill(int(found[1]), signal.SIGKILL)


START_TEN = """
import os, signal, sys
from datetime import UTC, datetime, timedelta

from refresher.errors import SupplyError
from refresher.suppliers.command import CommandSupplier
from refresher.suppliers.interface import SupplierContext

supplier = CommandSupplier(argv=sys.argv[1:], timeout=timedelta(seconds=0.1), environment={"PATH": os.environ["PATH"]})
for _ in range(10):
    try:
        supplier.supply(SupplierContext(identity="alice", subject="a", audience="b"), datetime.now(UTC))
    except SupplyError as error:
        print(error.problem)
"""


def test_programs_that_cannot_be_ended_do_not_pile_up(worker: Worker, need: Need) -> None:
    """While eight of a program run on, no other is started."""
    as_daemon_user(worker, need, "-all")
    program = setuid_program(worker, need.tool("setpriv", "apt-get install util-linux"))
    argv = [str(program), "--reuid=0", "--clear-groups", "sleep", "600"]

    done = subprocess.run(
        [*worker.prefix, sys.executable, "-c", START_TEN, *argv], capture_output=True, text=True, check=True, timeout=60
    )

    processes = [int(number) for number in re.findall(r"process (\d+)", done.stdout)]
    for process in processes:
        os.kill(process, signal.SIGKILL)
    assert len(processes) == 8
    assert done.stdout.count("is not started again: 8 of it cannot be ended") == 2
