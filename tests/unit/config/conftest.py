"""A directory of configuration files that only their owner can write to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from refresher.config.loader import LoadedConfiguration, load
from refresher.settings.places import InvalidConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

VALID = """\
version: 1
providers:
  main: {project_number: "123456789012", pool: workers, provider: refresher}
suppliers:
  worker: {kind: self_issued, issuer: "https://workers.invalid", keys: keys}
identities:
  alice: {service_account: alice@my-project.iam.gserviceaccount.com, subject: user-1042}
targets:
  alice: {}
"""


class Workspace:
    """Writes configuration files, loads the main one, and names problems by file name only."""

    valid = VALID

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.main = directory / "refresher.yaml"
        self.drop_ins = directory / "targets.d"

    def write(self, content: str | bytes, name: str = "refresher.yaml") -> Path:
        """Write a file, safe by its mode whatever the umask."""
        path = self.directory / name
        path.parent.mkdir(mode=0o755, exist_ok=True)
        path.parent.chmod(0o755)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(0o644)
        return path

    def load(self, previous: LoadedConfiguration | None = None) -> LoadedConfiguration:
        """Load the main file."""
        return load(self.main, previous=previous)

    def problems(self) -> list[str]:
        """Return what is wrong with the main file."""
        with pytest.raises(InvalidConfigurationError) as caught:
            self.load()
        return [self.shortened(str(problem)) for problem in caught.value.problems]

    def shortened(self, text: str) -> str:
        """Leave the directory out of a message."""
        return text.replace(f"{self.directory}/", "")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Return an empty directory with its drop-in directory."""
    made = Workspace(tmp_path)
    tmp_path.chmod(0o755)
    made.drop_ins.mkdir(mode=0o755)
    made.drop_ins.chmod(0o755)
    return made
