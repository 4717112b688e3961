"""The commands of the README, extracted from it and run in their order on a bare machine under a real systemd.

The machine is a container of podman with this machine's programs. Its home directory is empty, and nothing of refresher
is on it but a copy of the repository. The commands run as they are on the page. What differs is only the machine:

- Google is the emulator. gcloud uses it by what `refresher emulator --print gcloud` prints, as a user who has exactly
  the roles of the README. What docs/emulator.md adds to the configuration is added after the command that writes it.
- `make demo` finds its `.venv` installed, so that it does not install the tools of developers again.
- There is no image, so `docker` is a program of this test. It runs the command with the user and the variables of its
  options, and refuses options that it does not know.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
import yaml

from tests.containers.runtimes import PYTHON, TOOLS
from tests.program import COMMAND, PATIENCE, secret_in, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Need

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text()
EMULATOR = (REPOSITORY / "docs" / "emulator.md").read_text()
LEFT_OUT = {"make test\n": "it would run this test again"}
"""The commands that are not run, with the reason."""
REMOVAL = "systemctl disable --now refresher\n"
"""The beginning of the commands that remove everything."""
PLACES = ("/etc/refresher", "/run/refresher", "/var/lib/refresher", "/opt/refresher", "/usr/local/bin/refresher")
"""What the commands create on the worker."""
RESOURCES = (
    "v1/projects/my-project/locations/global/workloadIdentityPools?showDeleted=true",
    "v1/projects/my-project/serviceAccounts",
    "storage/v1/b?project=my-project",
)
"""Where the emulator lists what the commands create at Google."""
CONFIGURATIONS = ("/etc/refresher/refresher.yaml", "five-minutes/refresher.yaml")
MACHINE = "worker@my-project.iam.gserviceaccount.com"
ADMINISTRATOR = "user:admin@example.com"
PODMAN = ("podman", "--cgroup-manager=cgroupfs", "--events-backend=none", "--log-level=error")
INSTALLED = f"""#!/bin/sh
LD_LIBRARY_PATH=/mnt/python/lib PYTHONPATH=/mnt/product:/mnt/libraries PYTHONDONTWRITEBYTECODE=1 \\
  exec {PYTHON} -m refresher "$@"
"""
DOCKER = r"""#!/bin/bash
set -euo pipefail
[ "$1" = run ] || { echo "docker $1 is unknown"; exit 64; }
shift
storage=$CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE
variables=("CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE=$storage" "STORAGE_EMULATOR_HOST=${storage%/storage/v1/}")
path=/usr/bin:/bin
while [[ "$1" == -* ]]; do
  case "$1" in
    --rm) shift; continue ;;
    --user) user=$2 ;;
    --env) variables+=("$2") ;;
    --env-file) mapfile -t -O "${#variables[@]}" variables < "$2" ;;
    --mount) place=${2##*target=} && [ "$2" = "type=bind,source=${place%,readonly},target=$place" ] ;;
    *) echo "option $1 is unknown"; exit 64 ;;
  esac
  shift 2
done
if [[ "$1" == python:* ]]; then # with this machine's Python, and what pip needs to reach its index
  path=/mnt/python/bin:$path
  mapfile -t -O "${#variables[@]}" variables < <(env | grep -iE '^(PIP_|(https?|no)_proxy=)' || true)
  variables+=("LD_LIBRARY_PATH=/mnt/python/lib" "HOME=/" "PYTHONDONTWRITEBYTECODE=1")
fi
shift # the image
exec setpriv --reuid "${user%:*}" --regid "${user#*:}" --clear-groups --bounding-set=-all --no-new-privs \
  env -i "PATH=$path" "${variables[@]}" "$@"
"""


@dataclass(frozen=True, kw_only=True)
class Block:
    """One block of commands.

    Attributes:
        commands: Its lines.
        shown: What the page shows below it as its output; None if it shows nothing.
    """

    commands: str
    shown: str | None


@dataclass(frozen=True, kw_only=True)
class Google:
    """The emulator as a process.

    Attributes:
        origin: Where it answers.
        variables: What `--print gcloud` prints, as the README's administrator.
    """

    origin: str
    variables: str

    def read(self, path: str) -> dict[str, Any]:
        """Return what is at a path of the admin services."""
        answer = requests.get(f"{self.origin}/{path}", headers={"Authorization": "Bearer anything"}, timeout=PATIENCE)
        document: dict[str, Any] = answer.json()
        return document


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A machine under systemd.

    Attributes:
        name: The name of podman's container.
        output: The whole output of its commands.
    """

    name: str
    output: list[str]

    def run(self, script: str) -> str:
        """Run shell lines as root in the clone, with an empty home; return what they print."""
        kept = [f"{name}={value}" for name, value in os.environ.items() if re.match("PIP_|(?i:https?|no)_proxy$", name)]
        path = "PATH=/mnt/programs:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        done = subprocess.run(
            [
                *(*PODMAN, "exec", "--interactive", "--workdir=/mnt/clone", self.name),
                *("env", "-i", "HOME=/mnt/home", path, *kept, "bash", "-euo", "pipefail"),
            ],
            input=script,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=6 * PATIENCE,
        )
        self.output.append(done.stdout)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def paste(self, blocks: list[Block], before: str) -> list[str]:
        """Run blocks in one shell, after other lines; return what each prints."""
        mark = "-- end of a block --"
        script = "\n".join(["exec 2>&1", before, *(f"echo; echo '{mark}'\n{block.commands}" for block in blocks)])
        return self.run(script).split(f"\n{mark}\n")[1:]

    def is_running(self) -> bool:
        """Return whether systemd has started everything; a unit of this machine's that needs hardware may fail."""
        command = [*PODMAN, "exec", self.name, "systemctl", "is-system-running"]
        state = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        return state in {"running", "degraded"}


def read_blocks() -> list[Block]:
    """Return the README's blocks of commands, in order, each with the output that follows it on the page."""
    found = re.findall(r"^```sh\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", README, re.MULTILINE | re.DOTALL)
    return [Block(commands=commands, shown=shown or None) for commands, shown in found]


def read_roles() -> list[str]:
    """Return the roles that the README demands of its reader."""
    table = README.partition("| role | to create |")[2].partition("\n\n")[0]
    return re.findall(r"^\| `(roles/[\w.]+)` \|", table, re.MULTILINE)


def normalize_demo(text: str) -> list[str]:
    """Return the headings of the demo, which don't differ from run to run."""
    return [line for line in text.splitlines() if line and not line.startswith(" ")]


@contextmanager
def google_in(place: Path) -> Iterator[Google]:
    """Run the emulator in a directory for the length of a `with` block."""
    seed = place / "seed.yaml"
    policy = {role: [ADMINISTRATOR] for role in read_roles()}
    seed.write_text(yaml.safe_dump({"project_policies": {"my-project": policy}, "metadata_account": MACHINE}))
    ask = [*COMMAND, "emulator", "--directory", str(place / "google")]
    start = [*ask, "--http-port", "0", "--https-port", "0", "--seed", str(seed)]
    with subprocess.Popen(start, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            origin = json.loads(process.stdout.readline())["http"]
            printed = subprocess.run([*ask, "--print", "gcloud"], capture_output=True, text=True, check=True).stdout
            answer = requests.post(f"{origin}/emulator/token", json={"member": ADMINISTRATOR}, timeout=PATIENCE)
            token = answer.json()["access_token"]
            more = {"CLOUDSDK_AUTH_ACCESS_TOKEN": token, "GCE_METADATA_HOST": origin.removeprefix("http://")}
            exported = "".join(f"export {name}={value}\n" for name, value in more.items())
            yield Google(origin=origin, variables=f"{printed}\n{exported}")
        finally:
            process.terminate()


def configure_endpoints(block: Block, google: Google) -> Block:
    """Return the block; one that writes a configuration is followed by the guide's, which adds the emulator."""
    written = next((path for path in CONFIGURATIONS if f"cat > {path}" in block.commands), None)
    if written is None:
        return block
    (more,) = re.findall(rf"^```sh\n(cat >> {CONFIGURATIONS[0]}.*?)^```", EMULATOR, re.MULTILINE | re.DOTALL)
    more = more.replace("http://127.0.0.1:8080", google.origin).replace(CONFIGURATIONS[0], written)
    return Block(commands=block.commands + more, shown=block.shown)


@contextmanager
def machine_under_systemd(place: Path, *options: str) -> Iterator[Machine]:
    """Start a machine whose root file system is this one's with a layer on top, for the length of a `with` block."""
    place.chmod(0o755)
    unwanted = shutil.ignore_patterns(".venv", ".git", ".tools", ".*_cache", "__pycache__", ".hypothesis", "dist")
    clone = Path(shutil.copytree(REPOSITORY, place / "clone", ignore=unwanted))
    for path, text in {
        place / "programs" / "docker": DOCKER,
        clone / ".venv" / "bin" / "python": INSTALLED,
        clone / ".venv" / "bin" / "uv": INSTALLED,
        clone / ".venv" / "bin" / "refresher": INSTALLED,
        clone / ".venv" / ".installed": "",
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    (place / "home").mkdir()
    name = f"refresher-{place.name}"
    command = [
        *(*PODMAN, "run", "--detach", "--rm", f"--name={name}", "--systemd=always", "--runtime=runc", "--network=host"),
        *options,
        *("--tmpfs=/tmp:rw,notmpcopyup", "--tmpfs=/run:rw,notmpcopyup"),
        *("--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"),
        *(f"--volume={tool.source}:{tool.place}:ro" for tool in TOOLS),
        *(f"--volume={place / name}:/mnt/{name}:rw" for name in ("clone", "home", "programs")),
        *("--rootfs", "/:O", "/lib/systemd/systemd", "--unit=multi-user.target"),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=3 * PATIENCE)
    machine = Machine(name=name, output=[])
    try:
        until(machine.is_running, what="systemd runs")
        yield machine
    finally:
        subprocess.run([*PODMAN, "rm", "--force", "--time=0", name], check=True, capture_output=True)


def check_unit(machine: Machine) -> None:
    """Check that the unit publishes as its own user, reloads, restarts, and stops with the files in place."""
    owners = machine.run("stat -c '%U %g %a' /run/refresher/alice /run/refresher/alice/*")
    assert owners.split() == ["refresher", "1042", "750", *("refresher", "1042", "440") * 3]
    assert "alice  fresh" in machine.run("refresher status")
    before = machine.run("cat /run/refresher/alice/token")
    machine.run("systemctl reload refresher")
    until(lambda: "config.reloaded" in machine.run("journalctl --unit refresher --no-pager"), what="reloaded")
    machine.run("systemctl restart refresher; refresher wait --exchange")
    assert machine.run("cat /run/refresher/alice/token") == before
    machine.output[:] = [text for text in machine.output if text != before]
    stopped = machine.run("systemctl stop refresher; systemctl show refresher --property Result")
    assert stopped.strip() == "Result=success"
    assert "1042" in machine.run("stat -c %g /run/refresher/alice/token")


@pytest.mark.apart
@pytest.mark.timeout(10 * PATIENCE)
def test_commands_of_the_readme_work_in_their_order(tmp_path: Path, need: Need) -> None:
    """Every command works, prints what the page shows, and the last ones leave nothing behind."""
    need.root()
    for tool in ("podman", "runc", "systemctl", "make"):
        need.tool(tool, "apt install podman runc systemd make")
    need.tool("gcloud", "see cloud.google.com/sdk/docs/install")
    page = read_blocks()
    assert [block.commands for block in page if block.commands in LEFT_OUT] == list(LEFT_OUT)
    assert page[-1].commands.startswith(REMOVAL)

    with google_in(tmp_path) as google, machine_under_systemd(tmp_path) as machine:
        blocks = [configure_endpoints(block, google) for block in page[:-1] if block.commands not in LEFT_OUT]
        printed = machine.paste(blocks, google.variables)

        demo, *rest = zip(blocks, printed, strict=True)
        assert normalize_demo(demo[1]) == normalize_demo(demo[0].shown or "")
        for block, output in rest:
            shown = (block.shown or "").replace(
                "https://sts.googleapis.com, https://iamcredentials.googleapis.com", google.origin
            )
            shown = shown.replace("http://metadata.google.internal", google.origin)
            printed_there = output.replace("fine, 1 target, 1 warning", "fine, 1 target")  # that this is the emulator
            assert printed_there.strip().endswith(shown.strip()), output
        check_unit(machine)

        names = [block for block in page if block.commands.startswith("PROJECT=")][-1]
        machine.paste([names, page[-1]], google.variables)
        machine.run("".join(f"test ! -e {path}\n" for path in PLACES) + "! id refresher")
        pools, accounts, buckets = (google.read(path) for path in RESOURCES)
        assert [pool["state"] for pool in pools["workloadIdentityPools"]] == ["DELETED"]
        assert [account["email"] for account in accounts.get("accounts", [])] == [MACHINE]
        assert buckets.get("items", []) == []

    assert secret_in("".join(machine.output)) is None
