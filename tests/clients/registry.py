"""All clients, in the order of the table."""

from __future__ import annotations

from tests.clients.languages import LIBRARIES
from tests.clients.tools import TOOLS

CLIENTS = (*LIBRARIES, *TOOLS)
