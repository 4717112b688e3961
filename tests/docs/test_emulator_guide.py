"""The steps of "Try it" in `docs/emulator.md`, typed in order as they are on the page."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.docs.reference import REPOSITORY
from tests.terraform.tool import environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Need

pytestmark = pytest.mark.slow  # starts the emulator
STEPS = (REPOSITORY / "docs" / "emulator.md").read_text().partition("\n## Try it\n")[2].partition("\n## ")[0]
BLOCKS = re.findall(r"^```sh\n(.*?)^```", STEPS, re.MULTILINE | re.DOTALL)
PLACE = "/tmp/refresher-try"  # noqa: S108 - the page's, replaced by a test's own
SECONDS = 120.0


@dataclass(frozen=True)
class Reader:
    """A reader of the page, who has the repository and another directory and other ports than those of the page."""

    place: Path
    ports: dict[str, str]

    def adapt(self, text: str) -> str:
        """Replace the directory and the ports of the page."""
        for shown, own in {PLACE: str(self.place), **self.ports}.items():
            text = text.replace(shown, own)
        return text

    def type(self, commands: str, **variables: str) -> str:
        """Type commands in a new terminal in the place, stop at the first error, and return what they print."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.adapt(commands)],
            cwd=self.place if self.place.exists() else REPOSITORY,
            env={**_variables(), **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Type the first block, whose last command is the emulator, and return when that is ready."""
    with ExitStack() as sockets:
        opened = [sockets.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        ports = dict(zip(("8080", "8443"), (str(one.getsockname()[1]) for one in opened), strict=True))
    made = Reader(place=tmp_path_factory.mktemp("reader") / "try", ports=ports)
    preparation, _, start = BLOCKS[0].rstrip().rpartition("\n")
    made.type(preparation)
    settings = made.place / "emulator.yaml"
    settings.write_text(made.adapt(settings.read_text()))
    command = shlex.split(made.adapt(start))
    with subprocess.Popen(command, cwd=made.place, env=_variables(), stdout=subprocess.PIPE, text=True) as emulator:
        assert emulator.stdout is not None
        assert made.ports["8080"] in emulator.stdout.readline()
        yield made
        emulator.send_signal(signal.SIGINT)
    assert emulator.returncode == 0


def test_page_has_the_steps_that_are_tried() -> None:
    """Each block of the part is typed by one of these tests."""
    beginnings = [block.split()[0] for block in BLOCKS]

    assert beginnings == ["mkdir", "cd", "token=$(refresher", "cat", "export"]


def test_credentials_are_written_and_used(reader: Reader) -> None:
    """The second terminal writes and proves the credentials, and the requests are answered as the page states."""
    promised = re.search(r"The last line is `(.+)`\.", STEPS)
    assert promised is not None

    written = reader.type(BLOCKS[1])
    asked = reader.type(BLOCKS[2])

    assert written.splitlines()[-1] == promised[1]
    assert asked.startswith('{"kind": "storage#objects"}')
    assert "does not have storage.buckets.get access" in asked


def test_terraform_creates_an_account(reader: Reader, need: Need, tmp_path: Path) -> None:
    """With the printed variables Terraform applies; only the source of the provider is the test's."""
    need.terraform()
    mirror = environment(tmp_path)

    applied = reader.type(BLOCKS[3], TF_CLI_CONFIG_FILE=mirror["TF_CLI_CONFIG_FILE"], CHECKPOINT_DISABLE="1")

    assert "1 added, 0 changed" in applied
    listed = reader.type(
        'curl -sH "Authorization: Bearer anything" 127.0.0.1:8080/v1/projects/my-project/serviceAccounts'
    )
    assert "task-batch@my-project.iam.gserviceaccount.com" in listed


def test_gcloud_impersonates_with_a_key(reader: Reader, need: Need) -> None:
    """With the printed variables gcloud administers, and acts as an account by its key."""
    need.tool("gcloud", "see cloud.google.com/sdk/docs/install")

    printed = reader.type(BLOCKS[4], CLOUDSDK_CORE_DISABLE_PROMPTS="1")

    (token,) = re.findall(r"^ya29\..+$", printed, re.MULTILINE)
    shown = reader.type(f'curl -sH "Authorization: Bearer {token}" http://127.0.0.1:8080/emulator/whoami')
    assert '"service_account": "task-alice@my-project.iam.gserviceaccount.com"' in shown


def _variables() -> dict[str, str]:
    """Return the variables of a terminal that finds our command."""
    return {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": os.environ["HOME"]}
