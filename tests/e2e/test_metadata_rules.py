"""The nftables example blocks all users except the daemon from the metadata server, tried in network namespaces."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.program import COMMAND

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


PORT = 18080
ALICE, WORKER = (f"{name}@my-project.iam.gserviceaccount.com" for name in ("task-alice", "worker"))
SEED = {
    "metadata_account": WORKER,
    "service_accounts": {ALICE: {"roles/iam.serviceAccountTokenCreator": [f"serviceAccount:{WORKER}"]}},
}
RELAY = """
import asyncio, sys
async def copy(reader, writer):
    while piece := await reader.read(65536):
        writer.write(piece)
        await writer.drain()
    writer.close()
async def serve(reader, writer):
    inner = await asyncio.open_connection(sys.argv[1], int(sys.argv[2]))
    await asyncio.gather(copy(reader, inner[1]), copy(inner[0], writer), return_exceptions=True)
async def main():
    server = await asyncio.start_server(serve, sys.argv[3], 80)
    print("ready", flush=True)
    await server.serve_forever()
asyncio.run(main())
"""
STEAL = """
import json, sys, urllib.request
url = f"http://{sys.argv[1]}/computeMetadata/v1/instance/service-accounts/default/token"
try:
    answer = urllib.request.urlopen(urllib.request.Request(url, headers={"Metadata-Flavor": "Google"}), timeout=10)
    print("stolen" if json.load(answer)["access_token"] else "nothing")
except OSError:
    print("refused")
"""


def start(stack: ExitStack, *command: str) -> str:
    """Start a program that runs until the stack is closed; return its first line."""
    process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    stack.callback(process.kill)
    assert process.stdout is not None
    return process.stdout.readline()


def test_container_without_a_pool_cannot_get_the_workers_own_credential(need: Need) -> None:
    """The worker's token, which can act as every account, is within reach of a container only without the rules."""
    need.root()
    need.tool("nft", "apt-get install nftables")
    need.tool("ip", "apt-get install iproute2")
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="refresher-rules-")))
        place.chmod(0o755)
        made = Machine(stack)
        (place / "seed.yaml").write_text(yaml.safe_dump(SEED))
        emulator = ("emulator", "--directory", str(place / "google"), "--http-port", str(PORT), "--https-port", "0")
        expose = ("--host", "0.0.0.0", "--expose", "--seed", str(place / "seed.yaml"))  # noqa: S104 - in its namespace
        inside = ("ip", "netns", "exec")
        assert "http" in start(stack, *inside, made.machine, *COMMAND, *emulator, *expose)
        assert start(stack, *inside, made.cloud, sys.executable, "-c", RELAY, "10.9.2.2", str(PORT), V4) == "ready\n"
        origin = f"http://127.0.0.1:{PORT}"
        document = {
            "version": 1,
            "identities": {"alice": {"service_account": ALICE, "via": "impersonation"}},
            "targets": {"alice": {}},
            "directory_root": str(place / "run"),
            "listen": "none",
            "google": {
                "emulator": True,
                "endpoints": {"sts": origin, "iam_credentials": origin, "metadata": f"http://{V4}"},
            },
        }
        (place / "refresher.yaml").write_text(yaml.safe_dump(document))
        (place / "run").mkdir()
        os.chown(place / "run", DAEMON, DAEMON)
        thief = ("setpriv", f"--reuid={OTHER}", f"--regid={OTHER}", "--clear-groups", sys.executable, "-c", STEAL, V4)
        assert made.inside(made.container, *thief).strip() == "stolen"

        made.inside(made.machine, "nft", "-D", f"daemon={DAEMON}", "-f", str(RULES))
        daemon = ("setpriv", f"--reuid={DAEMON}", f"--regid={DAEMON}", "--clear-groups", *COMMAND)
        made.inside(made.machine, *daemon, "once", "--config", str(place / "refresher.yaml"))

        assert (place / "run" / "alice" / "access_token").exists()
        assert made.inside(made.container, *thief).strip() == "refused"
        assert made.inside(made.container, *thief[4:]).strip() == "refused"  # as the container's root
        assert made.inside(made.machine, *thief).strip() == "refused"
