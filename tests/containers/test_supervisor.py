"""The unit of configs/systemd under a real systemd: readiness, reload, watchdog, and targets added by a scheduler."""

from pathlib import Path

import pytest

from tests.conftest import Need
from tests.containers.test_readme import Machine, machine_under_systemd
from tests.program import PATIENCE, secret_in, until

CONFIGURATION = """version: 1
providers: {main: {project_number: "123456789012", pool: workers, provider: refresher}}
project: my-project
suppliers: {worker: {kind: self_issued, issuer: "https://workers.invalid", keys: /var/lib/refresher/keys}}
identities: {alice: {service_account: alice@my-project.iam.gserviceaccount.com, subject: user-1}}
targets: {alice: {owner: ":1042"}}
targets_directory: /etc/refresher/targets.d
canary: off
"""
SET_UP = f"""
useradd --system --home-dir /var/lib/refresher refresher
cp /mnt/clone/.venv/bin/refresher /usr/local/bin/refresher
install -d -m 755 /etc/refresher /etc/refresher/targets.d /etc/systemd/system/refresher.service.d
cat > /etc/refresher/refresher.yaml <<'END'
{CONFIGURATION}END
install -d -o refresher -g refresher -m 700 /var/lib/refresher
setpriv --reuid refresher --regid refresher --clear-groups refresher keys new --directory /var/lib/refresher/keys
cp configs/systemd/refresher.service /etc/systemd/system/
printf '[Service]\\nWatchdogSec=4s\\n' > /etc/systemd/system/refresher.service.d/quick.conf
systemctl daemon-reload
systemctl start refresher
"""


def show(machine: Machine, *names: str) -> dict[str, str]:
    """Return properties of the unit."""
    printed = machine.run(f"systemctl show refresher --property {','.join(names)}")
    return dict(line.partition("=")[::2] for line in printed.splitlines())


@pytest.mark.apart
@pytest.mark.timeout(10 * PATIENCE)
def test_systemd_sees_readiness_reloads_and_a_daemon_that_stands_still(tmp_path: Path, need: Need) -> None:
    """The start waits for the first plan; a stopped process is restarted by the watchdog, and its tokens stay."""
    need.root()
    for tool in ("podman", "runc", "systemctl"):
        need.tool(tool, "apt install podman runc systemd")

    with machine_under_systemd(tmp_path) as machine:
        machine.run(SET_UP)
        assert show(machine, "ActiveState", "Type") == {"ActiveState": "active", "Type": "notify"}
        until(lambda: show(machine, "StatusText") == {"StatusText": "1 target: 1 fresh"}, what="the status is told")

        added = machine.run("refresher targets add task --identity alice --owner :1042 --wait")
        assert added.strip() == "/run/refresher/task"
        until(lambda: show(machine, "StatusText") == {"StatusText": "2 targets: 2 fresh"}, what="the status follows")

        machine.run("systemctl reload refresher")
        until(lambda: "config.reloaded" in machine.run("journalctl --unit refresher --no-pager"), what="reloaded")
        until(lambda: show(machine, "ActiveState") == {"ActiveState": "active"}, what="the reload is over")
        priorities = machine.run(
            "journalctl --unit refresher --identifier refresher --output json --output-fields PRIORITY,MESSAGE"
        )
        assert '"PRIORITY":"6"' in priorities
        assert "<6>" not in priorities

        token = machine.run("sha256sum < /run/refresher/alice/token")
        former = show(machine, "MainPID", "NRestarts")
        machine.run(f"kill -STOP {former['MainPID']}")
        until(lambda: show(machine, "NRestarts") == {"NRestarts": "1"}, what="the watchdog restarts it")
        until(lambda: show(machine, "ActiveState") == {"ActiveState": "active"}, what="it is ready again")

        assert "Watchdog timeout" in machine.run("journalctl --unit refresher --no-pager")
        assert machine.run("sha256sum < /run/refresher/alice/token") == token
        machine.run("systemctl stop refresher")
        assert show(machine, "Result") == {"Result": "success"}

    assert secret_in("".join(machine.output)) is None


@pytest.mark.apart
@pytest.mark.timeout(10 * PATIENCE)
def test_group_of_the_socket_may_ask_the_daemon(tmp_path: Path, need: Need) -> None:
    """The unit's own directory holds the socket: its group may ask with curl, others may not, also after a kill."""
    need.root()
    for tool in ("podman", "runc", "systemctl"):
        need.tool(tool, "apt install podman runc systemd")
    ask = "curl --silent --show-error --unix-socket /run/refresher-status/http.sock http://localhost/readyz/alice"
    set_up = SET_UP.replace("canary: off", "canary: off\nlisten_group: monitoring")

    with machine_under_systemd(tmp_path) as machine:
        machine.run(f"groupadd --system monitoring\n{set_up}")
        modes = machine.run("stat --format '%A %U %G' /run/refresher-status /run/refresher-status/http.sock")
        assert modes.splitlines() == ["drwxr-x--- refresher monitoring", "srw-rw---- refresher monitoring"]
        for _ in range(2):
            until(lambda: "ready" in machine.run(f"{ask} || true"), what="an answer")
            as_group = machine.run(f"setpriv --reuid 65534 --regid monitoring --clear-groups {ask}")
            as_other = machine.run(f"setpriv --reuid 65534 --regid 65534 --clear-groups {ask} 2>&1 || true")
            assert as_group == "ready\n"
            assert "ready" not in as_other
            machine.run("systemctl kill --signal KILL refresher")
            until(lambda: show(machine, "ActiveState") == {"ActiveState": "active"}, what="it runs again")
        journal = machine.run("journalctl --unit refresher --no-pager")
        assert "daemon.listening" in journal
        assert "daemon.fault" not in journal
        machine.run("systemctl stop refresher && test ! -e /run/refresher-status/http.sock")


@pytest.mark.apart
@pytest.mark.timeout(10 * PATIENCE)
def test_helper_of_metadata_endpoints_works_within_its_unit(tmp_path: Path, need: Need) -> None:
    """With the capabilities and the sandbox of its unit it opens a namespace that was mounted after its start."""
    need.root()
    for tool in ("podman", "runc", "systemctl"):
        need.tool(tool, "apt install podman runc systemd")
    ask = "curl --silent --show-error --header 'Metadata-Flavor: Google'"
    email = "computeMetadata/v1/instance/service-accounts/default/email"

    with machine_under_systemd(tmp_path, "--cap-add=SYS_ADMIN", "--cap-add=NET_ADMIN") as machine:
        machine.run(SET_UP)
        machine.run(
            "mount --make-rshared /\n"  # as systemd does on a machine that is not a container
            "useradd --system refresher-netns\n"
            "sed 's/-m refresher /-m refresher.metadata.helper /' .venv/bin/refresher"
            " > /usr/local/bin/refresher-netns\n"
            "chmod 755 /usr/local/bin/refresher-netns\n"
            "cp configs/systemd/refresher-netns.service /etc/systemd/system/\n"
            "install -m 644 configs/systemd/netns-roots /etc/refresher/\n"
            "systemctl daemon-reload\nsystemctl start refresher-netns\n"
        )
        machine.run("ip netns add task")
        added = "--identity alice --netns /run/netns/task --link-local --environment metadata --wait"
        machine.run(f"refresher targets add task {added}")

        for host in ("127.0.0.1:8174", "169.254.169.254"):
            found = machine.run(f"nsenter --net=/run/netns/task {ask} http://{host}/{email}")
            assert found == "alice@my-project.iam.gserviceaccount.com"

    assert secret_in("".join(machine.output)) is None
