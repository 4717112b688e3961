"""The emulator's metadata server as the default credentials of a machine."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from refresher.emulator.testing import Scenario

ACCOUNT = "machine@my-project.iam.gserviceaccount.com"
ACT = """
import google.auth
from google.auth.transport.requests import Request
credentials, project = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
credentials.refresh(Request())
print(project, credentials.service_account_email, bool(credentials.token))
"""


def test_default_credentials_are_the_machines(google_emulator: Scenario, tmp_path: Path) -> None:
    """With only the server's address in the variable, google-auth finds the machine's account and project."""
    google_emulator.add_service_account(ACCOUNT)
    google_emulator.state.metadata_account = ACCOUNT
    host = google_emulator.http.removeprefix("http://")
    variables = {"GCE_METADATA_HOST": host, "GCE_METADATA_IP": host, "HOME": str(tmp_path)}

    done = subprocess.run(
        [sys.executable, "-c", ACT], env=variables, cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.stdout.split() == ["my-project", ACCOUNT, "True"], done.stderr
