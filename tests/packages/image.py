"""The image of the daemon, built by podman without a registry, and a container of it without any right."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from refresher import __version__
from tests.installation import INSTALL_SECONDS
from tests.packages.podman import BASE, LIMITS
from tests.program import COMMAND, secret_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.packages.podman import Podman

REPOSITORY = Path(__file__).parents[2]
DAEMON, EMULATOR = "localhost/refresher:test", "localhost/refresher-emulator:test"
LARGEST = 120_000_000
"""How many bytes the image may add to its base."""
USER = 65532
CONFIGURATION = """
version: 1
canary: off
providers: {main: {project_number: "123456789012", pool: workers, provider: refresher}}
suppliers: {worker: {kind: self_issued, issuer: "https://workers.invalid", keys: /var/lib/refresher/keys}}
identities: {main: {service_account: main@my-project.iam.gserviceaccount.com, subject: user-1}}
targets: {main: {}}
listen: none
"""


_VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"


def download_wheels(podman: Podman, place: Path) -> Path:
    """Download all pinned wheels into a directory, for the Python of the base, and return it."""
    version = podman.run("run", "--rm", *LIMITS, BASE, "python3", "-c", _VERSION).strip()
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--dest", str(place)),
        *("--only-binary=:all:", f"--python-version={version}", "--require-hashes"),
        *("--requirement", str(REPOSITORY / "requirements" / "emulator.txt")),
    ]
    subprocess.run(command, check=True, timeout=INSTALL_SECONDS)
    return place


def build_image(podman: Podman, wheels: Path, tag: str, target: str) -> str:
    """Build a target of the Containerfile without a network, and return its tag."""
    arguments = {"BASE": BASE, "VERSION": __version__, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels"}
    podman.run(
        *("build", "--quiet", "--format=docker", f"--target={target}", f"--tag={tag}", "--network=none", *LIMITS),
        *(f"--build-arg={name}={value}" for name, value in arguments.items()),
        *(f"--volume={wheels}:/wheels:ro", str(REPOSITORY)),
    )
    return tag


@contextmanager
def run_daemon(
    podman: Podman, image: str, place: Path, *options: str, user: int = USER, owner: str = ""
) -> Iterator[Path]:
    """Run the daemon without any right for the length of a `with` block; yield its `directory_root`."""
    root, keys = place / "root", place / "state" / "keys"
    (place / "state").mkdir()
    (place / "refresher.yaml").write_text(
        CONFIGURATION.replace("main: {}", f'main: {{owner: "{owner}"}}' if owner else "main: {}")
    )
    root.mkdir(mode=0o755)
    subprocess.run([*COMMAND, "keys", "new", "--directory", keys], check=True, capture_output=True)
    subprocess.run(["chown", "--recursive", f"{user}:{user}", root, place / "state"], check=True)
    (place / "refresher.yaml").chmod(0o644)
    place.chmod(0o755)
    podman.run(
        *("run", "--detach", "--name=daemon", "--read-only", "--cap-drop=all", "--security-opt=no-new-privileges"),
        *(
            "--network=none",
            *LIMITS,
            f"--volume={root}:/run/refresher",
            f"--volume={place / 'state'}:/var/lib/refresher:ro",
        ),
        *(f"--volume={place / 'refresher.yaml'}:/etc/refresher/refresher.yaml:ro", *options, image),
    )
    try:
        yield root
    finally:
        printed = podman.attempt("logs", "daemon")
        podman.run("rm", "--force", "--time=0", "daemon")
        assert secret_in(printed.stdout + printed.stderr) is None
