from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from refresher.publishing.artifacts import DESCRIPTIONS, TOKEN, list_required
from refresher.publishing.atomic import Ownership
from refresher.publishing.directory import CredentialsDirectory, TargetRecord

if TYPE_CHECKING:
    from pathlib import Path

RECORD = TargetRecord("alice", "alice", "0" * 32)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a directory root that no other user may write to."""
    made = tmp_path / "root"
    made.mkdir(mode=0o755)
    return made


@pytest.fixture
def directory(root: Path) -> CredentialsDirectory:
    """Return a credentials directory that does not exist yet, of the daemon's own files."""
    return build_directory(root, "alice")


def build_directory(
    root: Path, name: str, *, uid: int | None = None, gid: int | None = None, mode: int = 0o400, is_shared: bool = False
) -> CredentialsDirectory:
    """Return a credentials directory in a root."""
    return CredentialsDirectory(
        root=root,
        name=name,
        ownership=Ownership(uid=uid, gid=gid, mode=mode),
        random_name=lambda: secrets.token_hex(8),
        artifacts=(*list_required(TOKEN), DESCRIPTIONS),
        is_root_shared=is_shared,
    )
