"""Secrets and ConfigMaps as the kubelet mounts them, whose modes no one can choose: as keys and as drop-ins."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.program import COMMAND, ISSUER

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Need
    from tests.program import Worker


def fill_volume(volume: Path, files: Path, mode: int, *, file_mode: int = 0o400) -> Path:
    """Publish files as the kubelet does: in a folder of their own, behind the link `..data`."""
    version = volume / "..2026_1"
    version.mkdir(parents=True)
    version.chmod(0o755)
    (volume / "..data").symlink_to(version.name)
    for file in files.iterdir():
        shutil.copy(file, version)
        (version / file.name).chmod(file_mode)
        (volume / file.name).symlink_to(f"..data/{file.name}")
    volume.chmod(mode)
    return volume


def run_mounted(need: Need, volume: Path, seen: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a mount namespace of its own, in which the volume is mounted read-only."""
    need.root()
    unshare = need.tool("unshare", "apt install util-linux")
    seen.mkdir()
    script = f'mount --bind -o ro {volume} {seen} && exec "$@"'
    return subprocess.run(
        [unshare, "--mount", "sh", "-c", script, "sh", *COMMAND, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("mode", [0o1777, 0o777, 0o755])
def test_mounted_keys_are_used(worker: Worker, need: Need, mode: int) -> None:
    """Keys on a volume that is mounted read-only are used whatever the mode of its directory is."""
    volume = fill_volume(worker.place / "volume", worker.place / "keys", mode)

    done = run_mounted(need, volume, worker.place / "seen", "keys", "jwks", "--directory", str(worker.place / "seen"))

    assert done.returncode == 0, done.stderr
    assert '"kid"' in done.stdout


@pytest.mark.parametrize(("mode", "status"), [(0o1777, 0), (0o755, 0), (0o777, 2), (0o775, 2)])
def test_writable_volume_counts_if_no_other_user_can_replace_its_link(worker: Worker, mode: int, status: int) -> None:
    """Without a read-only mount the directory must be sticky or closed; the remedy is one that works in Kubernetes."""
    volume = fill_volume(worker.place / "volume", worker.place / "keys", mode)

    done = worker.run("keys", "jwks", "--directory", str(volume), status=status)

    assert ("readOnly: true" in done.stderr) is (status != 0)
    assert "chmod" not in done.stderr


def test_key_that_all_may_read_is_refused_with_the_volumes_own_setting(worker: Worker) -> None:
    """The kubelet's default mode opens the private keys to every user: the remedy is `defaultMode`."""
    volume = fill_volume(worker.place / "volume", worker.place / "keys", 0o1777, file_mode=0o644)

    done = worker.run("keys", "jwks", "--directory", str(volume), status=2)

    assert "can be read or written by others" in done.stderr
    assert "defaultMode" in done.stderr
    assert "chmod" not in done.stderr


def test_secret_file_and_main_file_have_the_same_remedy(worker: Worker) -> None:
    """A client's secret and the configuration itself are mounted too: chmod helps neither."""
    files = worker.place / "files"
    files.mkdir()
    (files / "secret").write_text("opensesame")
    (files / "refresher.yaml").write_text("version: 1\n")
    volume = fill_volume(worker.place / "volume", files, 0o755, file_mode=0o666)
    client = {"kind": "client_credentials", "issuer": ISSUER, "client_id": "c", "secret_file": str(volume / "secret")}
    document = worker.document("alice", suppliers={"client": {**client, "token_url": "https://127.0.0.1:9/token"}})
    worker.write(document)

    secret = worker.once(status=3).stderr
    main = worker.run("check", "--config", str(volume / "refresher.yaml"), status=2).stderr

    assert "readOnly: true" in secret
    assert "readOnly: true" in main
    assert "chmod" not in secret + main


@pytest.mark.parametrize("name", ["..data", "."])
def test_link_of_another_user_is_not_followed(worker: Worker, need: Need, name: str) -> None:
    """A user who owns the link, or the directory around it, can't make us follow it."""
    need.root()
    volume = fill_volume(worker.place / "volume", worker.place / "keys", 0o1777)
    os.chown(volume / name, 54_321, 54_321, follow_symlinks=False)

    worker.run("keys", "jwks", "--directory", str(volume), status=2)


@pytest.mark.parametrize(("mode", "is_mounted"), [(0o1777, False), (0o777, True)])
def test_mounted_drop_ins_are_targets(worker: Worker, need: Need, mode: int, *, is_mounted: bool) -> None:
    """Drop-ins of a ConfigMap are read, and its next version too."""
    files = worker.place / "files"
    files.mkdir()
    (files / "bob.yaml").write_text(yaml.safe_dump({"identity": "alice"}))
    volume = fill_volume(worker.place / "volume", files, mode, file_mode=0o644)
    seen = worker.place / "seen"
    document = worker.document("alice")
    worker.write({**document, "targets": {}, "targets_directory": str(seen if is_mounted else volume)})
    arguments = ("env", "bob", "--config", str(worker.configuration))

    done = run_mounted(need, volume, seen, *arguments) if is_mounted else worker.run(*arguments)

    assert done.returncode == 0, done.stderr
    assert f"{worker.directory('bob')}/credentials.json" in done.stdout


def test_writable_drop_ins_are_refused_with_a_remedy_for_kubernetes(worker: Worker) -> None:
    """A volume whose link any user could replace is refused, and chmod, which has no lasting effect, is not advised."""
    files = worker.place / "files"
    files.mkdir()
    volume = fill_volume(worker.place / "volume", files, 0o777)
    worker.write({**worker.document("alice"), "targets_directory": str(volume)})

    done = worker.command("check", status=2)

    assert "other users than its owner can write to it" in done.stderr
    assert "readOnly: true" in done.stderr
    assert "chmod" not in done.stderr


def test_next_version_of_a_volume_is_followed(worker: Worker) -> None:
    """A daemon takes a drop-in that a new version of the ConfigMap brings."""
    files = worker.place / "files"
    files.mkdir()
    volume = fill_volume(worker.place / "volume", files, 0o1777, file_mode=0o644)
    worker.write({**worker.document("alice"), "targets_directory": str(volume)})

    with worker.running("run") as log:
        log.wait_for("token.published", target="alice")
        new = volume / "..2026_2"
        new.mkdir(mode=0o755)
        (new / "bob.yaml").write_text(yaml.safe_dump({"identity": "alice"}))
        (volume / "..data_tmp").symlink_to(new.name)
        (volume / "..data_tmp").rename(volume / "..data")
        (volume / "bob.yaml").symlink_to("..data/bob.yaml")
        log.wait_for("token.published", target="bob")
