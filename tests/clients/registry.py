"""All clients, in the order of the tables."""

from __future__ import annotations

from tests.clients.languages import LIBRARIES, METADATA_LIBRARIES
from tests.clients.tools import METADATA_TOOLS, TOOLS

CLIENTS = (*LIBRARIES, *TOOLS)
METADATA_CLIENTS = (
    *(client for client in (*LIBRARIES, *METADATA_LIBRARIES, *TOOLS, *METADATA_TOOLS) if client.asks_metadata),
)
"""Those that run with a metadata endpoint."""
