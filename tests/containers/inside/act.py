"""Act on Google again and again with google-auth and the variables alone, while the token is replaced as often as said.

Arguments: where to ask whom a token speaks for, and the count of tokens to live through. Each call is one line of JSON:
as whom it acted, or how it failed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import google.auth
import google.auth.exceptions
import google.auth.transport.requests

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def main() -> None:
    """Read the token file only to know how many there were; the credentials read it by themselves."""
    origin, count = sys.argv[1], int(sys.argv[2])
    file = Path(os.environ["GOOGLE_APPLICATION_CREDENTIALS"]).with_name("token")
    credentials, project = google.auth.default([_SCOPE])
    seen: set[bytes] = set()
    with google.auth.transport.requests.AuthorizedSession(credentials) as session:  # type: ignore[no-untyped-call]
        while len(seen) < count:
            seen.add(file.read_bytes())
            sys.stdout.write(json.dumps({"project": project, **_act(session, origin)}) + "\n")
            sys.stdout.flush()
            time.sleep(0.2)


def _act(session: google.auth.transport.requests.AuthorizedSession, origin: str) -> dict[str, Any]:
    try:
        session.credentials.refresh(google.auth.transport.requests.Request())
        answer: dict[str, Any] = session.get(f"{origin}/emulator/whoami").json()
    except (google.auth.exceptions.GoogleAuthError, OSError) as error:
        return {"failed": type(error).__name__}
    return answer


if __name__ == "__main__":
    main()
