from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from tests.clients.conftest import BUCKET, OBJECT, install

if TYPE_CHECKING:
    from tests.clients.conftest import Site
    from tests.conftest import Need


def test_googles_own_client_of_cloud_storage(site: Site, need: Need) -> None:
    """Multipart and resumable uploads, checksums, ranges, pages, preconditions, copies and compositions all work."""
    command = (sys.executable, "-m", "pip", "install", "--quiet", "--target", "packages", "-r", "requirements.txt")
    made = install("python", *command, need=need, tool=sys.executable, how="install Python")
    variables = {**site.variables(None), "PYTHONPATH": str(made / "packages"), "PYTHONDONTWRITEBYTECODE": "1"}

    done = site.run(sys.executable, str(made / "storage.py"), site.google.http, BUCKET, variables=variables)

    assert json.loads(done.stdout) == {
        "small": ["small", "text/x", {"a": "b"}],
        "large": True,
        "range": "010203",
        "listed": ["in/large", "in/small"],
        "precondition": 412,
        "joined": "smallsmall",
        "left": ["copy", OBJECT, "in/large", "joined"],
    }
