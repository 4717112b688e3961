"""The process that looks into a container in its user's place; run as a program by `refresher.doctor.container`.

A container's user is hostile: what he left at a path, in a mount or in a name service of the image must gain nothing.
So this process is freshly executed (`python -I -S -E FILE`) with an empty environment and holds no key; its imports,
of the standard library alone, are finished before it enters. Then, in this order: (1) read the request from standard
input, (2) no core dump, no ptrace, no new privileges, (3) the container user's groups, while they can still be set,
(4) enter the namespaces by pidfd (not the pid namespace: no process of the container sees this one) and the root
directory, (5) become its user, give up every capability, (6) close all descriptors but standard output, (7) look.
After (4) nothing is imported or executed, and no name service of libc is asked. Regular files alone are read, opened
without blocking. What it prints is hostile to its reader all the same, and the reader ends it after five seconds.

See setns(2), capabilities(7), prctl(2), `PR_SET_DUMPABLE` in ptrace(2).
"""

import ctypes
import errno
import hashlib
import json
import os
import select
import socket
import stat
import sys

_SET_DUMPABLE, _CAPBSET_DROP, _SET_NO_NEW_PRIVS, _CAP_AMBIENT, _AMBIENT_CLEAR_ALL = 4, 24, 38, 47, 4
_CAPABILITY_VERSION = 0x20080522
_LAST_CAPABILITY = 63
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_METADATA = ("169.254.169.254", 80)
_CONNECT_SECONDS = 1.0
_MOST_DESCRIPTORS = 1024

_libc = ctypes.CDLL(None, use_errno=True)
hashlib.sha256(b"")  # OpenSSL reads its configuration at the first use: the host's, not a file of the container's


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def enter(request: dict[str, object], pidfd: int, root: int) -> None:
    """Become the container's user in its namespaces, for good: steps (2) to (6) of the module.

    Raises:
        OSError: The system refuses a step.
    """
    _check(_libc.prctl(_SET_DUMPABLE, 0, 0, 0, 0), "not dumpable")
    _check(_libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")
    groups, gid, uid = request["groups"], int(str(request["gid"])), int(str(request["uid"]))
    if request["may_set_groups"]:
        os.setgroups([int(group) for group in groups] if isinstance(groups, list) else [])
    flags = int(str(request["namespaces"]))
    if flags:
        _check(_libc.setns(pidfd, flags), "entering the namespaces")
    if request["may_change_root"]:
        os.fchdir(root)
        os.chroot(".")
    os.chdir("/")
    for capability in range(_LAST_CAPABILITY + 1):
        _libc.prctl(_CAPBSET_DROP, capability, 0, 0, 0)  # unknown ones, and all without CAP_SETPCAP, are refused
    _libc.prctl(_CAP_AMBIENT, _AMBIENT_CLEAR_ALL, 0, 0, 0)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    _check(_libc.capset(header, (ctypes.c_uint32 * 6)()), "giving up capabilities")
    _check(_libc.prctl(_SET_DUMPABLE, 0, 0, 0, 0), "not dumpable")  # a change of ids may have set it again
    os.closerange(2, max(_MOST_DESCRIPTORS, pidfd + 1, root + 1))
    os.close(0)


def look_at(path: str, *, directory: int | None = None, most: int = 0) -> list[object]:
    """Return what stands at a path: kind, device, inode, number of names, and of a regular file its SHA-256.

    The names are those of `refresher.doctor.sight`. Of a file larger than `most` bytes nothing is read; 0 reads none.
    """
    flags = _OPEN if most else os.O_PATH | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags | (os.O_NOFOLLOW if directory is not None else 0), dir_fd=directory)
    except OSError as error:
        kinds = {errno.ENOENT: "absent", errno.ENOTDIR: "absent", errno.EACCES: "denied", errno.EPERM: "denied"}
        kinds |= {errno.ELOOP: "other", errno.ENXIO: "other"}
        return [kinds.get(error.errno or 0, "error"), 0, 0, 0, ""]
    try:
        status = os.fstat(descriptor)
        kind, digest = "other", ""
        if stat.S_ISDIR(status.st_mode):
            kind = "directory"
        elif stat.S_ISREG(status.st_mode):
            kind = "file" if status.st_size <= most or not most else "large"
            if kind == "file" and most:
                content = os.read(descriptor, most)
                digest = hashlib.sha256(content).hexdigest()
    except OSError:
        return ["error", 0, 0, 0, ""]
    else:
        return [kind, status.st_dev, status.st_ino, status.st_nlink, digest]
    finally:
        os.close(descriptor)


def try_to_reach(address: tuple[str, int]) -> str:
    """Return whether a numeric address accepts a TCP connection; nothing is sent."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as peer:
            started = peer.connect_ex(address)
            if started not in (0, errno.EINPROGRESS):
                return "closed"
            if not select.select([], [peer], [], _CONNECT_SECONDS)[1]:
                return "silent"
            return "open" if peer.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0 else "closed"
    except OSError:
        return "closed"


def look(request: dict[str, object]) -> dict[str, object]:
    """Return what the request asks for: the directory, files in it, further paths, and addresses."""
    place, most = str(request["directory"]), int(str(request["most"]))
    names, paths = request["names"], request["paths"]
    found: dict[str, object] = {"directory": look_at(place)}
    files: dict[str, object] = {}
    try:
        directory = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        pass
    else:
        for name in names if isinstance(names, list) else ():
            # with a folder the name may lead through a link, which is followed inside the container's root alone
            files[str(name)] = look_at(str(name), directory=directory, most=most)
        os.close(directory)
    found["files"] = files
    found["paths"] = {str(path): look_at(str(path)) for path in paths} if isinstance(paths, list) else {}
    google = request["google"]
    found["google"] = "unknown"
    if isinstance(google, list) and google:
        reached = [try_to_reach((str(host), int(port))) for host, port in google]
        found["google"] = "open" if "open" in reached else reached[0]
    found["metadata"] = try_to_reach(_METADATA) if request["metadata"] else "unknown"
    return found


def main() -> None:
    """Do what standard input asks for, as JSON, and print what is found, as JSON."""
    request = json.loads(sys.stdin.buffer.read())
    try:
        enter(request, int(sys.argv[1]), int(sys.argv[2]))
        found = look(request)
    except OSError as error:
        found = {"failure": f"{error.args[-1]}"}
    os.write(1, json.dumps(found).encode("ascii"))


if __name__ == "__main__":
    status = 1
    try:
        main()
        status = 0
    finally:
        os._exit(status)  # a traceback would quote a file of the container's, and the interpreter's end would run in it
