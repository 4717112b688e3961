"""Configurations of any size for the benchmarks, and the calls of the real command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

COMMAND = [str(Path(sys.executable).with_name("refresher"))]


def write_configuration(
    directory: Path,
    count: int,
    *,
    targets: int | None = None,
    more: str = "",
    listen: str = "none",
    canary: str = "off",
    lifetime: str = "1h",
) -> Path:
    """Write a configuration with this many identities, a self-issued target of each or of the first, and a key."""
    keys = directory / "keys"
    subprocess.run([*COMMAND, "keys", "new", "--directory", str(keys)], check=True, capture_output=True)
    lines = [
        "version: 1",
        'providers: {main: {project_number: "123456789012", pool: workers, provider: refresher}}',
        "project: my-project",
        "suppliers:",
        f"  worker: {{kind: self_issued, issuer: https://workers.invalid, keys: {keys}, lifetime: {lifetime}}}",
        f"directory_root: {directory / 'run'}",
        f"listen: {listen}",
        f"canary: {canary}",
        "identities:",
        *(
            f"  t{number}: {{service_account: t{number}@my-project.iam.gserviceaccount.com, subject: user-{number}}}"
            for number in range(count)
        ),
        "targets:" if targets != 0 else "targets: {}",
        *(f"  t{number}: {{}}" for number in range(count if targets is None else targets)),
        more,
    ]
    path = directory / "refresher.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")
    path.chmod(0o600)
    return path
