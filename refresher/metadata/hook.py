"""`refresher-hook`: keeps a container from starting before its metadata endpoint answers (an OCI createRuntime hook).

The runtime calls it as root once the container's namespaces exist, and starts no process of the container if it fails
(https://github.com/opencontainers/runtime-spec/blob/main/config.md#posix-platform-hooks). It shows the container's
network namespace at ROOT/ID, and waits until the target whose drop-in names this path answers there. Whose
container it is, root's drop-in decides. Annotations, variables and the bundle, which a user may have chosen, are not
read. With --release, as a poststop hook, it removes the path again. Standard library only, since each start waits.
"""

import argparse
import ctypes
import json
import os
import re
import socket
import stat
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from refresher.metadata.namespaces import LOOPBACK, run_inside

_LARGEST_STATE = _LARGEST_DROP_IN = 1 << 20
_LARGEST_ANSWER = 65536
_SUFFIX = ".yaml"
_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,254}", re.ASCII)
_MS_BIND, _DETACH_NO_FOLLOW = 4096, 2 | 8
_POLL_SECONDS = 0.01
_ACCOUNT = "/computeMetadata/v1/instance/service-accounts/default"

_libc = ctypes.CDLL(None, use_errno=True)


class _FailureError(Exception):
    """Why the container must not start, and what to do."""


class State(NamedTuple):
    """What is used of the state of a container: its id, and the process with its namespaces, 0 once that has ended."""

    id: str
    pid: int


def read_state(text: bytes) -> State:
    """Return the state that a runtime writes to a hook; nothing but `id` and `pid` is looked at.

    Raises:
        _FailureError: It is not such a state.
    """
    try:
        match {"pid": 0} | json.loads(text):
            case {"id": str(name), "pid": int(pid)} if _ID.fullmatch(name) and 0 <= pid < 1 << 31:
                return State(name, pid)
    except (ValueError, TypeError, RecursionError):
        pass
    raise _FailureError("standard input is not the state of a container — call this as a hook of an OCI runtime")


def find_target(drop_ins: Path, path: Path) -> str:
    """Return the target whose drop-in of root's names a namespace.

    The files are not parsed: the daemon does that. One that has the path elsewhere, as in a comment, leads to a target
    that does not answer.

    Raises:
        _FailureError: No such drop-in exists.
    """
    wanted = re.compile(rb"(?:^|[\s\"'])" + re.escape(os.fsencode(path)) + rb"(?:$|[\s\"',}])")
    try:
        directory = os.open(drop_ins, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _check_owner(os.fstat(directory), drop_ins)
            with os.scandir(directory) as entries:
                for name in (each.name for each in entries if each.name.endswith(_SUFFIX)):
                    if not name.startswith(".") and wanted.search(_read(directory, name)):
                        _check_owner(os.stat(name, dir_fd=directory, follow_symlinks=False), drop_ins / name)
                        return name.removesuffix(_SUFFIX)
        finally:
            os.close(directory)
    except OSError as error:
        raise _FailureError(f"{drop_ins} can't be read: {error.strerror} — check --drop-ins of the hook") from error
    raise _FailureError(f"no drop-in in {drop_ins} is for it — run refresher targets add NAME --netns {path} as root")


def _check_owner(found: os.stat_result, path: Path) -> None:
    if found.st_uid != 0 or found.st_mode & 0o022:
        raise _FailureError(f"others than root can change {path} — run chown root {path} and chmod go-w {path}")


def _read(directory: int, name: str) -> bytes:
    with suppress(OSError):  # it may be gone, or a link
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
        with os.fdopen(descriptor, "rb") as file:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return file.read(_LARGEST_DROP_IN)
    return b""


def open_namespace(pid: int) -> int:
    """Return a descriptor of the network namespace of a container's process.

    Raises:
        _FailureError: It has ended, or has the host's namespace.
    """
    try:
        namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
        if os.path.samestat(os.fstat(namespace), os.stat("/proc/self/ns/net")):  # noqa: PTH116
            raise _FailureError("it has the host's network namespace — start it with a network namespace of its own")
    except OSError as error:
        raise _FailureError(f"process {pid} has no network namespace: {error.strerror} — start it again") from error
    return namespace


def expose(namespace: int, path: Path) -> None:
    """Show a namespace at a path below a directory of root's.

    Another namespace that is shown there may be that of a container that runs, under an id that was given twice. So
    that is not replaced: the target would move to the other container.

    Raises:
        _FailureError: It can't be shown there.
    """
    try:
        path.parent.mkdir(mode=0o755, exist_ok=True)
        _check_owner(path.parent.stat(), path.parent)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDONLY, 0))
        if _libc.mount(f"/proc/self/fd/{namespace}".encode(), os.fsencode(path), None, _MS_BIND, None) != 0:
            path.unlink()
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))  # noqa: TRY301 - one way for all
    except FileExistsError as error:
        remedy = f"if no container of this id runs, run umount {path} and rm {path}"
        raise _FailureError(f"{path} is left from another container — {remedy}") from error
    except OSError as error:
        raise _FailureError(f"{path} can't be created: {error.strerror} — run this as root on the host") from error


def release(path: Path) -> None:
    """Remove the path of a namespace if it is there; the namespace ends with its last process."""
    _libc.umount2(os.fsencode(path), _DETACH_NO_FOLLOW)
    with suppress(FileNotFoundError):
        path.unlink()


def wait_for_endpoint(target: str, port: int, deadline: float) -> None:
    """Return when the thread's namespace has the endpoint of a target, and a token is served there.

    Raises:
        _FailureError: It has not at the deadline, in seconds of the monotonic clock; or it has another target's.
    """
    problem = "no connection was possible"
    while time.monotonic() < deadline:
        try:
            _, name = _ask("/computeMetadata/v1/instance/name", port, deadline)
            if name.strip() != target:
                raise _FailureError(f"another program than target {target} answers at port {port} — end it")
            status, text = _ask(f"{_ACCOUNT}/token", port, deadline)
            if status == 200:  # noqa: PLR2004 - OK
                return
            problem = f"it answered {status}: {text.strip()[:300]}"
        except OSError as error:
            problem = str(error.strerror or error)
        time.sleep(_POLL_SECONDS)
    raise _FailureError(
        f"the endpoint of target {target} did not answer at {LOOPBACK}:{port} in time: {problem} — "
        f"run refresher status, and look for metadata.closed of {target} in the log of refresher"
    )


def _ask(path: str, port: int, deadline: float) -> tuple[int, str]:
    """Return status and body of a response, with HTTP/1.0: its end is the end of the connection."""
    response = b""
    with socket.create_connection((LOOPBACK, port), _seconds_until(deadline)) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: {LOOPBACK}\r\nMetadata-Flavor: Google\r\n\r\n".encode())
        while len(response) < _LARGEST_ANSWER:
            connection.settimeout(_seconds_until(deadline))
            if not (received := connection.recv(_LARGEST_ANSWER)):
                break
            response += received
    found = re.match(rb"HTTP/1\.[01] ([1-5][0-9][0-9]) ", response)
    return (int(found[1]) if found else 0), response.partition(b"\r\n\r\n")[2].decode("latin-1")


def _seconds_until(deadline: float) -> float:
    return max(deadline - time.monotonic(), _POLL_SECONDS)


def _work(options: argparse.Namespace) -> None:
    state = read_state(sys.stdin.buffer.read(_LARGEST_STATE))
    path = options.root / state.id
    if options.release:
        release(path)
        return
    deadline = time.monotonic() + options.timeout
    try:
        target = find_target(options.drop_ins, path)
        namespace = open_namespace(state.pid)
        expose(namespace, path)
        try:
            run_inside(namespace, partial(wait_for_endpoint, target, options.port, deadline))
        except BaseException:
            release(path)
            raise
    except (_FailureError, OSError) as error:
        raise _FailureError(f"container {state.id} is not started: {error}") from error


def main() -> None:
    """Run the program; exit with 1 and one sentence if the container must not start."""
    parser = argparse.ArgumentParser(
        prog="refresher-hook", description="Waits for the metadata endpoint of a container."
    )
    parser.add_argument("--release", action="store_true", help="Remove the namespace's path: as a poststop hook.")
    parser.add_argument("--drop-ins", type=Path, default="/etc/refresher/targets.d", help="The directory of drop-ins.")
    parser.add_argument("--root", type=Path, default="/run/refresher-hook", help="Namespaces are shown at ROOT/ID.")
    parser.add_argument("--port", type=int, default=8174, help="The port of the target's metadata endpoint.")
    parser.add_argument("--timeout", type=float, default=20.0, help="How long to wait, in seconds.")
    try:
        _work(parser.parse_args())
    except _FailureError as error:
        sys.exit(f"refresher-hook: {error}")


if __name__ == "__main__":
    main()
