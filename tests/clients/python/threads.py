"""A user's program with many threads that share each token: one call first, and non-blocking refreshes.

It prints how many access tokens it has requested once it has used three.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import google.auth
from google.auth.transport.requests import AuthorizedSession

TOKENS = 3
SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]


def main(url: str, threads: int) -> None:
    """Call from all threads at once, again and again, until the credentials were renewed twice."""
    credentials, _ = google.auth.default(SCOPES)
    credentials.with_non_blocking_refresh()  # type: ignore[no-untyped-call] # it has no types
    session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call] # it has no types
    seen: set[str | None] = set()
    pause = Event()

    def call(_: int) -> None:
        while len(seen) < TOKENS:
            session.get(url, timeout=30).raise_for_status()
            seen.add(credentials.token)
            pause.wait(0.1)

    session.get(url, timeout=30).raise_for_status()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(call, range(threads)))
    sys.stdout.write(str(len(seen)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
