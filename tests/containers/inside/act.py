"""Call Google again and again with google-auth and the variables, while the token is replaced several times.

Arguments: the URL that shows the caller of a token, and the number of tokens to use. Each call prints one line of JSON:
the account that it acted as, or its error.
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
    """Read the token file only to count the tokens; the credentials read it themselves."""
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
