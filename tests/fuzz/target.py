"""The emulator for malformed requests: its resources, and tokens that pass its authorisation."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import fields
from typing import TYPE_CHECKING
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import jwt

from refresher.emulator.oidc_issuer import discover
from refresher.emulator.persistence import open_cloud
from refresher.emulator.server import EmulatorServer
from refresher.emulator.testing import Scenario
from tests.fuzz.malformed import ISSUER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric import ec

ALICE = "task-alice@my-project.iam.gserviceaccount.com"
CAROL = "user:carol@example.com"


@contextmanager
def emulator_on_disk(directory: Path) -> Iterator[Scenario]:
    """Run an emulator that saves its state to disk, like the command."""
    with open_cloud(directory) as cloud:
        cloud.discover = discover
        with EmulatorServer(cloud, directory) as server:
            yield Scenario(server)
        cloud.save()


def prepare(google: Scenario, key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    """Create a provider with this key, accounts and a bucket; return tokens of every kind."""
    members = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    provider = google.add_provider(issuer=ISSUER, jwks={"keys": [{**members, "kid": "k"}]})
    google.allow(ALICE, subject="user-1")
    google.grant("roles/owner", f"serviceAccount:{ALICE}")
    google.grant("roles/owner", CAROL)
    google.grant("roles/iam.serviceAccountTokenCreator", CAROL)
    google.state.metadata_account = ALICE
    google.add_bucket("data", readers=("allUsers",), writers=(f"serviceAccount:{ALICE}",))
    google.add_object("data", "o", b"content")
    now = int(time.time())
    claims = {"iss": ISSUER, "sub": "user-1", "aud": provider.token_audience, "iat": now, "exp": now + 3600}
    subject_token = jwt.encode(claims, key, algorithm="ES256", headers={"kid": "k"})
    return {
        "subject": subject_token,
        "federated": _exchange(google, provider.sts_audience, subject_token),
        "account": google.access_token(f"serviceAccount:{ALICE}", lifetime=1e6),
        "owner": google.access_token(CAROL, lifetime=1e6),
        "stranger": google.access_token("user:mallory@example.com", lifetime=1e6),
    }


def save_state(google: Scenario) -> Callable[[], None]:
    """Return a function that restores the present state, because some requests delete what others need."""
    state = google.state
    before = deepcopy(state)

    def restore() -> None:
        for field in fields(before):
            setattr(state, field.name, deepcopy(getattr(before, field.name)))

    return restore


def _exchange(google: Scenario, audience: str, subject_token: str) -> str:
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "audience": audience,
        "subject_token": subject_token,
    }
    request = Request(f"{google.http}/v1/token", data=urlencode(form).encode(), method="POST")  # noqa: S310 - our own
    with urlopen(request, timeout=10) as answer:  # noqa: S310 - our own emulator
        return str(json.load(answer)["access_token"])
