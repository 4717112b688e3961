from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.clients.conftest import BUCKET, OBJECT
from tests.clients.install import PYTHON
from tests.installing import INSTALL_SECONDS

if TYPE_CHECKING:
    from tests.clients.conftest import Site


@pytest.mark.timeout(INSTALL_SECONDS)
def test_google_cloud_storage_works_completely(site: Site) -> None:
    """Multipart and resumable uploads, checksums, ranges, pages, preconditions, copies and compositions all work."""
    made = PYTHON.made()
    command = (str(made / ".venv" / "bin" / "python"), str(made / "storage.py"), site.google.http, BUCKET)

    done = site.run(*command, variables=site.variables(None))

    assert json.loads(done.stdout) == {
        "small": ["small", "text/x", {"a": "b"}],
        "large": True,
        "range": "010203",
        "listed": ["in/large", "in/small"],
        "precondition": 412,
        "joined": "smallsmall",
        "left": ["copy", OBJECT, "in/large", "joined"],
    }
