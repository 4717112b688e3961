"""Network namespaces below a directory, as `ip netns add` makes them, and a `refresher-netns` that may enter them."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from refresher.metadata.namespaces import LOOPBACK, run_inside
from refresher.metadata.opener import HelperOpener


@dataclass
class NamespaceSite:
    """A directory of namespaces, and a helper that may enter those in it."""

    root: Path
    socket: Path
    stack: ExitStack
    process: subprocess.Popen[bytes] | None = None

    def start(self, *, user: int = 0, prefix: Sequence[str] = ()) -> None:
        """Start the helper, with a command in front of it, and wait until it accepts."""
        roots = self.root.parent / "roots"
        roots.write_text(f"# namespaces\n{self.root}\n")
        roots.chmod(0o644)
        arguments = ["--user", str(user), "--roots", str(roots), "--socket", str(self.socket)]
        command = [*prefix, sys.executable, "-m", "refresher.metadata.helper", *arguments]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE)
        self.stack.callback(self.stop)
        assert self.process.stderr is not None
        assert b"serves uid" in self.process.stderr.readline()

    def stop(self) -> None:
        """End the helper."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            if self.process.stderr is not None:
                self.process.stderr.close()

    def connect(self) -> HelperOpener:
        """Return the daemon's side of a connection."""
        opener = HelperOpener(self.socket)
        self.stack.callback(opener.disconnect)
        opener.connect()
        return opener

    def make(self, name: str) -> Path:
        """Return the path of a new network namespace, as `ip netns add` makes one."""
        path = self.root / name
        path.touch()
        holder = subprocess.Popen(["unshare", "--net", "sleep", "60"])
        try:
            own, others = Path("/proc/self/ns/net"), Path(f"/proc/{holder.pid}/ns/net")
            wait_until(lambda: not own.samefile(others))
            subprocess.run(["mount", "--bind", f"/proc/{holder.pid}/ns/net", str(path)], check=True)
        finally:
            holder.kill()
            holder.wait()
        self.stack.callback(self.remove, name)
        return path

    def remove(self, name: str) -> None:
        """Remove a namespace that is there still, as `ip netns del` does."""
        path = self.root / name
        subprocess.run(["umount", "--lazy", str(path)], check=False, stderr=subprocess.DEVNULL)
        path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all namespaces that are there still, also those that a program under test created."""
        for path in self.root.iterdir():
            if path.is_file():
                self.remove(path.name)

    def forward(self, name: str, port: int) -> None:
        """Lead a port of a namespace's loopback to the same port of the host's: there is no other network in it."""
        namespace = os.open(self.root / name, os.O_RDONLY)
        try:
            listener = run_inside(namespace, lambda: socket.create_server((LOOPBACK, port)))
        finally:
            os.close(namespace)
        Thread(target=_forward, args=(listener, port), daemon=True).start()
        self.stack.callback(listener.close)
        self.stack.callback(listener.shutdown, socket.SHUT_RDWR)

    def run(self, name: str, program: str) -> str:
        """Return what a Python program prints in a namespace."""
        command = ["nsenter", f"--net={self.root / name}", sys.executable, "-c", program]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def wait_until(is_true: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + 10
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _forward(listener: socket.socket, port: int) -> None:
    with suppress(OSError):
        while True:
            accepted, _ = listener.accept()
            Thread(target=_relay, args=(accepted, port), daemon=True).start()


def _relay(accepted: socket.socket, port: int) -> None:
    with accepted, socket.create_connection((LOOPBACK, port)) as upstream:
        back = Thread(target=_pump, args=(upstream, accepted), daemon=True)
        back.start()
        _pump(accepted, upstream)
        back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while content := source.recv(65536):
            sink.sendall(content)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def open_site(place: Path) -> Iterator[NamespaceSite]:
    """Return a site in a directory whose helper runs; all its namespaces are removed at the end."""
    root = place / "netns"
    root.mkdir(mode=0o755)
    with ExitStack() as stack:
        found = NamespaceSite(root, place / "netns.sock", stack)
        stack.callback(found.clear)
        found.start()
        yield found
