from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.line_server import LineServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.line_server import Treat


@pytest.fixture
def serve() -> Iterator[Callable[[Treat], LineServer]]:
    """Return a maker of servers; all end with the test."""
    servers: list[LineServer] = []

    def make(treat: Treat) -> LineServer:
        servers.append(LineServer(treat))
        return servers[-1]

    yield make
    for server in servers:
        server.close()
