"""What a refresh costs with the programs that people use instead, side by side in one run, against the same server.

Each peer writes a fresh access token of a service account into a file, for as many accounts as it is given: by
`gcloud`, by a Python process for each token as cron starts it, by a loop of curl, and by a loop of google-auth in one
process. Ours does it with `via: impersonation` for all at once. Every figure is of whole processes, their start
included, divided by the number of tokens.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.bench.fixtures import COMMAND
from tests.bench.processes import Run, run

SERVER = Path(__file__).with_name("google.py")
DELAYS = (0, 100)
"""Milliseconds until the server answers."""

_ACCOUNT = "task-{}@my-project.iam.gserviceaccount.com"
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_LOOP = f"""
import os, sys
import google.auth.compute_engine
from google.auth import impersonated_credentials
from google.auth.transport.requests import Request

origin, root, begin, end = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
for number in range(begin, end):
    account = "{_ACCOUNT}".format(number)
    credentials = impersonated_credentials.Credentials(
        google.auth.compute_engine.Credentials(), account, ["{_SCOPE}"],
        iam_endpoint_override=f"{{origin}}/v1/projects/-/serviceAccounts/{{account}}:generateAccessToken",
    )
    credentials.refresh(Request())
    path = f"{{root}}/{{number}}"
    with open(path + ".tmp", "w") as file:
        file.write(credentials.token)
        file.flush()
        os.fsync(file.fileno())
    os.rename(path + ".tmp", path)
"""
_CURL = f"""
set -eu
for number in $(seq 0 $(($3 - 1))); do
  account=$(printf '{_ACCOUNT.replace("{}", "%s")}' "$number")
  source=$(curl -sf -H 'Metadata-Flavor: Google' \\
    "$1/computeMetadata/v1/instance/service-accounts/default/token" |
    sed 's/.*"access_token": "\\([^"]*\\)".*/\\1/')
  curl -sf -H "Authorization: Bearer $source" -H 'Content-Type: application/json' \\
    -d '{{"scope": ["{_SCOPE}"]}}' "$1/v1/projects/-/serviceAccounts/$account:generateAccessToken" |
    sed 's/.*"accessToken": "\\([^"]*\\)".*/\\1/' > "$2/$number.tmp"
  mv "$2/$number.tmp" "$2/$number"
done
"""


class Peer(NamedTuple):
    """A way to write fresh tokens.

    Attributes:
        name: What people call it.
        tool: The program that it needs.
        tokens: How many are written, so that a run takes seconds.
        run: Writes that many tokens below a directory, with a server's origin.
    """

    name: str
    tool: str
    tokens: int
    run: Callable[[str, Path, int], list[Run]]


class Cost(NamedTuple):
    """What one token takes, in milliseconds; `mebibytes` is the most memory of one process."""

    name: str
    tokens: int
    delay: int
    wall: float
    processor: float
    mebibytes: float


def measure() -> Iterator[Cost]:
    """Return the cost of each peer whose tool is there, for each delay of the server."""
    for delay in DELAYS:
        with serve(delay) as origin:
            for peer in PEERS:
                if shutil.which(peer.tool) is None:
                    continue
                with tempfile.TemporaryDirectory(dir=".venv", prefix="bench-") as directory:
                    runs = peer.run(origin, Path(directory).absolute(), peer.tokens)
                wall, processor = sum(each.wall for each in runs), sum(each.processor for each in runs)
                most = max(each.mebibytes for each in runs)
                yield Cost(peer.name, peer.tokens, delay, wall / peer.tokens * 1e3, processor / peer.tokens * 1e3, most)


@contextmanager
def serve(delay: int) -> Iterator[str]:
    """Run the server with a delay in milliseconds; return its origin."""
    with subprocess.Popen([sys.executable, str(SERVER), str(delay)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


def _on_this_machine(origin: str) -> dict[str, str]:
    """Return an environment in which Google's libraries find the server as their metadata server."""
    host = origin.removeprefix("http://")
    return {**os.environ, "GCE_METADATA_HOST": host, "GCE_METADATA_ROOT": host, "GCE_METADATA_IP": host}


def _run_gcloud(origin: str, directory: Path, count: int) -> list[Run]:
    source = directory / "source"
    source.write_text("ya29.source", encoding="ascii")
    environment = {
        **os.environ,
        "CLOUDSDK_CONFIG": str(directory / "gcloud"),
        "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(source),
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS": f"{origin}/",
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
    }
    command = 'gcloud auth print-access-token --impersonate-service-account="$1" > "$2.tmp" && mv "$2.tmp" "$2"'
    return [
        run(["sh", "-c", command, "sh", _ACCOUNT.format(number), str(directory / str(number))], environment)
        for number in range(count)
    ]


def _run_cron(origin: str, directory: Path, count: int) -> list[Run]:
    environment = _on_this_machine(origin)
    command = [sys.executable, "-c", _LOOP, origin, str(directory)]
    return [run([*command, str(number), str(number + 1)], environment) for number in range(count)]


def _run_loop(origin: str, directory: Path, count: int) -> list[Run]:
    return [run([sys.executable, "-c", _LOOP, origin, str(directory), "0", str(count)], _on_this_machine(origin))]


def _run_curl(origin: str, directory: Path, count: int) -> list[Run]:
    return [run(["sh", "-c", _CURL, "sh", origin, str(directory), str(count)])]


def _run_ours(origin: str, directory: Path, count: int) -> list[Run]:
    configuration = write_without_pool(directory, count, origin)
    return [run([*COMMAND, "once", "--config", str(configuration)])]


def write_without_pool(directory: Path, count: int, origin: str) -> Path:
    """Write a configuration in which the worker's account impersonates this many others, and return its path."""
    accounts = {f"t{number}": _ACCOUNT.format(number) for number in range(count)}
    lines = [
        "version: 1",
        f"google: {{emulator: true, endpoints: {{sts: {origin}, iam_credentials: {origin}, metadata: {origin}}}}}",
        f"directory_root: {directory / 'run'}",
        "listen: none",
        "canary: off",
        "identities:",
        *(f"  {name}: {{service_account: {account}, via: impersonation}}" for name, account in accounts.items()),
        "targets:",
        *(f"  {name}: {{}}" for name in accounts),
    ]
    path = directory / "refresher.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")
    path.chmod(0o600)
    return path


PEERS = (
    Peer("gcloud, a process for each token", "gcloud", 3, _run_gcloud),
    Peer("cron: a Python process for each token, google-auth", "python3", 5, _run_cron),
    Peer("a shell loop with curl", "curl", 20, _run_curl),
    Peer("one Python process, a loop of google-auth", "python3", 20, _run_loop),
    Peer("refresher once, 64 tokens", "python3", 64, _run_ours),
    Peer("refresher once, 1,000 tokens", "python3", 1000, _run_ours),
)
