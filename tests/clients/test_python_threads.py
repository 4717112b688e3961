from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.clients.conftest import ALICE, BUCKET, OBJECT
from tests.clients.install import PYTHON
from tests.clients.scenarios import THREADS
from tests.installing import INSTALL_SECONDS

if TYPE_CHECKING:
    from tests.clients.conftest import Site

LIFE = 230.0
"""How many seconds access tokens live: google-auth gets a new one 225 s before the expiry."""

AT_THE_END = 2
"""How many renewals may begin after the end."""


@pytest.mark.timeout(INSTALL_SECONDS)
def test_threads_share_every_token(site: Site) -> None:
    """With a call before the threads begin and `with_non_blocking_refresh`, each token is requested once."""
    site.google.add_service_account(ALICE).longest_life = LIFE
    made = PYTHON.made()
    url = f"{site.google.http}/storage/v1/b/{BUCKET}/o/{OBJECT}?alt=media"
    command = (str(made / ".venv" / "bin" / "python"), str(made / "threads.py"), url, str(THREADS))

    done = site.run(*command, variables=site.variables())

    asked = Counter(entry.operation for entry in site.google.journal.entries())
    # on a slow machine the next renewals may have begun at the end; without sharing, each thread would have its own
    assert asked["iamcredentials.generateAccessToken"] <= int(done.stdout) + AT_THE_END < THREADS
    assert asked["sts.token"] <= int(done.stdout) + AT_THE_END
