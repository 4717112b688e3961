"""Attacks of a container on the endpoint of another one that shares a bridge with it, in namespaces of this test's."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refresher.metadata.namespaces import LINK_LOCAL
from refresher.metadata.wanted import Wanted
from tests.network_namespaces import NamespaceSite, open_site, wait_until

if TYPE_CHECKING:
    from tests.conftest import Need

pytestmark = pytest.mark.slow

CONNECT = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
with socket.socket(family, socket.SOCK_STREAM) as client:
    client.settimeout(2)
    if len(sys.argv) > 3:
        client.bind((sys.argv[3], 0))
    try:
        client.connect((sys.argv[1], int(sys.argv[2])))
        print("connected")
    except OSError as error:
        print("refused")
"""


class Bridge:
    """A bridge in a namespace of its own, with alice and bob on it."""

    def __init__(self, site: NamespaceSite) -> None:
        self.site = site
        for name in ("bridge", "alice", "bob"):
            site.make(name)
            self.run(name, "ip", "link", "set", "lo", "up")
        self.run("bridge", "ip", "link", "add", "br0", "type", "bridge")
        self.run("bridge", "ip", "link", "set", "br0", "up")
        for number, name in ((2, "alice"), (3, "bob")):
            make = ["ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns"]
            with subprocess.Popen(["nsenter", f"--net={site.root / name}", "sleep", "60"]) as holder:
                entered = partial(Path(f"/proc/{holder.pid}/ns/net").samefile, site.root / name)
                wait_until(entered)
                self.run("bridge", *make, str(holder.pid))
                holder.kill()
            self.run("bridge", "ip", "link", "set", name, "master", "br0", "up")
            self.run(name, "ip", "address", "add", f"10.0.0.{number}/24", "dev", "eth0")
            self.run(name, "ip", "address", "add", f"fd00::{number}/64", "dev", "eth0", "nodad")
            self.run(name, "ip", "link", "set", "eth0", "up")

    def run(self, name: str, *command: str) -> str:
        """Return what a command prints in a namespace."""
        done = subprocess.run(
            ["nsenter", f"--net={self.site.root / name}", *command], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def connect(self, name: str, address: str, port: int, *source: str) -> str:
        """Return how a connection from a namespace ends."""
        return self.run(name, sys.executable, "-c", CONNECT, address, str(port), *source)


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory, need: "Need") -> Iterator[Bridge]:
    """Return a bridge, with the endpoint of alice open."""
    need.root()
    need.tool("ip", "apt-get install iproute2")
    with open_site(tmp_path_factory.mktemp("bridge")) as site:
        made = Bridge(site)
        wanted = Wanted(str(site.root / "alice"), 8174, link_local=True)
        for each in site.connect().open("alice", wanted):
            site.stack.callback(each.close)
        yield made


def route(bridge: Bridge) -> None:
    """Make bob send packets for the link-local address to alice."""
    bridge.run("bob", "ip", "route", "replace", "169.254.169.254/32", "via", "10.0.0.2")


def claim(bridge: Bridge) -> None:
    """Make bob send packets for the link-local address to the hardware address of alice."""
    address = bridge.run("alice", "ip", "-o", "link", "show", "eth0").partition("link/ether ")[2].split()[0]
    bridge.run("bob", "ip", "route", "replace", "169.254.169.254/32", "dev", "eth0")
    bridge.run("bob", "ip", "neighbour", "replace", "169.254.169.254", "lladdr", address, "dev", "eth0")


def open_localnet(bridge: Bridge) -> None:
    """Make alice's kernel accept packets for 127.0.0.0/8 from outside, and bob send them (CVE-2020-8558)."""
    bridge.run("alice", "sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1")
    bridge.run("bob", "sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1")
    bridge.run("bob", "ip", "address", "flush", "dev", "lo")
    bridge.run("bob", "ip", "route", "flush", "table", "local", "dev", "lo")
    bridge.run("bob", "ip", "route", "replace", "127.0.0.1/32", "via", "10.0.0.2")


@pytest.mark.parametrize(
    ("prepare", "address", "port"),
    [
        (route, *LINK_LOCAL),
        (claim, *LINK_LOCAL),
        (route, "10.0.0.2", 80),
        (route, "10.0.0.2", 8174),
        (route, "fd00::2", 80),
        (route, "fd00::2", 8174),
        (route, "::ffff:10.0.0.2", 8174),
        (open_localnet, "127.0.0.1", 8174),
    ],
)
def test_neighbour_on_the_bridge_does_not_reach_the_endpoint(
    bridge: Bridge, prepare: Callable[[Bridge], None], address: str, port: int
) -> None:
    """Neither routes, ARP, IPv6 nor a kernel that lets loopback addresses in lead bob to alice's listener."""
    prepare(bridge)

    assert bridge.connect("bob", address, port) == "refused"
    assert bridge.connect("alice", "127.0.0.1", 8174) == "connected"


@pytest.mark.parametrize("source", ["127.0.0.1", "10.0.0.2", "169.254.169.254"])
def test_container_reaches_its_endpoint_from_each_address_of_its_own(bridge: Bridge, source: str) -> None:
    """A client that is bound to an address of the container is served too."""
    assert bridge.connect("alice", *LINK_LOCAL, source) == "connected"


def test_neighbour_would_reach_a_listener_that_is_not_bound_to_the_loopback(bridge: Bridge) -> None:
    """The same route leads to any other listener there: it is the binding that keeps bob out."""
    program = (
        "import socket; listener = socket.create_server(('169.254.169.254', 8080));print(flush=True); listener.accept()"
    )
    command = ["nsenter", f"--net={bridge.site.root / 'alice'}", sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        route(bridge)

        assert bridge.connect("bob", "169.254.169.254", 8080) == "connected"

        holder.kill()


def test_host_does_not_reach_the_endpoint(bridge: Bridge) -> None:
    """Nothing listens in the host's own namespace."""
    with socket.socket() as client:
        client.settimeout(2)
        with pytest.raises(OSError, match=r"refused|unreachable|timed out"):
            client.connect(("127.0.0.1", 8174))
