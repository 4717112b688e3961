"""The time to load ten thousand targets, compared with PyYAML's own C loader on the same text.

Both run in this process, in turn; the processor time of the whole process is measured.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from refresher.config.loader import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

TARGETS = 10_000
LIMIT = 1.5
ROUNDS = 5

HEAD = """\
version: 1
providers:
  main:
    project_number: "123456789012"
    pool: workers
    provider: refresher
project: my-project
suppliers:
  worker:
    kind: self_issued
    issuer: https://workers.example.com
    keys: /var/lib/refresher/keys
    lifetime: 1h
directory_root: /run/refresher
"""
IDENTITY = """\
  user-{n}:
    service_account: user-{n}@my-project.iam.gserviceaccount.com
    subject: user-{n}
    supplier: worker
    lifetime: 1h
    delegates: []
    scopes: []
"""
TARGET = """\
  task-{n}:
    identity: user-{n}
    container_directory: /var/run/google
    owner: {n}:{n}
    mode: "0440"
"""


def text(count: int) -> str:
    """Write a configuration with this many identities and targets."""
    identities = "".join(IDENTITY.format(n=n) for n in range(count))
    targets = "".join(TARGET.format(n=n) for n in range(count))
    return f"{HEAD}identities:\n{identities}targets:\n{targets}"


def measure() -> Iterator[dict[str, Any]]:
    """Return the ratio of loading to the YAML parser alone."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "refresher.yaml"
        path.write_text(text(TARGETS))
        path.chmod(0o600)
        content = path.read_text()
        ratios = []
        for _ in range(ROUNDS):
            alone = _processor_time(lambda: yaml.load(content, Loader=yaml.CSafeLoader))
            ratios.append(_processor_time(lambda: load(path)) / alone)
    yield {"name": "config_load_10000", "ratio": round(statistics.median(ratios), 3), "limit": LIMIT}


def _processor_time(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start
