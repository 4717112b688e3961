"""What is known of containers before and after they are looked into: ids, names, and output that may be hostile."""

import json
import os
import stat
from pathlib import Path

import pytest

from refresher.doctor.container import identify, parse_output
from refresher.doctor.engines import find_process
from refresher.doctor.process import map_id, open_process, read_variables
from refresher.doctor.sight import Sight, Thing, parse_reach, parse_thing
from refresher.errors import UsageError
from refresher.observe.holders import Mount
from refresher.publishing.artifacts import RECORD
from refresher.publishing.directory import TargetRecord

GOOD = {
    "directory": ["directory", 1, 2, 2, ""],
    "files": {"token": ["file", 1, 3, 1, "ab" * 32]},
    "paths": {"/a": ["absent", 0, 0, 0, ""]},
    "metadata": "closed",
    "google": "open",
}


def test_output_of_what_looked_is_read() -> None:
    """Well-formed output becomes what the container sees, of the names that were asked for alone."""
    output = json.dumps({**GOOD, "files": {**GOOD["files"], "more": 1}})  # type: ignore[dict-item]  # a table of JSON

    found = parse_output(output.encode(), Sight(), ["token"], ["/a"])

    assert found.directory.kind == "directory"
    assert list(found.files) == ["token"]
    assert found.paths["/a"].kind == "absent"


@pytest.mark.parametrize(
    "output",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"[" * 60_000,
        b"\xff",
        json.dumps({**GOOD, "directory": ["directory", 1, 2]}).encode(),
        json.dumps({**GOOD, "directory": ["palace", 1, 2, 2, ""]}).encode(),
        json.dumps({**GOOD, "directory": ["directory", True, 2, 2, ""]}).encode(),
        json.dumps({**GOOD, "directory": ["file", 1, 2, 2, "../../etc/passwd"]}).encode(),
        json.dumps({**GOOD, "metadata": {"open": 1}}).encode(),
        json.dumps({**GOOD, "paths": []}).encode(),
        json.dumps({name: value for name, value in GOOD.items() if name != "google"}).encode(),
        b'{"failure": 9' + b"9" * 5000 + b"}",
    ],
)
def test_hostile_output_is_refused(output: bytes) -> None:
    """Whatever else is printed is one error, and nothing of it is shown."""
    with pytest.raises(UsageError, match="did not answer as it should"):
        parse_output(output, Sight(), ["token"], ["/a"])


def test_failure_inside_is_shown_without_control_characters() -> None:
    """Why a container could not be entered is shown on one line of bounded length."""
    output = json.dumps({"failure": "no\x1b[31m\nway" + "x" * 1000}).encode()

    with pytest.raises(UsageError) as caught:
        parse_output(output, Sight(), [], [])

    assert caught.value.problem.isprintable()
    assert len(caught.value.problem) < 400


@pytest.mark.parametrize("value", [None, 1, "open ", ["open"], "OPEN"])
def test_only_known_words_are_read(value: object) -> None:
    """A word that is not one of the few is refused, and so is what has another shape."""
    with pytest.raises(ValueError, match="not a reach"):
        parse_reach(value)
    with pytest.raises(ValueError, match="not a thing"):
        parse_thing(value)


@pytest.mark.parametrize(("outer", "inner"), [(100_000, 0), (101_042, 1042), (5, 70_000)])
def test_ids_are_mapped_into_the_user_namespace(outer: int, inner: int) -> None:
    """An id of the host is what the namespace's table makes of it."""
    assert map_id(b"         0     100000      65536\n     70000          5          1\n", outer) == inner


def test_unmapped_id_is_refused() -> None:
    """An id that the container does not have can't be taken on."""
    with pytest.raises(ValueError, match="no mapping"):
        map_id(b"0 100000 65536\n", 0)


def test_own_process_can_be_opened() -> None:
    """A process of the same user and namespaces needs no entering."""
    with open_process(os.getpid()) as process:
        assert (process.namespaces, process.uid, process.inner[0]) == (0, os.geteuid(), os.geteuid())
        assert stat.S_ISDIR(os.fstat(process.root).st_mode)


def test_absent_process_is_an_error() -> None:
    """A process id that is not in use is an error with a remedy."""
    with pytest.raises(UsageError, match="there is no process 4194304"), open_process(4_194_304):
        pass


def test_only_named_variables_are_read() -> None:
    """Of all variables of a process only those that were named are returned."""
    found = read_variables(os.getpid(), ["PATH", "ABSENT"])

    assert found.keys() <= {"PATH"}


@pytest.mark.parametrize("name", ["", "-x", "a b", "../x", "a" * 300, "x;y", "--format={{json .}}"])
def test_name_of_a_container_can_not_be_an_option(name: str) -> None:
    """What is not a name of a container is never handed to an engine."""
    with pytest.raises(UsageError, match="not the name or id of a container"):
        find_process(name, engines=[])


def write_engine(place: Path, name: str, script: str) -> str:
    """Write a program in the place of an engine; return its path."""
    path = place / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_container_is_found_by_the_engine_that_runs_it(tmp_path: Path) -> None:
    """The engine is asked with one list of arguments, and its process id is returned."""
    first = write_engine(tmp_path, "podman", "echo no such container >&2; exit 1")
    second = write_engine(tmp_path, "docker", f'echo "$@" > {tmp_path}/asked; echo 4711')

    assert find_process("box", engines=[first, second]) == 4711
    assert (tmp_path / "asked").read_text() == "container inspect --format {{.State.Pid}} box\n"


@pytest.mark.parametrize("script", ["echo 0", "echo", "echo x", "echo 1; echo 2", "exit 1", "yes | head -c 100000"])
def test_container_that_does_not_run_is_an_error(tmp_path: Path, script: str) -> None:
    """A container that has ended, or an engine that answers anything else, is an error with a remedy."""
    engine = write_engine(tmp_path, "podman", script)

    with pytest.raises(UsageError, match="no running container is called box"):
        find_process("box", engines=[engine])


def test_name_that_two_engines_run_is_an_error(tmp_path: Path) -> None:
    """Where two engines run a container of one name, --pid must be used."""
    engines = [write_engine(tmp_path, name, f"echo {pid}") for name, pid in (("podman", 1), ("docker", 2))]

    with pytest.raises(UsageError, match="both run a container called box"):
        find_process("box", engines=engines)


def describe(directory: Path) -> Thing:
    """Return what a container reports of a directory."""
    status = directory.stat()
    return Thing(kind="directory", device=status.st_dev, inode=status.st_ino, links=status.st_nlink)


def test_directory_in_a_container_is_known_by_its_target(tmp_path: Path) -> None:
    """Another target's directory, and one that was moved within the root, are known; a copy elsewhere is not."""
    root, copy = tmp_path / "run", tmp_path / "copy"
    for place in (root / "alice", root / "bob", root / "alice.old", root / "plain", copy):
        place.mkdir(parents=True)
    for place in (root / "alice.old", copy):
        (place / RECORD).write_bytes(TargetRecord("alice", "alice", "0" * 32).render())
    directories = {name: root / name for name in ("alice", "bob")}

    found = {
        place.name: identify(describe(place), Mount("0:9", f"/x/{place.name}", "/c"), directories, root)
        for place in (root / "alice", root / "bob", root / "alice.old", root / "plain", copy)
    }

    assert found == {"alice": "alice", "bob": "bob", "alice.old": "alice", "plain": "", "copy": ""}
    assert identify(describe(root / "bob"), None, directories, root) == "bob"
    assert identify(Thing(kind="absent"), Mount("0:9", "/x/alice", "/c"), directories, root) == ""
