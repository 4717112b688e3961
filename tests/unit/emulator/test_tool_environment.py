"""`refresher emulator --print`: the variables with which Terraform and gcloud use a running emulator."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import pytest

from refresher.emulator.program import READY
from refresher.emulator.tool_environment import CLOSED, gcloud_variables, terraform_variables, write_environment
from refresher.errors import EmulatorError
from tests.terraform.tool import environment

if TYPE_CHECKING:
    from collections.abc import Iterator

ORIGIN = "http://127.0.0.1:8080"
PROGRAM = str(Path(sys.executable).with_name("refresher"))


@contextmanager
def running(directory: Path, *, end: int) -> Iterator[str]:
    """Run the command on a directory and end it with a signal; yield its plain origin."""
    command = [PROGRAM, "emulator", "--directory", str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["http"]
        finally:
            process.send_signal(end)


def ask(method: str, url: str, body: bytes | None = None) -> Any:  # noqa: ANN401 - JSON
    """Send a request to the emulator's own API and return the JSON of the answer."""
    with urlopen(Request(url, data=body, method=method), timeout=20) as reply:  # noqa: S310 - our own emulator
        return json.load(reply)


def print_environment(tool: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run the command with `--print`."""
    command = [PROGRAM, "emulator", "--directory", str(directory), "--print", tool]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


def test_terraform_has_every_endpoint_that_our_modules_need(tmp_path: Path) -> None:
    """The variables are those with which the tests run our modules on the emulator, and a proxy that is closed."""
    (tmp_path / "mirror").mkdir()
    tried = environment(tmp_path, ORIGIN, project="example.com:legacy")

    printed = terraform_variables(ORIGIN, "example.com:legacy")

    assert len([name for name in printed if name.endswith("_CUSTOM_ENDPOINT")]) == 11
    assert {name: value for name, value in tried.items() if name.startswith(("GOOGLE_", "HTTPS_"))} == {
        name: value for name, value in printed.items() if name.upper() != "NO_PROXY"
    }
    assert (printed["HTTPS_PROXY"], printed["NO_PROXY"]) == (CLOSED, "127.0.0.1,localhost")


@pytest.mark.parametrize(
    ("origin", "hosts"),
    [("http://localhost:1", "127.0.0.1,localhost"), ("http://google:8080", "127.0.0.1,localhost,google")],
)
def test_no_proxy_has_the_host_of_the_emulator(origin: str, hosts: str) -> None:
    """Both tools reach the emulator without a proxy, under whatever name it listens and whatever the shell has set.

    Go prefers the name in upper case, Python the one in lower case.
    """
    for printed in (terraform_variables(origin, "p"), gcloud_variables(origin, "p")):
        assert (printed["NO_PROXY"], printed["no_proxy"]) == (hosts, hosts)


def test_gcloud_refreshes_credentials_at_the_emulator() -> None:
    """The token endpoint and each of the services of gcloud are at the emulator's origin."""
    printed = gcloud_variables(ORIGIN, "my-project")

    assert printed["CLOUDSDK_AUTH_TOKEN_HOST"] == f"{ORIGIN}/token"
    assert printed["CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE"] == f"{ORIGIN}/storage/v1/"
    assert all(value.startswith(f"{ORIGIN}/") for name, value in printed.items() if "OVERRIDES" in name)


@pytest.mark.slow  # starts the command
def test_lines_for_a_shell_are_of_the_running_emulator(tmp_path: Path) -> None:
    """The lines have the origin, also of a second start, nothing else is printed, and no fault is used up."""
    for end in (signal.SIGKILL, signal.SIGTERM):
        with running(tmp_path, end=end) as origin:
            ask("POST", f"{origin}/emulator/faults", b'{"operation": "*", "status": 503}')
            done = print_environment("terraform", tmp_path)
            lines = [shlex.split(line) for line in done.stdout.splitlines()]

            assert (done.returncode, done.stderr) == (0, "")
            assert {word for word, _ in lines} == {"export"}
            assert dict(pair.split("=", 1) for _, pair in lines) == terraform_variables(origin, "my-project")
            assert f"export CLOUDSDK_API_ENDPOINT_OVERRIDES_IAM={origin}/\n" in write_environment("gcloud", tmp_path)
            assert ask("GET", f"{origin}/emulator/faults")["pending"] == {"*": 1}
            ask("DELETE", f"{origin}/emulator/faults")


@pytest.mark.slow  # starts the command
def test_nothing_is_printed_without_a_running_emulator(tmp_path: Path) -> None:
    """A directory without an emulator, with a killed one, and with an ended one is an error that shows what to do."""
    with running(tmp_path, end=signal.SIGKILL):
        assert (tmp_path / READY).exists()
    killed = print_environment("gcloud", tmp_path)
    with running(tmp_path, end=signal.SIGTERM):
        pass

    assert not (tmp_path / READY).exists()
    for done in (killed, print_environment("terraform", tmp_path)):
        assert (done.returncode != 0, done.stdout) == (True, "")
        assert f"no emulator runs on {tmp_path}" in done.stderr
        assert f"refresher emulator --directory {tmp_path}" in done.stderr


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"http": "http://127.0.0.1:9"}', '{"http": "nothing"}'])
def test_damaged_ready_line_is_no_emulator(tmp_path: Path, text: str) -> None:
    """Whatever the file of the ready line contains, the answer is the same error."""
    (tmp_path / READY).write_text(text)

    with pytest.raises(EmulatorError) as refused:
        write_environment("terraform", tmp_path)

    assert refused.value.problem == f"no emulator runs on {tmp_path}"
