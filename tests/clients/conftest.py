from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from refresher.emulator.testing import Scenario, emulator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


ISSUER = "https://workers.invalid"
PROJECT = "my-project"
ALICE = f"alice@{PROJECT}.iam.gserviceaccount.com"
BOB = f"bob@{PROJECT}.iam.gserviceaccount.com"
SUBJECT = "user-1042"
BUCKET, OBJECT, CONTENT = "data", "hello.txt", "hello alice"
OUTPUT = 2000
"""How many characters of a client's output are shown when it fails."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """An emulator and the files of a container: alice's user may read an object, and no user may act as bob."""

    google: Scenario
    place: Path
    audience: str

    def variables(self, account: str | None = ALICE, *, origin: str = "") -> dict[str, str]:
        """Return the variables of a program that acts as an account, or directly as the federated user."""
        origin = origin or self.google.http
        document: dict[str, Any] = {
            "type": "external_account",
            "audience": self.audience,
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": f"{origin}/v1/token",
            "token_info_url": f"{origin}/v1/introspect",
            "credential_source": {"file": str(self.place / "token"), "format": {"type": "text"}},
        }
        if account is not None:
            path = f"/v1/projects/-/serviceAccounts/{account}:generateAccessToken"
            document["service_account_impersonation_url"] = f"{origin}{path}"
        file = self.place / "credentials.json"
        file.write_text(json.dumps(document))
        return {
            "GOOGLE_APPLICATION_CREDENTIALS": str(file),
            "GOOGLE_CLOUD_PROJECT": PROJECT,
            "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE": str(file),
            "CLOUDSDK_CORE_PROJECT": PROJECT,
            "CLOUDSDK_CONFIG": str(self.place / "gcloud"),
            "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
            "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1",
            "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "1",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"{origin}/storage/v1/",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAM": f"{origin}/",
            "CLOUDSDK_AUTH_TOKEN_INTROSPECTION_ENDPOINT": f"{origin}/v1/introspect",
            "HOME": str(self.place),
        }

    def run(self, *command: str, variables: Mapping[str, str], status: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a program with these variables and a PATH, and nothing else."""
        done = subprocess.run(
            command,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
            cwd=self.place,
        )
        assert (done.returncode != 0) == (status != 0), done.stderr[-OUTPUT:] + done.stdout[-OUTPUT:]
        return done


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Return an emulator and a token that its provider accepts."""
    key = ec.generate_private_key(ec.SECP256R1())
    members = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    with emulator(tmp_path) as google:
        provider = google.add_provider(issuer=ISSUER, jwks={"keys": [{**members, "kid": "k"}]})
        google.allow(ALICE, subject=SUBJECT)
        google.add_service_account(BOB)
        google.add_bucket(BUCKET, readers=(f"serviceAccount:{ALICE}",), writers=(provider.principal(SUBJECT),))
        google.add_object(BUCKET, OBJECT, CONTENT.encode())
        now = int(time.time())
        claims = {"iss": ISSUER, "sub": SUBJECT, "aud": provider.token_audience, "iat": now, "exp": now + 3600}
        (tmp_path / "token").write_text(jwt.encode(claims, key, algorithm="ES256", headers={"kid": "k"}))
        yield Site(google=google, place=tmp_path, audience=provider.sts_audience)
