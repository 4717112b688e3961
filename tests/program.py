"""The real program as a process in a worker's own directory, for end-to-end and fault tests.

All its output is stored, so that a test can search it for secrets at its end.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

COMMAND = (str(Path(sys.executable).with_name("refresher")),)
ISSUER = "https://workers.invalid"
PROJECT = "my-project"
PATIENCE = 60.0
"""How many seconds a test waits for anything on a busy machine."""

_SECRET = re.compile(r"(?<![\w-])eyJ[\w-]{8,}|ya29\.[\w-]+|-----BEGIN [A-Z ]*PRIVATE KEY")
_VARIABLES = ("HOME", "PATH", "LANG", "TMPDIR", "PYTHONDONTWRITEBYTECODE")


def until(condition: Callable[[], Any], *, what: str) -> Any:  # noqa: ANN401 - any result
    """Poll a condition until it is true, and return its result.

    Raises:
        AssertionError: It was not true in time.
    """
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.02)
    return found


def remove_tree(path: Path) -> None:
    """Remove a directory, and again what the daemon writes into it meanwhile: then it is not empty."""

    def is_removed() -> bool:
        try:
            shutil.rmtree(path)
        except OSError:
            return not path.exists()
        return True

    until(is_removed, what=f"the removal of {path}")


def stretch(seconds: float) -> float:
    """Return how long that takes on this machine now which takes so many seconds where each process has a core."""
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def secret_in(text: str) -> str | None:
    """Return the first characters of a token or private key in a text; None without one."""
    found = _SECRET.search(text)
    return found[0][:12] if found else None


@dataclass
class Log:
    """A running daemon and its log so far."""

    process: subprocess.Popen[str]
    path: Path

    def events(self, name: str | None = None, **fields: object) -> list[dict[str, Any]]:
        """Return the events so far, optionally of one name and with these fields."""
        lines = self.path.read_text().splitlines()
        read = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [
            event
            for event in read
            if name in (None, event["event"]) and all(event.get(key) == value for key, value in fields.items())
        ]

    def wait_for(self, name: str, *, count: int = 1, **fields: object) -> dict[str, Any]:
        """Wait until an event was logged this often; return the last of them."""
        try:
            until(lambda: len(self.events(name, **fields)) >= count, what=f"{count} x {name} {fields}")
        except AssertionError as error:
            raise AssertionError(f"{error}; logged:\n{self.path.read_text()}") from None
        return self.events(name, **fields)[-1]

    def send(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def end(self, number: int) -> int:
        """Send a signal and wait for the end; return the exit status."""
        self.send(number)
        return self.process.wait(PATIENCE)


@dataclass
class Worker:
    """A worker machine in a directory: keys, configuration, credentials directories, and the program.

    Attributes:
        place: The directory with everything.
        lifetime: The lifetime of subject tokens.
        google: Additional keys of the configuration below `google`.
        prefix: A command in front of the program's own, such as a tracer.
        environment: Variables in addition to the usual ones.
    """

    place: Path
    lifetime: str = "1h"
    google: Mapping[str, Any] | None = None
    prefix: list[str] = field(default_factory=list)
    environment: Mapping[str, str] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)
    _logs: list[Path] = field(default_factory=list)

    @property
    def configuration(self) -> Path:
        """The configuration file."""
        return self.place / "refresher.yaml"

    @property
    def root(self) -> Path:
        """The directory root."""
        return self.place / "run"

    @property
    def drop_ins(self) -> Path:
        """The directory of drop-ins."""
        return self.place / "targets.d"

    def directory(self, target: str) -> Path:
        """Return the credentials directory of a target."""
        return self.root / target

    def token(self, target: str) -> str:
        """Return the content of a target's token file."""
        return (self.directory(target) / "token").read_text()

    def files(self, target: str) -> dict[str, bytes]:
        """Return what a container can use: every file of a target's directory except the daemon's record, by name."""
        place = self.directory(target)
        found = {str(path.relative_to(place)): path for path in place.rglob("*") if path.is_file()}
        return {name: path.read_bytes() for name, path in found.items() if name != ".target"}

    def make_keys(self, algorithm: str = "ES256") -> dict[str, Any]:
        """Create the signing key; return the JWKS for the upload."""
        self.run("keys", "new", "--directory", str(self.place / "keys"), "--algorithm", algorithm)
        return self.public_keys()

    def public_keys(self) -> dict[str, Any]:
        """Return the JWKS of its keys directory."""
        jwks: dict[str, Any] = json.loads(self.run("keys", "jwks", "--directory", str(self.place / "keys")).stdout)
        return jwks

    def document(self, *targets: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - any key of the configuration
        """Compose a configuration of targets, each with an identity, subject and service account of its name."""
        supplier = {"kind": "self_issued", "issuer": ISSUER, "keys": "keys", "lifetime": self.lifetime}
        document: dict[str, Any] = {
            "version": 1,
            "providers": {"main": {"project_number": "123456789012", "pool": "workers", "provider": "refresher"}},
            "project": PROJECT,
            "suppliers": {"worker": supplier},
            "identities": {name: {"service_account": account_of(name), "subject": f"user-{name}"} for name in targets},
            "directory_root": str(self.root),
            "listen": "none",
            "canary": "off",
            "targets": {name: {} for name in targets},
        }
        if self.google is not None:
            document["google"] = dict(self.google)
        return document | more

    def configure(self, *targets: str, **more: Any) -> None:  # noqa: ANN401 - any key of the configuration
        """Write a configuration of targets in one step."""
        self.write(self.document(*targets, **more))

    def write(self, document: Mapping[str, Any]) -> None:
        """Write a configuration in one step."""
        temporary = self.configuration.with_suffix(".new")
        temporary.write_text(yaml.safe_dump(dict(document)))
        temporary.chmod(0o600)
        temporary.rename(self.configuration)

    def drop_in(self, target: str, **body: Any) -> None:  # noqa: ANN401 - any key of a target
        """Add or replace a drop-in in one step."""
        self.drop_ins.mkdir(mode=0o755, exist_ok=True)
        temporary = self.drop_ins / f".{target}.new"
        temporary.write_text(yaml.safe_dump(body))
        temporary.chmod(0o644)
        temporary.rename(self.drop_ins / f"{target}.yaml")

    def run(self, *arguments: str, umask: int = -1, status: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run a command until it ends and check its exit status, unless that is None."""
        done = subprocess.run(
            [*self.prefix, *COMMAND, *arguments],
            env=self._variables(),
            capture_output=True,
            text=True,
            check=False,
            timeout=4 * PATIENCE,
            umask=umask,
        )
        self.outputs += [done.stdout, done.stderr]
        if status is not None:
            assert done.returncode == status, done.stderr
        return done

    def command(self, name: str, *arguments: str, status: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run a command with the configuration."""
        return self.run(name, "--config", str(self.configuration), *arguments, status=status)

    def once(self, *arguments: str, status: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Refresh once."""
        return self.command("once", *arguments, status=status)

    def status(self) -> dict[str, dict[str, Any]]:
        """Return the entries of `status` by target."""
        report = json.loads(self.command("status", "--json").stdout)
        return {target["name"]: target for target in report["targets"]}

    @contextmanager
    def running(self, name: str, *arguments: str) -> Iterator[Log]:
        """Run a command that takes `--config` for the length of a `with` block, unless it ends before."""
        path = self.place / f"log-{len(self._logs)}"
        self._logs.append(path)
        with path.open("w") as log:
            process = subprocess.Popen(
                [*self.prefix, *COMMAND, name, "--config", str(self.configuration), *arguments],
                env=self._variables(),
                stdout=log,
                stderr=log,
                text=True,
            )
        try:
            yield Log(process=process, path=path)
        finally:
            process.kill()
            process.wait(PATIENCE)

    def daemon(self, *arguments: str) -> AbstractContextManager[Log]:
        """Run the daemon for the length of a `with` block, unless it ends before."""
        return self.running("run", *arguments)

    def everything_printed(self) -> str:
        """Return the whole output of its commands and daemons."""
        return "\n".join([*self.outputs, *(path.read_text() for path in self._logs)])

    def _variables(self) -> dict[str, str]:
        return {name: os.environ[name] for name in _VARIABLES if name in os.environ} | dict(self.environment)


def account_of(name: str) -> str:
    """Return the e-mail of the service account for a name."""
    return f"{name}@{PROJECT}.iam.gserviceaccount.com"
