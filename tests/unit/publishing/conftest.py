from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from refresher.publishing.directory import CredentialsDirectory
from refresher.publishing.ownership import Ownership

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give a directory root that nobody else may write to."""
    made = tmp_path / "root"
    made.mkdir(mode=0o755)
    return made


@pytest.fixture
def directory(root: Path) -> CredentialsDirectory:
    """Give a credentials directory that does not exist yet, of the daemon's own files."""
    return directory_at(root, "alice")


def directory_at(
    root: Path, name: str, *, uid: int | None = None, gid: int | None = None, mode: int = 0o400
) -> CredentialsDirectory:
    """Give a credentials directory below a root."""
    return CredentialsDirectory(
        root=root,
        path=root / name,
        ownership=Ownership(uid=uid, gid=gid, mode=mode),
        random_name=lambda: secrets.token_hex(8),
    )
