from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.containers.runtimes import CREDENTIALS, EVERYTHING, PYTHON, Mount, run, start
from tests.program import COMMAND, account_of, until
from tests.tokens import make_jwt

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Need
    from tests.containers.conftest import Tenant

STALE = f"""
sha256sum < {CREDENTIALS}/token
read -r answer
sha256sum < {CREDENTIALS}/token
{PYTHON} -m refresher inspect {CREDENTIALS}/token >&2
exec {PYTHON} -m refresher wait --directory {CREDENTIALS} --timeout 30s
"""
WELL = f"""
{PYTHON} -m refresher wait --directory {CREDENTIALS} --timeout 10s && echo ready
read -r answer
"""
WITHOUT_PROC = """
directory=$1 refresher=$2
mount --bind "$directory/source" "$directory/seen"
mount -t tmpfs tmpfs /proc
"$refresher" inspect "$directory/seen" || :
mv "$directory/next" "$directory/source"
echo renamed
"$refresher" inspect "$directory/seen" || :
"""
ROTATIONS = 4
ARTIFACTS = ("token", "credentials.json", "env")


def run_for_json(command: list[str]) -> Any:  # noqa: ANN401 - whatever the program inside prints
    """Run a container until it ends, and return the JSON of its output."""
    done = run(command)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_container_sees_every_token(alice: Tenant) -> None:
    """A container with its directory mounted read-only sees each token that the daemon publishes, in order."""
    done = run(alice.command(PYTHON, "/mnt/inside/watch.py", f"{CREDENTIALS}/token", str(ROTATIONS)))

    assert done.returncode == 0, done.stderr
    seen = done.stdout.split()
    published = alice.site.published(alice.target)
    first = published.index(seen[0])
    assert len(seen) == ROTATIONS
    assert published[first : first + ROTATIONS] == seen


def list_warnings(tenant: Tenant) -> list[str]:
    """Return what `status` on the worker warns about."""
    lines = tenant.site.worker.command("status").stderr.splitlines()
    return [line for line in lines if line.startswith("warning: ")]


def test_old_file_is_reported_when_it_is_mounted_by_itself(alice: Tenant) -> None:
    """A token mounted by itself stays the old one; the probe, `inspect` and `status` report it and the right mount."""
    mounts = [Mount(source=alice.directory / name, place=f"{CREDENTIALS}/{name}") for name in ARTIFACTS]

    with start(alice.command("sh", "-c", STALE, mounts=mounts)) as container:
        assert container.stdout is not None
        first = container.stdout.readline()[:8]
        until(lambda: alice.site.published(alice.target)[-1] != first, what="another token on the worker")
        warnings = list_warnings(alice)
        output, errors = container.communicate("go on\n")

    warning = f" has {alice.directory}/token mounted by itself at {CREDENTIALS}/token and reads an old one — start the"
    assert [warning in line for line in warnings].count(True) == 1, warnings
    assert len(warnings) == len(mounts)
    assert first, errors
    assert output[:8] == first
    assert container.returncode == 6
    report = f"{CREDENTIALS}/token is mounted by itself and was replaced since"
    assert f"! {report}" in errors
    assert f"refresher: {report}" in errors
    assert errors.count("start the container again with its directory mounted") == 2


def test_file_mounted_by_itself_is_reported_before_it_is_old(alice: Tenant) -> None:
    """The probe does not wait until the mounted file is old: it reports the mount at once."""
    name = "credentials.json"  # which the daemon has no reason to replace while this runs
    mounts = [Mount(source=alice.directory / name, place=f"{CREDENTIALS}/{name}")]

    done = run(alice.command(PYTHON, "-m", "refresher", "wait", "--directory", CREDENTIALS, mounts=mounts))

    assert done.returncode == 6
    assert f"{CREDENTIALS}/{name} is mounted by itself and will never be replaced here" in done.stderr


def test_replaced_file_is_reported_without_proc(tmp_path: Path, need: Need) -> None:
    """Without `/proc`, a file mounted by itself is recognised once it was replaced, and not before."""
    need.root()
    need.tool("unshare", "apt install util-linux")
    source, seen = tmp_path / "source", tmp_path / "seen"
    for file in (source, seen, tmp_path / "next"):
        file.write_text(make_jwt())

    done = run(["unshare", "--mount", "sh", "-ec", WITHOUT_PROC, "sh", str(tmp_path), *COMMAND])

    assert done.returncode == 0, done.stderr
    before, after = done.stdout.split("renamed\n")
    assert "mounted by itself" not in before
    assert f"! {seen} is mounted by itself and was replaced since" in after


def test_nothing_is_reported_when_the_directory_is_mounted(alice: Tenant) -> None:
    """With its directory mounted, neither the probe inside nor `status` on the worker reports any mount."""
    with start(alice.command("sh", "-c", WELL)) as container:
        assert container.stdout is not None
        first = container.stdout.readline()
        warnings = list_warnings(alice)
        _, errors = container.communicate("go on\n")

    assert first == "ready\n", errors
    assert (container.returncode, errors, warnings) == (0, "", [])


def test_user_reads_only_his_own_directory(alice: Tenant, bob: Tenant) -> None:
    """Even with the directories of all users mounted, each user only reads his own; another user reads none."""
    everything = [Mount(source=alice.site.worker.root, place=EVERYTHING)]
    own = [f"{EVERYTHING}/{alice.target}{name}" for name in ("", "/token", "/credentials.json", "/env")]
    other = [f"{EVERYTHING}/{bob.target}{name}" for name in ("", "/token", "/credentials.json", "/env")]
    read_paths = [PYTHON, "/mnt/inside/read_paths.py", *own, *other]

    assert run_for_json(alice.command(*read_paths, mounts=everything)) == {
        **dict.fromkeys(own, "read"),
        **dict.fromkeys(other, "EACCES"),
    }
    assert run_for_json(bob.command(*read_paths, mounts=everything)) == {
        **dict.fromkeys(own, "EACCES"),
        **dict.fromkeys(other, "read"),
    }
    stranger = alice.runtime.command(*read_paths, uid=3333, mounts=everything, env_file=None)
    assert run_for_json(stranger) == dict.fromkeys([*own, *other], "EACCES")


def test_read_only_mount_cannot_be_changed(alice: Tenant) -> None:
    """A container that creates, writes, renames, links, removes or gives away files in its mount is always refused."""
    outcomes = run_for_json(alice.command(PYTHON, "/mnt/inside/tamper.py", CREDENTIALS))

    assert len(outcomes) == 14
    assert {name: outcome for name, outcome in outcomes.items() if outcome not in ("EROFS", "EACCES", "EPERM")} == {}


def test_damage_in_a_writable_mount_is_repaired(alice: Tenant) -> None:
    """Even a directory that is mounted writable accepts no new name; what its user does to his file is repaired."""
    mounts = [Mount(source=alice.directory, place=CREDENTIALS, is_writable=True)]
    before = len(alice.site.published(alice.target))

    outcomes = run_for_json(alice.command(PYTHON, "/mnt/inside/tamper.py", CREDENTIALS, mounts=mounts))

    done = [name for name, outcome in outcomes.items() if outcome == "done"]
    assert done == ["change the mode", "write after that"]
    until(lambda: (alice.directory / "token").read_text().count(".") == 2, what="a whole token again")
    until(lambda: len(alice.site.published(alice.target)) > before, what="a published token")
    assert (alice.directory / "token").stat().st_mode & 0o777 == 0o440
    assert sorted(path.name for path in alice.directory.iterdir()) == [".target", "credentials.json", "env", "token"]


@pytest.mark.timeout(240)
def test_two_users_side_by_side_act_as_themselves(alice: Tenant, bob: Tenant, request: pytest.FixtureRequest) -> None:
    """Two containers act through many tokens, with podman for about a minute: no call fails, none acts as the other."""
    tokens = 10 if "podman" in request.node.name else 3
    tenants = (alice, bob)
    act = [PYTHON, "/mnt/inside/act.py", alice.site.google.http, str(tokens)]

    with ExitStack() as containers:
        running = [containers.enter_context(start(tenant.command(*act))) for tenant in tenants]
        outputs = [container.communicate(timeout=200) for container in running]

    for tenant, container, (output, errors) in zip(tenants, running, outputs, strict=True):
        assert container.returncode == 0, errors
        calls = [json.loads(line) for line in output.splitlines()]
        assert len(calls) > tokens
        assert {(call.get("service_account"), call["project"], call.get("failed")) for call in calls} == {
            (account_of(tenant.target), "my-project", None)
        }
