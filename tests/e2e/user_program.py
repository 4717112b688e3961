"""A user's program in a container: plain google-auth with the variables of `env` and nothing else."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from refresher.emulator.testing import Scenario

PROGRAM = """
import json, sys, urllib.request
import google.auth, google.auth.exceptions, google.auth.transport.requests
credentials, project = google.auth.default(["https://www.googleapis.com/auth/cloud-platform"])
with google.auth.transport.requests.Request().session as session:
    try:
        credentials.refresh(google.auth.transport.requests.Request(session))
    except google.auth.exceptions.GoogleAuthError as error:
        print(json.dumps({"refused": str(error)}))
        sys.exit()
question = urllib.request.Request(sys.argv[1], headers={"Authorization": "Bearer " + credentials.token})
with urllib.request.urlopen(question, timeout=20) as answer:
    print(json.dumps({"project": project, **json.load(answer)}))
"""


def act_as(python: Path, directory: Path, google: Scenario) -> dict[str, str]:
    """Run a program that only has a credentials directory; return the account that Google recognises, or a refusal."""
    lines = (directory / "env").read_text().splitlines()
    done = subprocess.run(
        [str(python), "-c", PROGRAM, f"{google.http}/emulator/whoami"],
        env=dict(line.split("=", 1) for line in lines),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answer: dict[str, str] = json.loads(done.stdout)
    return answer
