"""`refresher-netns`: opens listeners in the network namespaces of containers, and hands them to the daemon.

The daemon calls the internet and answers containers, so it has no capabilities. This program has CAP_SYS_ADMIN,
CAP_NET_ADMIN and CAP_NET_BIND_SERVICE, reads nothing from the network, and assumes that the daemon has been taken over:

1. it answers one user alone, the daemon's (SO_PEERCRED);
2. the directories in which namespaces may lie come from a file of root's own, not from the daemon;
3. it opens the path itself, and refuses the host's namespace and one that another target has.

It keeps a duplicate of each socket, so that clients wait in the kernel while the daemon restarts. A namespace is known
by a descriptor that is held. When a path names it no more, all that keeps it alive is closed. Standard library only.
"""

import argparse
import json
import os
import pwd
import socket
import stat
import struct
import sys
import time
from contextlib import ExitStack, suppress
from typing import NamedTuple

from refresher.metadata.namespaces import RefusedError, open_listeners, open_namespace, run_inside, wait_for_input
from refresher.metadata.plan import HELPER_SOCKET, Wanted

LARGEST_MESSAGE = 4096
_LEAST_PORT, _LARGEST_PORT = 1024, 65535
_SWEEP_SECONDS = 1.0


class Holding(NamedTuple):
    """What is held for a target: `namespace` keeps it alive, so that no other has the numbers in `found`."""

    wanted: Wanted
    namespace: int
    found: os.stat_result
    sockets: tuple[socket.socket, ...]
    asked_by: int

    def is_in_place(self) -> bool:
        """Return whether its path still names it."""
        try:
            return os.path.samestat(self.found, os.stat(self.wanted.netns, follow_symlinks=False))  # noqa: PTH116
        except OSError:
            return False

    def close(self) -> None:
        """Close everything that keeps the namespace alive."""
        os.close(self.namespace)
        for each in self.sockets:
            each.close()


def read_roots(path: str) -> tuple[str, ...]:
    """Return the directories below which namespaces may lie, one a line of a file that root alone may write to."""
    with open(path, opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW)) as file:
        found = os.fstat(file.fileno())
        if found.st_uid != 0 or found.st_mode & 0o022 or not stat.S_ISREG(found.st_mode):
            raise SystemExit(f"{path} must be a file of root's that no one else can write to")
        lines = [line.strip() for line in file]
    roots = tuple(line for line in lines if line and not line.startswith("#"))
    if not roots or any(os.path.normpath(root) != root or not root.startswith("/") for root in roots):
        raise SystemExit(f"{path} must have one absolute path a line, without . and ..")
    return roots


class Helper:
    """What is held, and what one message of the daemon asks to do with it."""

    def __init__(self, roots: tuple[str, ...]) -> None:
        self._roots = roots
        self.held: dict[str, Holding] = {}

    def serve(self, message: bytes, asked_by: int) -> tuple[dict[str, object], tuple[socket.socket, ...]]:
        """Return the answer to a message of a connection, and the sockets that go with it."""
        try:
            match json.loads(message):
                case {"open": str(target), "netns": str(path), "port": int(port), "link_local": bool(link_local)}:
                    return {"opened": target}, self._open(target, Wanted(path, port, link_local), asked_by)
                case {"close": str(target)}:
                    self._drop([target])
                case {"settle": True}:  # what an earlier daemon wanted, and this one does not
                    self._drop([name for name, each in self.held.items() if each.asked_by != asked_by])
                case _:
                    return {"kind": "refused", "problem": "unknown message", "remedy": "use one version of both"}, ()
        except RefusedError as refused:
            return {"kind": refused.kind, "problem": refused.problem, "remedy": refused.remedy}, ()
        except (OSError, ValueError, RecursionError) as error:  # a message may be anything
            remedy = "check the capabilities in its unit"
            return {"kind": "refused", "problem": f"refresher-netns failed: {error}", "remedy": remedy}, ()
        return {"done": True}, ()

    def drop_gone(self) -> list[str]:
        """Close what is held in namespaces that their paths name no more, and return their targets."""
        return self._drop([name for name, each in self.held.items() if not each.is_in_place()])

    def _open(self, target: str, wanted: Wanted, asked_by: int) -> tuple[socket.socket, ...]:
        if not _LEAST_PORT <= wanted.port <= _LARGEST_PORT:
            raise RefusedError("refused", f"port {wanted.port} is for root's programs", "choose one from 1024 on")
        with ExitStack() as undo:
            namespace = open_namespace(wanted.netns, self._roots)
            undo.callback(os.close, namespace)
            found, former = os.fstat(namespace), self.held.get(target)
            if former is not None and former.wanted == wanted and os.path.samestat(former.found, found):
                self.held[target] = former._replace(asked_by=asked_by)
                return former.sockets
            self._drop([target])
            other = next((name for name, each in self.held.items() if os.path.samestat(each.found, found)), None)
            if other is not None:
                problem = f"{wanted.netns} is the namespace of target {other}"
                raise RefusedError("refused", problem, "use one namespace for each target")
            sockets = run_inside(namespace, lambda: open_listeners(wanted))
            self.held[target] = Holding(wanted, namespace, found, sockets, asked_by)
            undo.pop_all()
        return sockets

    def _drop(self, targets: list[str]) -> list[str]:
        for target in targets:
            if target in self.held:
                self.held.pop(target).close()
        return targets


def serve(helper: Helper, server: socket.socket, user: int) -> None:
    """Serve the connections of one user, the newest of them, for ever."""
    connection: socket.socket | None = None
    number, swept = 0, 0.0
    while True:
        watched = (server,) if connection is None else (server, connection)
        ready = wait_for_input([each.fileno() for each in watched], _SWEEP_SECONDS)
        if connection is not None and connection.fileno() in ready and not _answer(helper, connection, number):
            connection.close()
            connection = None
        if server.fileno() in ready:
            accepted, _ = server.accept()
            accepted.settimeout(_SWEEP_SECONDS)
            if struct.unpack("iII", accepted.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1] != user:
                accepted.close()
            else:
                if connection is not None:
                    connection.close()
                connection, number = accepted, number + 1
        if time.monotonic() - swept >= _SWEEP_SECONDS:
            swept = time.monotonic()
            for target in helper.drop_gone():
                if connection is not None:
                    with suppress(OSError):
                        connection.send(json.dumps({"gone": target}).encode())


def _answer(helper: Helper, connection: socket.socket, number: int) -> bool:
    try:
        message = connection.recv(LARGEST_MESSAGE)
        if message:
            answer, sockets = helper.serve(message, number)
            socket.send_fds(connection, [json.dumps(answer).encode()], [each.fileno() for each in sockets])
    except OSError:
        return False
    return bool(message)


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(prog="refresher-netns", description="Opens listeners in network namespaces.")
    parser.add_argument("--user", required=True, help="The daemon's user, a name or a uid: the only one to be served.")
    parser.add_argument("--roots", default="/etc/refresher/netns-roots", help="File of root's: one directory a line.")
    parser.add_argument("--socket", default=HELPER_SOCKET, help="Where the daemon connects.")
    options = parser.parse_args()
    user = int(options.user) if options.user.isdecimal() else pwd.getpwnam(options.user).pw_uid
    helper = Helper(read_roots(options.roots))
    os.umask(0o117)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        with suppress(FileNotFoundError):
            os.unlink(options.socket)  # noqa: PTH108
        server.bind(options.socket)
        server.listen()
        sys.stderr.write(f"refresher-netns: serves uid {user} at {options.socket}\n")
        serve(helper, server, user)


if __name__ == "__main__":
    main()
