from __future__ import annotations

import json
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from refresher.emulator.testing import Scenario, emulator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.conftest import Need

HERE = Path(__file__).parent
CACHE = HERE / ".cache"
ISSUER = "https://workers.invalid"
PROJECT = "my-project"
ALICE = f"alice@{PROJECT}.iam.gserviceaccount.com"
BOB = f"bob@{PROJECT}.iam.gserviceaccount.com"
SUBJECT = "user-1042"
BUCKET, OBJECT, CONTENT = "data", "hello.txt", "hello alice"
OUTPUT = 2000
"""Characters of a client's complaints that are shown."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """An emulator with alice, whose user may read an object, and bob, who is nobody's; and what a container has."""

    google: Scenario
    place: Path
    audience: str

    def variables(self, account: str | None = ALICE, *, origin: str = "") -> dict[str, str]:
        """Give the variables of a program that is to act as an account, or directly as the federated user."""
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

    def machine_variables(self) -> dict[str, str]:
        """Give the variables of a program that has nothing but the metadata server of a machine."""
        host = self.google.http.removeprefix("http://")
        return {"GCE_METADATA_HOST": host, "GCE_METADATA_IP": host, "HOME": str(self.place)}

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
    """Give an emulator and a token that its provider accepts."""
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


def install(name: str, *command: str, need: Need, tool: str, how: str) -> Path:
    """Give a copy of a client's folder in which a command was run once, as after a change of the folder."""
    need.tool(tool, how)
    source, made = HERE / name, CACHE / name
    files = {path.relative_to(source): path.read_bytes() for path in sorted(source.rglob("*")) if path.is_file()}
    stamp = made / ".installed"
    wanted = repr(files)
    if stamp.is_file() and stamp.read_text() == wanted:
        return made
    shutil.rmtree(made, ignore_errors=True)
    shutil.copytree(source, made)
    done = subprocess.run(command, cwd=made, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-OUTPUT:] + done.stdout[-OUTPUT:]
    stamp.write_text(wanted)
    return made
