"""The Debian package on a bare Debian under systemd: installed, configured, upgraded, removed and purged."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refresher import __version__
from tests.installation import INSTALL_SECONDS
from tests.packages.podman import debian_machine
from tests.program import secret_in, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Need
    from tests.packages.podman import Machine, Podman

REPOSITORY = Path(__file__).parents[2]
CONFIGURATION = """
canary: off
providers: {main: {project_number: "123456789012", pool: workers, provider: refresher}}
project: my-project
suppliers: {worker: {kind: self_issued, issuer: "https://workers.invalid", keys: /var/lib/refresher/keys}}
identities: {alice: {service_account: alice@my-project.iam.gserviceaccount.com, subject: user-1}}
targets: {alice: {owner: ":1042"}}
"""
KEYS = (
    "setpriv --reuid refresher --regid refresher --clear-groups refresher keys new --directory /var/lib/refresher/keys"
)
READER = """
while [ ! -e /tmp/end ]; do
  for name in token credentials.json env; do
    [ "$(wc -c < /run/refresher/alice/$name)" -gt 0 ] || echo "$name" >> /tmp/lost
    echo >> /tmp/reads
  done
done
"""
KEPT = ("/etc/refresher", "/run/refresher", "/var/lib/refresher")
"""What a removal leaves."""

pytestmark = [pytest.mark.apart, pytest.mark.slow, pytest.mark.timeout(INSTALL_SECONDS)]


@pytest.fixture(scope="session")
def packages(need: Need, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the package, `present.deb`, and with its next version, `next.deb`."""
    need.tool("dh", "apt install debhelper")
    place = tmp_path_factory.mktemp("packages")
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else need.tool("uv", "pip install uv")
    built = subprocess.run(
        [REPOSITORY / "configs" / "debian" / "build", uv, sys.executable], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    shutil.copy(REPOSITORY / built.stdout.strip(), place / "present.deb")
    subprocess.run(["dpkg-deb", "--raw-extract", place / "present.deb", place / "next"], check=True)
    control = place / "next" / "DEBIAN" / "control"
    control.write_text(control.read_text().replace(f"Version: {__version__}-1", f"Version: {__version__}-2"))
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Znone", "--build", place / "next", place / "next.deb"],
        check=True,
        capture_output=True,
    )
    return place


@pytest.fixture
def machine(podman: Podman, packages: Path) -> Iterator[Machine]:
    """Return a bare Debian that has the packages at `/mnt`; nothing that is printed there holds a secret."""
    with debian_machine(podman, f"--volume={packages}:/mnt:ro") as made:
        yield made
    assert secret_in("".join(made.output)) is None


def configure(machine: Machine) -> None:
    """Install the package, and configure a target."""
    machine.run("dpkg --install /mnt/present.deb")
    machine.run(f"{KEYS}\ncat >> /etc/refresher/refresher.yaml <<'END'\n{CONFIGURATION}END\n")
    machine.run("systemctl reload refresher; refresher wait alice")


def is_active(machine: Machine) -> bool:
    """Return whether the daemon runs."""
    return machine.run("systemctl is-active refresher || true").strip() == "active"


def test_installed_package_runs_a_daemon_without_targets(machine: Machine) -> None:
    """The daemon runs as its own user and starts at boot; the helper, which has capabilities, does neither."""
    machine.run("dpkg --install /mnt/present.deb")

    assert is_active(machine)
    assert machine.run("systemctl is-enabled refresher; systemctl is-enabled refresher-netns || true").split() == [
        "enabled",
        "disabled",
    ]
    assert machine.run("ps -o user= -p $(systemctl show refresher --property MainPID --value)").strip() == "refresher"
    assert machine.run("refresher --version").strip() == f"refresher, version {__version__}"
    assert machine.run("refresher check").strip().endswith("fine, 0 targets")
    machine.run("test -s /usr/share/man/man1/refresher-run.1.gz; refresher-netns --help")
    assert machine.run("dpkg-query --show --showformat='${Conffiles}' wif-refresher | awk '{print $1}'").split() == [
        "/etc/refresher/netns-roots",
        "/etc/refresher/refresher.yaml",
    ]


def test_package_has_no_test_server(machine: Machine) -> None:
    """Nothing of the emulator, the demo and the pytest plugin is installed; their commands name what is missing."""
    machine.run("dpkg --install /mnt/present.deb")

    found = machine.run(
        "dpkg --listfiles wif-refresher | grep --extended-regexp '/refresher/refresher/(emulator/|demo\\.)' || true"
    )
    refused = machine.run("refresher demo 2>&1 || echo status $?")

    assert found == ""
    assert "the emulator is not installed" in refused
    assert "status 2" in refused


def test_upgrade_keeps_keys_configuration_and_files(machine: Machine) -> None:
    """An upgrade starts the new program; a container that reads all the while never misses a file."""
    configure(machine)
    before = machine.run("cd /run/refresher/alice; stat -c %i . ; sha256sum token; ls /var/lib/refresher/keys")
    process = machine.run("systemctl show refresher --property MainPID")
    machine.run(f"cat > /tmp/reader <<'END'\n{READER}END\nsystemd-run --quiet --unit=reader bash /tmp/reader")
    until(lambda: machine.run("test ! -e /tmp/reads || echo reads") != "", what="the reader reads")

    machine.run("dpkg --install /mnt/next.deb")
    machine.run("refresher wait alice")

    machine.run("touch /tmp/end; while systemctl --quiet is-active reader; do sleep 0.1; done")
    assert is_active(machine)
    assert machine.run("systemctl show refresher --property MainPID") != process
    assert machine.run("cd /run/refresher/alice; stat -c %i . ; sha256sum token; ls /var/lib/refresher/keys") == before
    assert machine.run("test ! -e /tmp/lost || cat /tmp/lost") == ""
    assert int(machine.run("wc -l < /tmp/reads")) > 100


def test_removal_leaves_what_containers_hold(machine: Machine) -> None:
    """A removal stops the daemon and leaves configuration, keys and files; a purge leaves nothing."""
    configure(machine)

    machine.run("dpkg --remove wif-refresher")
    removed = machine.run("ls -d /usr/lib/refresher /usr/bin/refresher 2>/dev/null || true")
    machine.run("".join(f"test -e {path}\n" for path in KEPT) + "test -s /run/refresher/alice/token")
    stopped = is_active(machine)
    machine.run("dpkg --purge wif-refresher")

    assert removed == ""
    assert not stopped
    assert machine.run(f"ls -d {' '.join(KEPT)} 2>/dev/null || true") == ""
