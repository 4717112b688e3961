from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from refresher.app.targets import build_targets
from refresher.config.loader import load
from refresher.doctor.facts import Attempt, Facts, Trial
from refresher.doctor.sight import Sight, Thing
from refresher.keys.directory import create
from refresher.observe import health
from refresher.observe.remedies import THIS_USER
from refresher.tokens import AccessToken, SubjectToken, compose_jwt, peek

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
AUDIENCE = (
    "https://iam.googleapis.com/projects/1234567890/locations/global/workloadIdentityPools/workers/providers/main"
)
DIGEST = "ab" * 32

Build = Callable[..., Facts]


def make_token(**claims: Any) -> SubjectToken:  # noqa: ANN401 - any claim
    """Return a token of alice, issued now for an hour, with these claims."""
    issued = int(NOW.timestamp())
    usual = {"iss": "https://workers.invalid", "sub": "user-1", "aud": AUDIENCE, "iat": issued, "exp": issued + 3600}
    header = {"alg": claims.pop("alg", "ES256"), "kid": "key-1"}
    return peek(compose_jwt(header, {**usual, **claims}, lambda _: b"signature"))


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Return a function that builds the facts of a healthy target, apart from these."""
    create(tmp_path / "keys", algorithm="ES256", now=NOW)
    path = tmp_path / "refresher.yaml"
    document = {
        "version": 1,
        "providers": {"main": {"project_number": "1234567890", "pool": "workers", "provider": "main"}},
        "suppliers": {"worker": {"kind": "self_issued", "issuer": "https://workers.invalid", "keys": "keys"}},
        "identities": {"alice": {"service_account": "alice@my-project.iam.gserviceaccount.com", "subject": "user-1"}},
        "directory_root": str(tmp_path / "run"),
        "listen": "none",
        "targets": {"alice": {"container_directory": "/run/google"}},
    }
    path.write_text(yaml.safe_dump(document))
    path.chmod(0o600)
    loaded = load(path)
    target = build_targets(loaded)["alice"]
    expected = replace(target.expected, key_ids=None)
    access = AccessToken(value="x", expires_at=NOW + timedelta(hours=1))
    token = make_token()

    def build_facts(*, trial: dict[str, Any] | None = None, **more: Any) -> Facts:  # noqa: ANN401 - any fact
        tried = Trial(
            supplied=Attempt(result=token),
            token=token,
            exchange=Attempt(result=access),
            impersonation=Attempt(result=access),
        )
        facts = Facts(
            target=replace(target, expected=expected),
            settings=loaded.configuration.suppliers["worker"],
            container_directory="/run/google",
            variables={"GOOGLE_APPLICATION_CREDENTIALS": "/run/google/credentials.json"},
            health=health.examine(target, NOW),
            daemon=THIS_USER,
            trial=replace(tried, **(trial or {})),
            artifacts={},
            sight=Sight(
                uid=1042,
                directory=Thing(kind="directory", device=1, inode=2, links=2),
                files={"token": Thing(kind="file", device=1, inode=3, links=1, digest=DIGEST)},
                paths={"/run/google/credentials.json": Thing(kind="file", links=1)},
                variables={"GOOGLE_APPLICATION_CREDENTIALS": "/run/google/credentials.json"},
                metadata="closed",
                google="open",
            ),
            published=(Thing(kind="directory", device=1, inode=2, links=2), frozenset([DIGEST])),
            skew=timedelta(),
            now=NOW,
        )
        return replace(facts, **more)

    return build_facts
