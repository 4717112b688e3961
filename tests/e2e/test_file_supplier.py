"""Tokens that another program keeps in a file: long subjects, JSON, and lives that change at the issuer."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import jwt
import pytest

from tests.program import ISSUER, account_of

if TYPE_CHECKING:
    from refresher.emulator.testing import Scenario
    from tests.program import Worker

AUDIENCE = "https://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/workers/providers/refresher"
ALICE = f"p://{'a' * 120}/sc/sc://org/project/alice"
BOB = ALICE.replace("alice", "bob")
MAPPING = {"google.subject": "assertion.sub.extract('/sc/{part}')"}


def configure(worker: Worker, *, subject: str, **supplier: object) -> None:
    """Configure alice, whose tokens another program writes to a file."""
    document = worker.document("alice")
    document["suppliers"] = {"worker": {"kind": "file", "path": "source", "issuer": ISSUER, **supplier}}
    document["identities"]["alice"]["subject"] = subject
    worker.write(document)


def write_token(worker: Worker, subject: str, *, age: float = 0, life: float = 3600, field: str | None = None) -> str:
    """Write a token that the issuer signed to the file, alone or in a field of JSON."""
    key = next((worker.place / "keys").glob("*.pem"))
    issued_at = int(time.time() - age)
    claims = {"iss": ISSUER, "sub": subject, "aud": AUDIENCE, "iat": issued_at, "exp": issued_at + int(life)}
    token = jwt.encode(claims, key.read_text(), algorithm="ES256", headers={"kid": key.stem})
    (worker.place / "source").write_text(token if field is None else json.dumps({field: token}))
    return token


def test_subject_that_the_provider_shortens(cloud: tuple[Worker, Scenario]) -> None:
    """A long claim `sub` is configured as it is, with a warning, and exchanged; another user's token is refused."""
    worker, google = cloud
    google.add_provider(issuer=ISSUER, jwks=worker.public_keys(), mapping=MAPPING)
    google.allow(account_of("alice"), subject="sc://org/project/alice")
    configure(worker, subject=ALICE)
    token = write_token(worker, ALICE)

    checked = worker.command("check")
    worker.once()
    proved = worker.command("wait", "--exchange")
    write_token(worker, BOB)
    refused = worker.once("--force", status=3)

    assert f"is {len(ALICE)} bytes long, and Google takes at most 127" in checked.stderr
    assert "assertion.sub.extract(" in checked.stderr
    assert f"acts as {account_of('alice')}" in proved.stderr
    assert "sub is" in refused.stderr
    assert worker.token("alice") == token


def test_grant_for_a_shortened_subject_names_no_principal(cloud: tuple[Worker, Scenario]) -> None:
    """What the provider maps a long subject to is not known, so that no command with a wrong principal is shown."""
    worker, google = cloud
    google.add_provider(issuer=ISSUER, jwks=worker.public_keys(), mapping=MAPPING)
    configure(worker, subject=ALICE)
    write_token(worker, ALICE)
    worker.once()

    refused = worker.command("wait", "--exchange", "--timeout", "0s", status=5)

    assert "grant the federated principal roles/iam.workloadIdentityUser" in refused.stderr
    assert "add-iam-policy-binding" not in refused.stderr


def test_token_in_a_field_is_published_alone(cloud: tuple[Worker, Scenario]) -> None:
    """With `format: json` the token of the named field is published, as text."""
    worker, _ = cloud
    configure(worker, subject="user-alice", format="json", subject_token_field_name="id_token")
    token = write_token(worker, "user-alice", field="id_token")

    worker.once()
    worker.command("wait", "--exchange")

    assert worker.token("alice") == token


@pytest.mark.parametrize("age", [24 * 3600 + 60, 25 * 3600])
def test_token_older_than_a_day_is_not_published(cloud: tuple[Worker, Scenario], age: float) -> None:
    """A token that claims a year but was issued more than 24 hours ago has expired, whatever its `exp`."""
    worker, _ = cloud
    configure(worker, subject="user-alice")
    write_token(worker, "user-alice", age=age, life=365 * 86400)

    refused = worker.once(status=3)

    assert "expired at" in refused.stderr
    worker.command("wait", "--timeout", "0s", status=6)


def test_token_of_an_issuer_whose_policy_was_cut_replaces_the_long_one(cloud: tuple[Worker, Scenario]) -> None:
    """A token of an hour, issued later than the present one of a year, is published with force and at the due time."""
    worker, _ = cloud
    configure(worker, subject="user-alice")
    write_token(worker, "user-alice", age=60, life=365 * 86400)
    worker.once()
    forced = write_token(worker, "user-alice", age=30)
    worker.once("--force")
    assert worker.token("alice") == forced

    write_token(worker, "user-alice", age=13 * 3600, life=365 * 86400)
    (worker.directory("alice") / "token").unlink()
    worker.once()
    late = write_token(worker, "user-alice")
    worker.once()

    assert worker.token("alice") == late
