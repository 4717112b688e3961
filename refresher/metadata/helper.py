"""`refresher-netns`: opens listeners in the network namespaces of containers, and hands them to the daemon.

The daemon calls the internet and answers containers, so it has no capabilities. This program has three, and assumes
that the daemon has been taken over: it answers the daemon's user alone (SO_PEERCRED); a file of root's lists where
namespaces may lie; it opens the path itself, and refuses the host's namespace and another target's. It keeps each
socket, so that clients wait while the daemon restarts, and closes it once the path names the namespace no more.
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
from refresher.metadata.wanted import HELPER_SOCKET, Wanted

LARGEST_MESSAGE = 16384
_LEAST_PORT, _LARGEST_PORT = 1024, 65535
_SWEEP_SECONDS = 1.0


class Holding(NamedTuple):
    """What is held for a target: `namespace` keeps it alive, so that no other has the numbers in `found`."""

    wanted: Wanted
    namespace: int
    found: tuple[int, int]
    sockets: tuple[socket.socket, ...]
    asked_by: int
    note: str = ""  # the daemon's, for after its restart; it is not looked at

    def is_in_place(self) -> bool:
        """Return whether its path still names it."""
        with suppress(OSError):
            return self.found == _identify(os.stat(self.wanted.netns, follow_symlinks=False))  # noqa: PTH116
        return False

    def close(self) -> None:
        """Close everything that keeps the namespace alive."""
        os.close(self.namespace)
        for each in self.sockets:
            each.close()


def _identify(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def read_roots(path: str) -> tuple[str, ...]:
    """Return the directories below which namespaces may lie, one a line of a file that root alone may write to."""
    with open(path, opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW)) as file:
        found = os.fstat(file.fileno())
        if found.st_uid != 0 or found.st_mode & 0o022 or not stat.S_ISREG(found.st_mode):
            raise SystemExit(f"{path} must be a file of root's that no one else can write to")
        roots = tuple(root for line in file if (root := line.strip()) and not root.startswith("#"))
    if not roots or any(os.path.normpath(root) != root or not root.startswith("/") for root in roots):
        raise SystemExit(f"{path} must have one absolute path a line, without . and ..")
    return roots


class Helper:
    """What is held, and what one message of the daemon asks to do with it."""

    def __init__(self, roots: tuple[str, ...]) -> None:
        self._roots = roots
        self.held: dict[str, Holding] = {}
        self._owners: dict[tuple[int, int], str] = {}

    def serve(self, message: bytes, asked_by: int) -> tuple[dict[str, object], tuple[socket.socket, ...]]:
        """Return the answer to a message of a connection, and the sockets that go with it."""
        try:
            match json.loads(message):
                case {"open": str(target), "netns": str(path), "port": int(port), "link_local": bool(link_local)}:
                    sockets = self._open(target, Wanted(path, port, link_local), asked_by)
                    return {"opened": target, "note": self.held[target].note}, sockets
                case {"keep": str(target), "note": str(note)}:
                    if target in self.held:
                        self.held[target] = self.held[target]._replace(note=note)
                case {"close": str(target)}:
                    self._drop([target])
                case {"settle": True}:  # what an earlier daemon wanted, and this one does not
                    self._drop([name for name, each in self.held.items() if each.asked_by != asked_by])
                case _:
                    raise RefusedError("refused", "unknown message", "use one version of both")  # noqa: TRY301
        except RefusedError as refused:
            return {"kind": refused.kind, "problem": refused.problem, "remedy": refused.remedy}, ()
        except (OSError, ValueError, RecursionError) as error:  # a message may be anything
            problem, remedy = f"refresher-netns failed: {error}", "check the capabilities in its unit"
            return {"kind": "refused", "problem": problem, "remedy": remedy}, ()
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
            found, former = _identify(os.fstat(namespace)), self.held.get(target)
            if former is not None and former.wanted == wanted and former.found == found:
                self.held[target] = former._replace(asked_by=asked_by)
                return former.sockets
            self._drop([target])
            if (other := self._owners.get(found)) is not None:
                problem = f"{wanted.netns} is the namespace of target {other}"
                raise RefusedError("refused", problem, "use one namespace for each target")
            sockets = run_inside(namespace, lambda: open_listeners(wanted))
            self.held[target], self._owners[found] = Holding(wanted, namespace, found, sockets, asked_by), target
            undo.pop_all()
        return sockets

    def _drop(self, targets: list[str]) -> list[str]:
        for former in filter(None, [self.held.pop(target, None) for target in targets]):
            del self._owners[former.found]
            former.close()
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
            is_ours = struct.unpack("iII", accepted.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1] == user
            if (unwanted := connection if is_ours else accepted) is not None:  # the newest connection is served
                unwanted.close()
            connection, number = (accepted, number + 1) if is_ours else (connection, number)
        if time.monotonic() - swept >= _SWEEP_SECONDS:
            swept = time.monotonic()
            for target in helper.drop_gone():
                if connection is not None:
                    with suppress(OSError):
                        connection.send(json.dumps({"gone": target}).encode())


def _answer(helper: Helper, connection: socket.socket, number: int) -> bool:
    with suppress(OSError):
        if message := connection.recv(LARGEST_MESSAGE):
            answer, sockets = helper.serve(message, number)
            socket.send_fds(connection, [json.dumps(answer).encode()], [each.fileno() for each in sockets])
            return True
    return False


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    purpose = "Opens metadata endpoints in network namespaces of containers, and hands them to the daemon."
    parser = argparse.ArgumentParser(prog="refresher-netns", description=purpose)
    parser.add_argument("--user", required=True, help="The daemon's user, a name or a uid: no other gets an answer.")
    roots = "The file of root's that lists the directories of namespaces, one a line."
    parser.add_argument("--roots", default="/etc/refresher/netns-roots", help=roots)
    parser.add_argument("--socket", default=HELPER_SOCKET, help="The path of the socket on which the daemon asks.")
    return parser


def main() -> None:
    """Run the program."""
    options = build_parser().parse_args()
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
