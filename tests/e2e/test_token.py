"""`refresher token`: one token of each kind, for a script."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import jwt
import pytest

from tests.e2e.test_artifacts import claims_of
from tests.program import ISSUER, account_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from refresher.emulator.testing import Scenario
    from tests.program import Worker


@pytest.fixture
def cloud(cloud: tuple[Worker, Scenario]) -> Iterator[tuple[Worker, Scenario]]:
    """Return a worker with targets of alice's and bob's; the tokens that it is asked to print don't count as leaks."""
    worker, _ = cloud
    worker.configure("alice", "bob")
    yield cloud
    assert "eyJ" not in "".join(worker.outputs[1::2])
    worker.outputs.clear()


def test_subject_token(cloud: tuple[Worker, Scenario]) -> None:
    """A subject token has the audience and the lifetime asked for."""
    worker, _ = cloud

    printed = worker.command(
        "token", "alice", "--kind", "subject", "--audience", "https://x", "--lifetime", "5m"
    ).stdout.strip()

    claims = jwt.decode(printed, options={"verify_signature": False})
    assert (claims["sub"], claims["aud"], claims["exp"] - claims["iat"]) == ("user-alice", "https://x", 300)
    assert not worker.directory("alice").exists()


def test_access_token(cloud: tuple[Worker, Scenario]) -> None:
    """The default is an access token of the service account, of the scope and life asked for."""
    worker, google = cloud
    scope = "https://www.googleapis.com/auth/devstorage.read_only"

    printed = worker.command("token", "alice", "--scope", scope, "--lifetime", "10m").stdout.strip()

    whoami = google.whoami(printed)
    assert whoami["service_account"] == account_of("alice")
    google.clock.advance(timedelta(minutes=11))
    with pytest.raises(OSError, match="401"):
        google.whoami(printed)


def test_id_token(cloud: tuple[Worker, Scenario]) -> None:
    """An ID token verifies with Google's keys and contains the e-mail on request."""
    worker, google = cloud

    printed = worker.command("token", "bob", "--kind", "id", "--audience", "https://y", "--include-email").stdout

    assert claims_of(google, printed.strip(), "https://y")["email"] == account_of("bob")


def test_signed_jwt(cloud: tuple[Worker, Scenario], tmp_path: Path) -> None:
    """The account signs claims once it may; before, the missing role is named."""
    worker, google = cloud
    (tmp_path / "claims.json").write_text(json.dumps({"aud": "z", "role": "reader"}))
    arguments = ("token", "alice", "--kind", "jwt", "--claims", str(tmp_path / "claims.json"), "--lifetime", "1m")

    refused = worker.command(*arguments, status=5)
    google.allow_member(
        account_of("alice"), f"serviceAccount:{account_of('alice')}", role="roles/iam.serviceAccountTokenCreator"
    )
    printed = worker.command(*arguments).stdout.strip()

    claims = jwt.decode(printed, options={"verify_signature": False})
    assert (claims["aud"], claims["role"], claims["exp"] - claims["iat"]) == ("z", "reader", 60)
    assert "roles/iam.serviceAccountTokenCreator" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "seconds"),
    [
        (("--kind", "subject", "--lifetime", "5m"), 300),
        (("--lifetime", "10m"), 600),
        (("--kind", "id", "--audience", "https://y"), 3600),
    ],
    ids=["subject", "access", "id"],
)
def test_json_has_the_expiry(cloud: tuple[Worker, Scenario], arguments: tuple[str, ...], seconds: int) -> None:
    """With --json a script gets the token with its kind and its expiry."""
    worker, _ = cloud

    document = json.loads(worker.command("token", "alice", "--json", *arguments).stdout)

    assert document.keys() == {"kind", "token", "expires_at"}
    left = datetime.fromisoformat(document["expires_at"]) - datetime.now(UTC)
    assert timedelta(seconds=seconds - 60) < left <= timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("alice", "--kind", "id"), "an ID token needs an audience"),
        (("alice", "--kind", "jwt"), "--kind jwt needs claims"),
        (("alice", "--audience", "x"), "--audience has no effect on --kind access"),
        (("alice", "--kind", "subject", "--scope", "x"), "--scope has no effect on --kind subject"),
        (("alice", "--kind", "jwt", "--claims", "/absent"), "/absent can't be read"),
        (("alice", "--kind", "jwt", "--claims", "/dev/null"), "/dev/null is not JSON"),
        (("alice", "--kind", "id", "--audience", "y", "--lifetime", "5m"), "--lifetime has no effect on --kind id"),
        (("alice", "--lifetime", "0s"), "--lifetime is 0s, not between 1s and 12h"),
        (("alice", "--kind", "subject", "--lifetime", "48h"), "--lifetime is 48h, not between 2s and 24h"),
        (("alice", "--kind", "subject", "--audience", ""), "--audience is empty"),
        (("carol", "--kind", "id", "--audience", "https://y"), "an ID token needs a service account"),
        (("alise",), "write alice if you mean that"),
    ],
)
def test_unsuitable_options_are_refused(cloud: tuple[Worker, Scenario], arguments: tuple[str, ...], said: str) -> None:
    """Options that would be ignored are refused with what to do."""
    worker, _ = cloud
    document = worker.document("alice", "bob", "carol")
    del document["identities"]["carol"]["service_account"]
    worker.write(document)

    assert said in worker.command("token", *arguments, status=2).stderr


def test_principal_of_a_subject_that_only_the_token_shows_is_in_the_remedy(cloud: tuple[Worker, Scenario]) -> None:
    """Where the subject is in no configuration, the command to paste names the one of the token that was refused."""
    worker, _ = cloud
    subject = worker.command("token", "alice", "--kind", "subject").stdout
    path = worker.place / "subject"
    path.write_text(subject.strip())
    path.chmod(0o600)
    worker.outputs.clear()
    document = worker.document("alice")
    document["suppliers"] = {"other": {"kind": "file", "path": str(path), "issuer": ISSUER}}
    del document["identities"]["alice"]["subject"]
    document["identities"]["alice"]["service_account"] = account_of("bob")
    worker.write(document)

    errors = [
        worker.command("token", "alice", "--kind", kind, *more, status=None)
        for kind, *more in (["access"], ["id", "--audience", "https://x"])
    ]
    worker.once()
    errors.append(worker.command("wait", "--exchange", "--timeout", "0s", status=None))

    for done in errors:
        assert done.returncode == 5
        assert "/subject/user-alice" in done.stderr
        assert account_of("bob") in done.stderr
        assert "the federated principal" not in done.stderr
