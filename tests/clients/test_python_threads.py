from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.clients.conftest import ALICE, BUCKET, OBJECT
from tests.clients.install import PYTHON
from tests.clients.play import THREADS
from tests.installing import INSTALL_SECONDS

if TYPE_CHECKING:
    from tests.clients.conftest import Site

LIFE = 230.0
"""Seconds that access tokens live: google-auth gets a new one 225 s before the end."""

AT_THE_END = 2
"""Renewals that nobody looks at any more."""


@pytest.mark.timeout(INSTALL_SECONDS)
def test_threads_that_renew_apart_share_every_token(site: Site) -> None:
    """With a call before the threads begin and `with_non_blocking_refresh`, each token is asked for once."""
    site.google.add_service_account(ALICE).longest_life = LIFE
    made = PYTHON.made()
    url = f"{site.google.http}/storage/v1/b/{BUCKET}/o/{OBJECT}?alt=media"
    command = (str(made / ".venv" / "bin" / "python"), str(made / "threads.py"), url, str(THREADS))

    done = site.run(*command, variables=site.variables())

    asked = Counter(entry.operation for entry in site.google.journal.entries())
    # at the end the next renewals may have begun, on a slow machine; apart, each thread would make its own
    assert asked["iamcredentials.generateAccessToken"] <= int(done.stdout) + AT_THE_END < THREADS
    assert asked["sts.token"] <= int(done.stdout) + AT_THE_END
