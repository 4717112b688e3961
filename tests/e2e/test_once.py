from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import jwt
import pytest
import yaml
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import KeySet

from tests.program import ISSUER, Worker, account_of, until
from tests.tokens import make_jwt

if TYPE_CHECKING:
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
    """Two JOSE libraries that we do not sign with verify the published tokens, with the uploaded keys only."""
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
    """google-auth in another environment, with nothing but `env`, acts as each user's own service account."""
    worker, google = cloud
    worker.configure("alice", "bob")
    worker.once()

    for name in ("alice", "bob"):
        answer = act(worker.directory(name), google)
        assert (answer["service_account"], answer["project"]) == (account_of(name), "my-project")


def test_stranger_is_refused(cloud: tuple[Worker, Scenario], act: Act) -> None:
    """IAM Credentials refuses a subject without a binding, and Google's text is shown."""
    worker, google = cloud
    document = worker.document("alice")
    document["identities"]["alice"]["subject"] = "user-bob"
    worker.write(document)
    worker.once()

    assert "iam.serviceAccounts.getAccessToken" in act(worker.directory("alice"), google)["refused"]


def test_what_is_in_place_is_left_alone(worker: Worker) -> None:
    """A second run keeps fresh tokens, and `--force` replaces exactly those of the given targets."""
    worker.configure("alice", "bob")
    worker.once()
    before = worker.token("alice"), worker.token("bob")

    assert "2 targets kept" in worker.once().stderr
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

    assert ".pem does not exist" in done.stderr
    assert "concerns: alice, bob" in done.stderr
    assert "remedy: " in done.stderr
    assert worker.files("alice") | {"b": worker.token("bob").encode()} == before


def test_one_failing_target_does_not_hold_up_the_others(worker: Worker) -> None:
    """An unsafe directory fails its own target with status 4; the others are published."""
    worker.configure("alice", "bob")
    worker.directory("alice").mkdir(parents=True)
    worker.directory("alice").chmod(0o777)

    done = worker.once(status=4)

    assert f"chmod go-w {worker.directory('alice')}" in done.stderr
    assert os.listdir(worker.directory("alice")) == []
    assert worker.status()["bob"]["state"] == "fresh"


def test_wrong_configuration_writes_nothing(worker: Worker) -> None:
    """Every mistake is reported at its place, the exit status is 2, and nothing is created."""
    document = worker.document("alice")
    document["targets"]["alice"] = {"mod": "0440"}
    document["identities"]["alice"]["subject"] = "x" * 128
    worker.write(document)

    done = worker.once(status=2)

    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"{worker.configuration}:") and " — " in line for line in lines)
    assert "write mode if you mean that" in done.stderr
    assert not worker.root.exists()


def test_bad_drop_in_does_not_hold_up_the_others(worker: Worker) -> None:
    """A drop-in that cannot be used is reported with its place, with exit status 2; the rest is published."""
    worker.drop_in("good", identity="alice")
    worker.drop_in("bad", identity="nobody")
    worker.configure("alice", targets_directory="targets.d")

    done = worker.once(status=2)

    assert f"{worker.drop_ins / 'bad.yaml'}:1:11: identity is" in done.stderr
    assert {name for name, status in worker.status().items() if status["state"] == "fresh"} == {"alice", "good"}


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_owner_and_mode_whatever_the_umask(worker: Worker, umask: int, need: Need) -> None:
    """As root, files get the configured owner and mode and the directory stays the daemon's, for any umask."""
    need.root()
    worker.configure("alice", targets={"alice": {"owner": f"{CONTAINER}:{CONTAINER}", "mode": "0440"}})

    worker.run("once", "--config", str(worker.configuration), umask=umask)

    files = {path.name: path.stat() for path in worker.directory("alice").iterdir() if path.name != ".target"}
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
"""Makes attempts with the shell's own tools, which every user can run, and prints those that succeeded."""


@pytest.mark.parametrize("owner", [f"{CONTAINER}:{CONTAINER}", f"{CONTAINER}"], ids=["group", "user-only"])
def test_owner_of_the_files_can_only_read(worker: Worker, owner: str, need: Need) -> None:
    """The files' owner can read, but not create, rename, link or remove anything in the directory."""
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
    """Run a worker's program with these capabilities as another user, who owns all files there."""
    need.root()
    setpriv = need.tool("setpriv", "apt-get install util-linux")
    for path in (worker.place, *worker.place.rglob("*")):
        os.chown(path, DAEMON, DAEMON)
    for path in worker.place.parents[:-2]:
        path.chmod(path.stat().st_mode | 0o011)
    worker.prefix = [setpriv, f"--reuid={DAEMON}", f"--regid={DAEMON}", "--clear-groups"]
    worker.prefix += [f"--inh-caps={capabilities}", f"--ambient-caps={capabilities}"]


def test_daemon_with_two_capabilities_gives_files_away(worker: Worker, need: Need) -> None:
    """With CAP_CHOWN and CAP_DAC_READ_SEARCH a daemon that is not root publishes for another owner, again and again."""
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
    """A configured owner is an error with a remedy, unless files can be given away *and* read again."""
    worker.configure("alice", targets={"alice": {"owner": f"{CONTAINER}:{CONTAINER}"}})
    as_daemon_user(worker, need, f"+{capability}")

    assert "CAP_CHOWN and CAP_DAC_READ_SEARCH" in worker.once(status=4).stderr
    assert worker.files("alice") == {}


def test_daemon_with_one_capability_shares_files_with_a_group(worker: Worker, need: Need) -> None:
    """`owner: ":GROUP"` only needs CAP_CHOWN: the group can read, and the files stay the daemon's."""
    worker.configure("alice", targets={"alice": {"owner": f":{CONTAINER}"}})
    as_daemon_user(worker, need, "+chown")

    worker.once()
    worker.once("--force")

    for name in ("token", "credentials.json", "env"):
        status = (worker.directory("alice") / name).stat()
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (DAEMON, CONTAINER, 0o440)
    assert stat.S_IMODE(worker.directory("alice").stat().st_mode) == 0o750
    assert worker.status()["alice"]["state"] == "fresh"


@pytest.mark.parametrize("command", ["once", "once --force"])
def test_once_without_the_daemons_rights_takes_nothing_away(worker: Worker, need: Need, command: str) -> None:
    """On a healthy machine `once` as the daemon's user without capabilities changes nothing and reports the right."""
    artifacts = {"boto": True}
    targets = {
        name: {"owner": f"{number}:{number}", "artifacts": artifacts}
        for number, name in enumerate(("alice", "bob"), CONTAINER)
    }
    worker.configure("alice", "bob", targets=targets)
    as_daemon_user(worker, need, "+chown,+dac_read_search")
    worker.once()
    before = {name: worker.files(name) for name in ("alice", "bob")}
    worker.prefix = [*worker.prefix[:4], "--inh-caps=-all", "--ambient-caps=-all"]

    done = worker.run(*command.split(), "--config", str(worker.configuration), status=4)

    assert "CAP_CHOWN" in done.stderr
    assert {name: worker.files(name) for name in ("alice", "bob")} == before


@pytest.mark.parametrize("owner", ["{}", ":{}"])
def test_daemon_that_restarts_without_its_rights_takes_nothing_away(worker: Worker, need: Need, owner: str) -> None:
    """With an edited unit without capabilities every file stays as it was, and the log shows the missing right."""
    names = ("alice", "bob")
    owners = {name: {"owner": owner.format(number)} for number, name in enumerate(names, CONTAINER)}
    worker.configure(*names, targets=owners)
    as_daemon_user(worker, need, "+chown,+dac_read_search")
    worker.once()
    before = {name: worker.files(name) for name in ("alice", "bob")}
    worker.prefix = [*worker.prefix[:4], "--inh-caps=-all", "--ambient-caps=-all"]

    with worker.daemon() as log:
        for name in ("alice", "bob"):
            assert "CAP_CHOWN" in log.wait_for("token.publish_failed", target=name, count=2)["remedy"]
        assert not log.events("token.recovered")
        assert {name: worker.files(name) for name in ("alice", "bob")} == before


@pytest.mark.parametrize("mode", [0o000, 0o300, 0o600])
def test_directory_that_keeps_the_daemon_out_is_repaired(worker: Worker, need: Need, mode: int) -> None:
    """A credentials directory whose mode was changed gets it back, although the daemon itself could not enter it."""
    worker.configure("alice")
    as_daemon_user(worker, need, "+chown")
    worker.once()
    before = worker.files("alice")
    worker.directory("alice").chmod(mode)

    worker.once()

    assert stat.S_IMODE(worker.directory("alice").stat().st_mode) == 0o711
    assert worker.files("alice") == before


def test_symlinks_are_not_followed(worker: Worker) -> None:
    """A symlink at `token` is replaced by the token, and the symlink's target keeps its content."""
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
    """A directory that is a link, a file, another user's or writable by others is refused with a remedy."""
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


def test_target_that_gets_another_identity_acts_as_that_alone(cloud: tuple[Worker, Scenario], act: Act) -> None:
    """The directory of alice, once it is bob's, only acts as bob; while bob's supplier fails it contains no token."""
    worker, google = cloud
    worker.configure("alice", "bob", targets={"task": {"identity": "alice"}})
    worker.once()
    key = next((worker.place / "keys").glob("*.pem"))
    key.rename(worker.place / "key")

    worker.configure("alice", "bob", targets={"task": {"identity": "bob"}})
    worker.once(status=3)

    assert worker.files("task").keys() == {"credentials.json"}
    (worker.place / "key").rename(key)
    worker.once()
    assert act(worker.directory("task"), google)["service_account"] == account_of("bob")


def test_once_refuses_to_take_over_while_a_daemon_runs(worker: Worker) -> None:
    """`once` with another configuration leaves the daemon's directories alone and shows a remedy."""
    worker.configure("alice", "bob", targets={"task": {"identity": "alice"}})
    with worker.daemon() as log:
        log.wait_for("daemon.ready")
        before = worker.files("task")
        other = worker.place / "other.yaml"
        document = worker.document("alice", "bob", targets={"task": {"identity": "bob"}})
        other.write_text(yaml.safe_dump(document))
        other.chmod(0o600)

        done = worker.run("once", "--config", str(other), status=4)

        assert "belongs to identity alice" in done.stderr
        assert "same configuration" in done.stderr
        assert worker.files("task") == before


def test_directory_that_changes_pools_changes_hands(worker: Worker) -> None:
    """One subject in two pools is two principals, even if both may act as one account."""
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
    """With tokens from files without a configured subject, a directory that becomes bob's never keeps alice's token.

    This is so even while bob's file is missing and both act as one account, so that nothing else in the directory
    differs.
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


@pytest.mark.parametrize("harm", ["broken", "writable by others", "gone", "owner unknown"])
def test_drop_in_that_cannot_be_used_keeps_its_directory(worker: Worker, harm: str) -> None:
    """Even for a broken drop-in, its file name shows which directory it owns: nothing of it is withdrawn."""
    worker.configure("alice", "carol", targets={}, targets_directory=str(worker.drop_ins))
    worker.drop_in("alice")
    worker.drop_in("carol")
    worker.once()
    before = worker.files("alice") | worker.files("carol")
    match harm:
        case "broken":
            worker.drop_in("alice", mode="888")
        case "writable by others":
            (worker.drop_ins / "alice.yaml").chmod(0o666)
        case "gone":
            worker.drop_ins.chmod(0o777)
        case _:
            worker.drop_in("alice", owner="nobody-of-this-name")

    worker.once(status=None)
    report = json.loads(worker.command("status", "--json").stdout)
    waited = worker.command("wait", "--timeout", "0s", status=6).stderr
    with worker.daemon() as log:
        log.wait_for("config.rejected")
        assert not log.events("target.retired")

        until(lambda: worker.files("alice") | worker.files("carol") == before, what="everything as it was")
        assert not report["ready"]
        assert str(worker.drop_ins) in report["problems"][0]
        assert str(worker.drop_ins) in waited

        worker.drop_ins.chmod(0o755)
        worker.drop_in("alice")
        until(lambda: sorted(worker.status()) == ["alice", "carol"], what="both targets again")
        # a new visit proves for a moment, by a temporary file, that it could write
        until(lambda: worker.files("alice") | worker.files("carol") == before, what="everything as it was")


def test_status_is_read_from_the_files(worker: Worker) -> None:
    """`status` shows the present content of a file, whatever was published before, and changes nothing."""
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
    """`wait` exits with 6 while a target is not ready, 0 once it is, and 5 when Google refuses the exchange."""
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
    worker.command("wait", "--timeout", "0s", "--exchange", status=5)


def test_adc_is_what_gcloud_writes(worker: Worker, need: Need) -> None:
    """`adc` equals gcloud's output for the same provider and account, except for the documented `format`."""
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
    """`env` prints the published variables; the shell format sets them in a shell."""
    worker.configure("alice")
    worker.once()

    assert worker.command("env", "alice", "--format", form).stdout.encode() == worker.files("alice")["env"]
    script = worker.command("env", "alice", "--format", "shell").stdout + "env"
    shell = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, env={})
    assert set(worker.files("alice")["env"].decode().splitlines()) <= set(shell.stdout.splitlines())


def setuid_program(worker: Worker, setpriv: str) -> Path:
    """Return a program that becomes root for every user who starts it: its real user, too."""
    program = worker.place / "become-root"
    shutil.copy(setpriv, program)
    os.chown(program, 0, 0)
    program.chmod(0o4755)
    return program


def test_program_cannot_become_another_user(worker: Worker, need: Need) -> None:
    """Under a daemon that is not root, a setuid program stays the daemon's user, so that it can be ended in time."""
    worker.configure("alice")
    as_daemon_user(worker, need, "-all")
    program = setuid_program(worker, need.tool("setpriv", "apt-get install util-linux"))
    argv = [str(program), "--reuid=0", "--clear-groups", "sleep", "600"]
    document = worker.document("alice") | {"suppliers": {"worker": {"kind": "command", "argv": argv, "timeout": "1s"}}}
    worker.write(document)
    os.chown(worker.configuration, DAEMON, DAEMON)

    done = worker.once(status=3)

    assert f"the command {program} ended with exit status 1" in done.stderr
    assert list_processes(program) == []


def list_processes(program: Path) -> list[str]:
    """Return the processes that run a program, of any user."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "exe").readlink() == program:
                found.append(process.name)
    return found


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


def test_setuid_programs_that_hang_do_not_pile_up(worker: Worker, need: Need) -> None:
    """Each of ten setuid programs that hang is ended at its time limit, and none is left."""
    as_daemon_user(worker, need, "-all")
    program = setuid_program(worker, need.tool("sleep", "apt-get install coreutils"))

    done = subprocess.run(
        [*worker.prefix, sys.executable, "-c", START_TEN, str(program), "600"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert done.stdout.count("did not end within 0.1 s") == 10
    assert list_processes(program) == []
