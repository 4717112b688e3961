from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.installation import install
from tests.packages.podman import DEBIAN, open_podman

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Need
    from tests.packages.podman import Podman


@pytest.fixture(scope="session")
def podman(need: Need) -> Iterator[Podman]:
    """Return podman with a storage of its own, which holds a bare Debian as the image `BASE`."""
    need.root()
    for tool in ("podman", "runc"):
        need.tool(tool, f"apt install {tool}")
    with open_podman(install(DEBIAN, need)) as made:
        yield made
