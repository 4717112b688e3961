"""The image of the daemon, built by podman without a registry from a bare Debian, runs without any right."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from refresher import __version__
from tests.installation import INSTALL_SECONDS
from tests.packages.image import DAEMON, EMULATOR, LARGEST, USER, build_image, download_wheels, run_daemon
from tests.packages.podman import BASE, LIMITS
from tests.program import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.packages.podman import Podman

pytestmark = [pytest.mark.apart, pytest.mark.slow, pytest.mark.timeout(INSTALL_SECONDS)]


@pytest.fixture(scope="session")
def wheels(podman: Podman, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with all pinned wheels, for the Python of the base."""
    return download_wheels(podman, tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="session")
def image(podman: Podman, wheels: Path) -> str:
    """Return the tag of the daemon's image."""
    return build_image(podman, wheels, DAEMON, "daemon")


def inspect(podman: Podman, image: str) -> dict[str, Any]:
    """Return what podman knows of an image."""
    found: dict[str, Any] = json.loads(podman.run("image", "inspect", image))[0]
    return found


def test_image_adds_little_to_its_base(podman: Podman, image: str) -> None:
    """The image adds at most 120 MB to its base."""
    added = inspect(podman, image)["Size"] - inspect(podman, BASE)["Size"]

    assert 0 < added <= LARGEST


def test_image_describes_itself_and_its_user(podman: Podman, image: str) -> None:
    """The image has the version as a label, runs as a user that is not root, and checks its health without a shell."""
    found = inspect(podman, image)

    assert found["Config"]["Labels"]["org.opencontainers.image.version"] == __version__
    assert found["Config"]["User"] == f"{USER}:{USER}"
    assert found["Healthcheck"]["Test"][:3] == ["CMD", "/usr/bin/refresher", "wait"]


def test_image_has_no_test_server(podman: Podman, image: str) -> None:
    """No file of the emulator, the demo, the pytest plugin or their libraries is in the image."""
    script = "import json, os; print(json.dumps(list(os.walk('/usr/lib/refresher'))))"
    walk = json.loads(podman.run("run", "--rm", *LIMITS, "--entrypoint=python3", image, "-c", script))
    library = {name for place, folders, files in walk if "/cli" not in place for name in (*folders, *files)}

    assert "google" in library
    left_out = ("emulator", "demo.py", "fixtures.py", "uvicorn", "jwt", "rich")
    assert [name for name in left_out if name in library] == []
    refused = podman.attempt("run", "--rm", *LIMITS, image, "demo")
    assert (refused.returncode, "the emulator is not installed" in refused.stderr) == (2, True)


def test_daemon_works_without_rights_and_without_a_shell(podman: Podman, image: str, tmp_path: Path) -> None:
    """With a read-only root, no capability, network or shell, a token is written and the check succeeds."""
    without_shell = [f"--volume=/dev/null:/usr/bin/{shell}:ro" for shell in ("dash", "bash")]

    with run_daemon(podman, image, tmp_path, *without_shell) as root:
        until((root / "main" / "token").exists, what="the first token is written")
        until((root / "main" / "env").exists, what="everything is written")

        assert podman.attempt("exec", "daemon", "/bin/sh", "-c", "true").returncode != 0
        podman.run("healthcheck", "run", "daemon")
        (root / "main" / "token").unlink()
        (root / "main" / "token").mkdir()
        assert podman.attempt("healthcheck", "run", "daemon").returncode != 0


def test_daemon_of_a_foreign_user_works_too(podman: Podman, image: str, tmp_path: Path) -> None:
    """A user that the image does not know, as OpenShift assigns one, may run it."""
    printed = podman.run(
        "run", "--rm", *LIMITS, "--read-only", "--cap-drop=all", "--user=1000650000:0", image, "--version"
    )

    assert printed.strip() == f"refresher, version {__version__}"


def test_emulator_is_a_target_of_its_own(podman: Podman, wheels: Path) -> None:
    """The second target is the local Google, which gets ready without any right."""
    image = build_image(podman, wheels, EMULATOR, "emulator")
    options = ("--rm", "--detach", "--name=google", "--cap-drop=all", "--network=none", "--read-only", *LIMITS)
    podman.run("run", *options, "--tmpfs=/tmp", image)
    try:
        until(lambda: podman.run("logs", "google") != "", what="the emulator is ready")
        assert set(json.loads(podman.run("logs", "google"))) == {"http", "https", "ca_file"}
    finally:
        podman.run("rm", "--force", "--time=0", "google")


@pytest.mark.parametrize(("capabilities", "works"), [(["CHOWN"], True), ([], False)], ids=["chown", "none"])
def test_daemon_of_a_node_needs_one_capability(
    podman: Podman,
    image: str,
    tmp_path: Path,
    capabilities: list[str],
    works: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """As root of the node, CHOWN alone sets a file's group; without it, no token is published."""
    rights = ["--user=0:0", *(f"--cap-add={name}" for name in capabilities)]

    with run_daemon(podman, image, tmp_path, *rights, user=0, owner=":1042") as root:
        token = root / "main" / "token"
        until(lambda: token.exists() or "publish_failed" in podman.attempt("logs", "daemon").stderr, what="an outcome")

        assert token.exists() is works
        if works:
            assert (token.stat().st_uid, token.stat().st_gid, token.stat().st_mode & 0o777) == (0, 1042, 0o440)
