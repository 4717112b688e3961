"""Looks into a container by a process of its own, `refresher.doctor.inside`, and trusts nothing that it prints.

What the kernel itself shows of a process is read in `refresher.doctor.process`.
"""

import hashlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from refresher.doctor.network import PROXY, TRUST, find_route
from refresher.doctor.process import NAMESPACES, REPLACED, Process, read_variables
from refresher.doctor.sight import Sight, Thing, parse_reach, parse_thing
from refresher.errors import PublishError, UsageError
from refresher.files import UnsuitableFileError, read_regular
from refresher.observe.holders import Mount
from refresher.publishing.directory import read_record
from refresher.text import escape
from refresher.tokens import MAXIMUM_SIZE
from refresher.users import recommend_root

_INSIDE = Path(__file__).with_name("inside.py")

_SECONDS = 5.0
_LARGEST_OUTPUT = 64 * 1024
_MOST_NAMES = 100
_READS_EVERYTHING = 1 << 1 | 1 << 2
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH."""


def look(
    process: Process, *, container_directory: str, names: Iterable[str], variables: Mapping[str, str], sts: str | None
) -> Sight:
    """Return what a process sees of a credentials directory.

    Args:
        process: The process.
        container_directory: Where it should see the directory.
        names: The artifacts that the target has.
        variables: What `env` holds.
        sts: Origin of STS; None to connect to nothing.

    Raises:
        UsageError: It can't be entered.
    """
    names = list(names)[:_MOST_NAMES]
    everything = read_variables(process.pid, (*variables, *PROXY, *TRUST))
    held, trust = ({each: everything[each] for each in chosen if each in everything} for chosen in (variables, TRUST))
    route = find_route(sts, everything, is_own_network=bool(process.namespaces & NAMESPACES["net"]))
    values = sorted({value for value in (*held.values(), *trust.values()) if value.startswith("/")})
    paths = values[:_MOST_NAMES]
    is_root = os.geteuid() == 0
    request = {
        "uid": process.inner[0],
        "gid": process.inner[1],
        "groups": process.groups,
        "may_set_groups": is_root,
        "may_change_root": is_root or bool(process.namespaces & NAMESPACES["user"]),
        "namespaces": process.namespaces,
        "directory": container_directory,
        "names": names,
        "most": MAXIMUM_SIZE,
        "paths": paths,
        "google": route.addresses,
        "metadata": sts is not None,
    }
    mount = process.find_mount(container_directory)
    seen = Sight(
        uid=process.uid,
        gid=process.groups[0],
        is_privileged=bool(process.capabilities & _READS_EVERYTHING),
        variables=held,
        trust=trust,
        proxy=route.proxy,
        untried=route.reason,
        alone=tuple(
            name for name in names if process.find_mount(f"{container_directory.rstrip('/')}/{name}") is not None
        ),
        is_replaced=mount is not None and mount.root.endswith(REPLACED),
    )
    output = _run(request, process)
    if output is None:
        return replace(seen, is_hanging=True)
    return parse_output(output, seen, names, paths)


def _run(request: Mapping[str, object], process: Process) -> bytes | None:
    """Return what the process inside prints; None if it does not end in time."""
    command = [sys.executable, "-I", "-S", "-E", str(_INSIDE), str(process.pidfd), str(process.root)]
    deadline = time.monotonic() + _SECONDS
    try:
        child = subprocess.Popen(  # noqa: S603 - our own program
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=(process.pidfd, process.root),
            env={},
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        problem = f"the interpreter {sys.executable} cannot be started: {os.strerror(error.errno or 0)}"
        raise UsageError(problem, "install the interpreter again, or run this command with another one") from None
    output, has_ended = b"", False
    try:
        with suppress(BrokenPipeError):
            child.stdin.write(json.dumps(request).encode())  # type: ignore[union-attr]  # it is a pipe
            child.stdin.close()  # type: ignore[union-attr]
        pipe = child.stdout.fileno()  # type: ignore[union-attr]
        while (left := deadline - time.monotonic()) > 0 and len(output) <= _LARGEST_OUTPUT:
            if select.select([pipe], [], [], left)[0]:
                piece = os.read(pipe, _LARGEST_OUTPUT)
                output += piece
                if not piece:
                    has_ended = True
                    break
    finally:
        child.kill()
        with suppress(subprocess.TimeoutExpired):  # a file system that hangs may hold it even now
            child.wait(1.0)
        child.stdout.close()  # type: ignore[union-attr]
    return output if has_ended or len(output) > _LARGEST_OUTPUT else None


def parse_output(output: bytes, seen: Sight, names: list[str], paths: list[str]) -> Sight:
    """Return a sight with what the process inside printed; else it is a `UsageError`."""
    try:
        document = json.loads(output)
        if "failure" in document:
            problem = escape(str(document["failure"]))
            raise UsageError(f"the container can't be entered: {problem}", f"{recommend_root()}, on its host")
        files, seen_paths = document["files"], document["paths"]
        return replace(
            seen,
            directory=parse_thing(document["directory"]),
            files={name: parse_thing(files[name]) for name in names if name in files},
            paths={path: parse_thing(seen_paths[path]) for path in paths},
            metadata=parse_reach(document["metadata"]),
            google=parse_reach(document["google"]),
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        problem = "what looked into the container did not answer as it should"
        raise UsageError(
            problem, "look at the container's root file system: this is a container that interferes"
        ) from None


def describe_published(directory: Path, leading: str) -> tuple[Thing, str]:
    """Return what stands on the host at a credentials directory, and the SHA-256 of its leading file, if any."""
    try:
        status = directory.stat()
    except OSError:
        return Thing(kind="absent"), ""
    place = Thing(kind="directory", device=status.st_dev, inode=status.st_ino, links=status.st_nlink)
    try:
        content, _ = read_regular(directory / leading, most=MAXIMUM_SIZE, follow=False)
    except (OSError, UnsuitableFileError):
        return place, ""
    return place, hashlib.sha256(content).hexdigest()


def identify(found: Thing, mount: Mount | None, directories: Mapping[str, Path], root: Path) -> str:
    """Return the name of the target whose directory a container has, the present or a former one; empty if unknown.

    A directory that was moved within the root is known by its target record.

    Args:
        found: What stands at the place in the container.
        mount: What is mounted there.
        directories: The credentials directories of the targets, by name.
        root: Where they are.
    """
    for name, directory in directories.items():
        if _is_at(found, directory):
            return name
    if mount is None or not _is_at(found, place := root / mount.root.rpartition("/")[2]):
        return ""
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        record = read_record(descriptor, str(place))
    except PublishError:
        return ""
    finally:
        os.close(descriptor)
    return "" if record is None else record.target


def _is_at(found: Thing, directory: Path) -> bool:
    """Return whether what a container has is a directory of the host."""
    try:
        status = directory.lstat()
    except (OSError, ValueError):
        return False
    return found.kind == "directory" and (found.device, found.inode) == (status.st_dev, status.st_ino)
