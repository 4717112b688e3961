"""The nftables example blocks all users except the daemon from the metadata server, tried in network namespaces."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Need

RULES = Path(__file__).parents[2] / "configs" / "nftables" / "metadata.nft"
DAEMON, OTHER = 12345, 1042
V4, V6 = "169.254.169.254", "fd20:ce::254"
SERVER = """
import selectors, socket
selector = selectors.DefaultSelector()
for family, address in ((socket.AF_INET, "169.254.169.254"), (socket.AF_INET6, "fd20:ce::254")):
    for port in (80, 443, 53):
        listener = socket.create_server((address, port), family=family)
        selector.register(listener, selectors.EVENT_READ)
print("ready", flush=True)
while True:
    for key, _ in selector.select():
        key.fileobj.accept()[0].close()
"""
CLIENT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10).close()
    print("open")
except ConnectionRefusedError:
    print("reset")
"""


def run(*command: str) -> str:
    """Run a program until it ends."""
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


class Machine:
    """A machine between a container behind a bridge and the cloud; each is a network namespace."""

    def __init__(self, stack: ExitStack) -> None:
        self.container, self.machine, self.cloud = names = [
            f"refresher-{os.getpid()}-{part}" for part in ("container", "machine", "cloud")
        ]
        for name in names:
            run("ip", "netns", "add", name)
            stack.callback(run, "ip", "netns", "delete", name)
            self.inside(name, "ip", "link", "set", "lo", "up")
        self._link(self.container, self.machine, "10.9.1", "fd09:1:")
        self._link(self.cloud, self.machine, "10.9.2", "fd09:2:")
        for address in (f"{V4}/32", f"{V6}/128"):
            self.inside(self.cloud, "ip", "address", "add", address, "dev", "lo", "nodad")
        self.inside(self.machine, "ip", "route", "add", V4, "via", "10.9.2.1")
        self.inside(self.machine, "ip", "-6", "route", "add", V6, "via", "fd09:2::1")
        for setting in ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"):
            self.inside(self.machine, "sysctl", "-qw", setting)

    def inside(self, name: str, *command: str) -> str:
        """Run a program in a namespace."""
        return run("ip", "netns", "exec", name, *command)

    def reach(self, name: str, address: str, port: int, *, uid: int) -> str:
        """Return whether a user of a namespace can connect to a port."""
        user = ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups")
        return self.inside(name, *user, sys.executable, "-c", CLIENT, address, str(port)).strip()

    def _link(self, leaf: str, hub: str, v4: str, v6: str) -> None:
        run("ip", "link", "add", "uplink", "netns", leaf, "type", "veth", "peer", "name", f"to-{v4[-1]}", "netns", hub)
        for name, device, last in ((leaf, "uplink", 1), (hub, f"to-{v4[-1]}", 2)):
            self.inside(name, "ip", "address", "add", f"{v4}.{last}/24", "dev", device)
            self.inside(name, "ip", "address", "add", f"{v6}:{last}/64", "dev", device, "nodad")
            self.inside(name, "ip", "link", "set", device, "up")
        self.inside(leaf, "ip", "route", "add", "default", "via", f"{v4}.2")
        self.inside(leaf, "ip", "-6", "route", "add", "default", "via", f"{v6}:2")


@pytest.fixture
def machine(need: Need) -> Iterator[Machine]:
    """Return a machine whose metadata server answers, without rules."""
    need.root()
    need.tool("nft", "apt-get install nftables")
    need.tool("ip", "apt-get install iproute2")
    with ExitStack() as stack:
        made = Machine(stack)
        server = subprocess.Popen(
            ["ip", "netns", "exec", made.cloud, sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True
        )
        stack.callback(server.wait)
        stack.callback(server.kill)
        assert server.stdout is not None
        stack.callback(server.stdout.close)
        assert server.stdout.readline() == "ready\n"
        yield made


def test_only_the_daemon_reaches_the_metadata_server(machine: Machine) -> None:
    """Other users of the host, even root, and containers are refused at once on both ports; names still resolve."""
    assert machine.reach(machine.container, V4, 80, uid=OTHER) == "open"
    assert machine.reach(machine.machine, V6, 80, uid=OTHER) == "open"

    for _ in range(2):  # loading it once more replaces it
        machine.inside(machine.machine, "nft", "-D", f"daemon={DAEMON}", "-f", str(RULES))

    for address in (V4, V6):
        for port in (80, 443):
            assert machine.reach(machine.machine, address, port, uid=DAEMON) == "open"
            assert machine.reach(machine.machine, address, port, uid=OTHER) == "reset"
            assert machine.reach(machine.machine, address, port, uid=0) == "reset"
            assert machine.reach(machine.container, address, port, uid=OTHER) == "reset"
            assert machine.reach(machine.container, address, port, uid=DAEMON) == "reset"
        assert machine.reach(machine.container, address, 53, uid=OTHER) == "open"
        assert machine.reach(machine.machine, address, 53, uid=OTHER) == "open"
