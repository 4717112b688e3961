"""Access tokens, ID tokens and the boto file: minted through the whole chain, separately from the token file."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import jwt

from tests.program import account_of, until

if TYPE_CHECKING:
    from refresher.emulator.testing import Scenario
    from tests.program import Worker

AUDIENCE = "https://api-xyz.a.run.app"
ALL: dict[str, Any] = {
    "access_token": True,
    "id_tokens": {"api": {"audience": AUDIENCE}, "iap": {"audience": "iap", "include_email": True}},
    "boto": True,
}


def read(worker: Worker, target: str, name: str) -> str:
    """Return the content of an artifact."""
    return (worker.directory(target) / name).read_text()


def claims_of(google: Scenario, token: str, audience: str) -> dict[str, Any]:
    """Verify an ID token with an independent library and Google's published keys; return its claims."""
    with urlopen(f"{google.http}/oauth2/v3/certs", timeout=10) as answer:  # noqa: S310 - of loopback
        keys = jwt.PyJWKSet.from_dict(json.load(answer))
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims: dict[str, Any] = jwt.decode(token, key, algorithms=["RS256"], audience=audience)
    return claims


def test_all_artifacts_of_one_target(cloud: tuple[Worker, Scenario]) -> None:
    """`once` publishes every configured artifact; each works, has a description, and is in `env`."""
    worker, google = cloud
    worker.configure("alice", targets={"alice": {"artifacts": ALL, "mode": "0440"}})

    worker.once()

    assert google.whoami(read(worker, "alice", "access_token"))["service_account"] == account_of("alice")
    plain = claims_of(google, read(worker, "alice", "id_tokens/api"), AUDIENCE)
    with_email = claims_of(google, read(worker, "alice", "id_tokens/iap"), "iap")
    assert "email" not in plain
    assert with_email["email"] == account_of("alice")
    place = worker.directory("alice")
    assert read(worker, "alice", "boto") == f"[Credentials]\ngs_external_account_file = {place}/credentials.json\n"
    described = json.loads(read(worker, "alice", "artifacts.json"))
    assert described.keys() == {"access_token", "id_tokens/api", "id_tokens/iap"}
    published = [path for path in place.rglob("*") if path.is_file() and path.name != ".target"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in published} == {0o440}
    variables = dict(line.split("=", 1) for line in read(worker, "alice", "env").splitlines())
    assert variables["REFRESHER_ACCESS_TOKEN_FILE"] == f"{place}/access_token"
    assert variables["REFRESHER_ID_TOKEN_FILE_API"] == f"{place}/id_tokens/api"
    assert variables["BOTO_CONFIG"] == f"{place}/boto"
    states = {each["name"]: each["state"] for each in worker.status()["alice"]["artifacts"]}
    assert states == dict.fromkeys(("access_token", "id_tokens/api", "id_tokens/iap", "boto"), "fresh")


def test_curl_with_the_access_token(cloud: tuple[Worker, Scenario]) -> None:
    """A tool that only accepts a bearer token uses the file, and reads what its account may read."""
    worker, google = cloud
    google.add_bucket("data", readers=(f"serviceAccount:{account_of('alice')}",))
    google.add_object("data", "hello", b"world")
    worker.configure("alice", "bob", targets={name: {"artifacts": {"access_token": True}} for name in ("alice", "bob")})
    worker.once()
    url = f"{google.http}/storage/v1/b/data/o/hello?alt=media"
    script = f'. "$1"; curl -s -H "Authorization: Bearer $(cat "$REFRESHER_ACCESS_TOKEN_FILE")" "{url}"'

    said = {
        name: subprocess.run(
            ["sh", "-c", script, "sh", str(worker.directory(name) / "env")], capture_output=True, text=True, check=True
        ).stdout
        for name in ("alice", "bob")
    }

    assert said["alice"] == "world"
    assert f"{account_of('bob')} does not have storage.objects.get access" in said["bob"]


def test_artifacts_are_renewed_and_repaired(cloud: tuple[Worker, Scenario]) -> None:
    """The daemon repairs artifacts that were damaged or removed, and withdraws those that are no longer configured."""
    worker, _ = cloud
    worker.configure("alice", targets={"alice": {"artifacts": ALL}})

    with worker.daemon() as log:
        until(lambda: len(log.events("artifact.published")) == 3, what="three artifacts")
        first = read(worker, "alice", "access_token")
        (worker.directory("alice") / "access_token").unlink()
        path = worker.directory("alice") / "id_tokens" / "api"
        path.chmod(0o600)
        path.write_text("spoilt")
        (worker.directory("alice") / "boto").unlink()
        until(lambda: len(log.events("artifact.published")) == 5, what="two artifacts mended")
        assert read(worker, "alice", "access_token") != first
        assert read(worker, "alice", "id_tokens/api") != "spoilt"
        until((worker.directory("alice") / "boto").exists, what="boto mended")

        worker.configure("alice", targets={"alice": {"artifacts": {"access_token": True}}})
        until(lambda: "BOTO_CONFIG" not in read(worker, "alice", "env"), what="env without boto")

        names = {".target", "access_token", "artifacts.json", "credentials.json", "env", "token"}
        until(lambda: set(os.listdir(worker.directory("alice"))) == names, what="unwanted artifacts withdrawn")
        assert json.loads(read(worker, "alice", "artifacts.json")).keys() == {"access_token"}


def test_failing_impersonation_keeps_the_token_fresh(cloud: tuple[Worker, Scenario]) -> None:
    """Without the role the token file is fresh nevertheless, and the failure shows role, account and principal."""
    worker, google = cloud
    artifacts = {"artifacts": {"access_token": True, "id_tokens": {"api": {"audience": AUDIENCE}}}}
    worker.configure("alice", "carol", targets={"alice": artifacts, "carol": artifacts})
    google.add_service_account(account_of("carol"))

    done = worker.once(status=5)

    assert worker.status()["carol"]["state"] == "fresh"
    assert "env" in worker.files("carol")
    assert "roles/iam.workloadIdentityUser" in done.stderr
    assert account_of("carol") in done.stderr
    assert "/workloadIdentityPools/workers/subject/user-carol" in done.stderr
    states = {name: [each["state"] for each in one["artifacts"]] for name, one in worker.status().items()}
    assert states == {"alice": ["fresh", "fresh"], "carol": ["absent", "absent"]}


def test_artifacts_go_when_a_target_gets_another_identity(cloud: tuple[Worker, Scenario]) -> None:
    """When a target of alice becomes bob's, it never contains an artifact of alice next to bob's token."""
    worker, google = cloud
    artifacts = {"access_token": True, "boto": True}
    worker.configure("alice", "bob", targets={"task": {"identity": "alice", "artifacts": artifacts}})
    with worker.daemon() as log:
        log.wait_for("artifact.published", target="task")
        worker.configure("alice", "bob", targets={"task": {"identity": "bob", "artifacts": artifacts}})
        log.wait_for("artifact.published", target="task", count=2)

    assert google.whoami(read(worker, "task", "access_token"))["service_account"] == account_of("bob")
    worker.configure("alice", "bob", targets={"task": {"identity": "alice"}})
    worker.once()
    assert worker.files("task").keys() == {"credentials.json", "token", "env"}


def test_exchanges_are_shared(cloud: tuple[Worker, Scenario]) -> None:
    """Each identity makes one exchange for all its artifacts, for any number of artifacts and targets."""
    worker, google = cloud
    names = [f"t{number}" for number in range(20)]
    for name in names:
        google.allow(account_of(name), subject=f"user-{name}")
    document = worker.document(*names)
    document["targets"] = {
        f"{name}-{copy}": {"identity": name, "artifacts": ALL} for name in names for copy in ("a", "b")
    }
    worker.write(document)

    worker.once()

    asked = [entry.path.rpartition("/")[2].rpartition(":")[2] for entry in google.journal.entries()]
    assert {name: asked.count(name) for name in ("token", "generateAccessToken", "generateIdToken")} == {
        "token": 20,
        "generateAccessToken": 40,
        "generateIdToken": 80,
    }


def test_thousand_targets_make_the_calls_that_are_planned(cloud: tuple[Worker, Scenario]) -> None:
    """Each of 1,000 targets with access tokens makes one exchange and one impersonation, over a few connections."""
    worker, google = cloud
    names = [f"t{number}" for number in range(1000)]
    for name in names:
        google.allow(account_of(name), subject=f"user-{name}")
    worker.configure(*names, targets={name: {"artifacts": {"access_token": True}} for name in names})

    with worker.daemon() as log:
        log.wait_for("artifact.published", count=1000)
        open_connections = len(os.listdir(f"/proc/{log.process.pid}/fd"))

    asked = Counter(entry.path.rpartition(":")[2] for entry in google.journal.entries())
    assert asked == {"/v1/token": 1000, "generateAccessToken": 1000}
    assert open_connections < 100


def test_chain_of_delegates(cloud: tuple[Worker, Scenario]) -> None:
    """The access token supports a chain that clients cannot express, once each link of the refusals is granted."""
    worker, google = cloud
    middle, end = account_of("middle"), account_of("end")
    document = worker.document("dora", targets={"dora": {"artifacts": {"access_token": True}}})
    document["identities"]["dora"] |= {"service_account": end, "delegates": [middle]}
    worker.write(document)

    refused = worker.once(status=5)
    google.allow(middle, subject="user-dora", role="roles/iam.serviceAccountTokenCreator")
    google.allow_member(end, f"serviceAccount:{middle}", role="roles/iam.serviceAccountTokenCreator")
    checked = worker.command("check")
    worker.once()

    assert f"subject/user-dora on {middle}, then serviceAccount:{middle} on {end}" in refused.stderr
    assert "is a chain" in checked.stderr
    assert google.whoami(read(worker, "dora", "access_token"))["service_account"] == end
    assert f"CLOUDSDK_AUTH_ACCESS_TOKEN_FILE={worker.directory('dora')}/access_token" in read(worker, "dora", "env")


def test_lifetime_of_twelve_hours_needs_the_policy(cloud: tuple[Worker, Scenario]) -> None:
    """A long lifetime is refused with the name of the organization policy, and granted once that policy is set."""
    worker, google = cloud
    document = worker.document("alice", targets={"alice": {"artifacts": {"access_token": True}}})
    document["identities"]["alice"]["lifetime"] = "12h"
    worker.write(document)

    refused = worker.once(status=5)
    google.extend_lifetimes(account_of("alice"))
    worker.once()

    assert "organization policy" in refused.stderr
    described = json.loads(read(worker, "alice", "artifacts.json"))["access_token"]
    life = datetime.fromisoformat(described["expires_at"]) - datetime.fromisoformat(described["issued_at"])
    assert abs(life - timedelta(hours=12)) < timedelta(minutes=1)


def test_hanging_google_holds_up_no_token(cloud: tuple[Worker, Scenario]) -> None:
    """While IAM Credentials does not answer, token files are published and refreshed as usual."""
    worker, google = cloud
    worker.lifetime = "15s"
    google.faults.add("iamcredentials.generateAccessToken", delay=15)
    worker.configure("alice", targets={"alice": {"artifacts": {"access_token": True}}})

    with worker.daemon() as log:
        log.wait_for("token.published", count=2)
        assert not log.events("artifact.published")
        log.wait_for("artifact.published")


def test_wait_for_an_artifact(cloud: tuple[Worker, Scenario]) -> None:
    """`wait --artifact` waits for the token and that artifact only, `wait` for all; an unknown one is refused."""
    worker, google = cloud
    worker.configure("alice", "carol", targets={name: {"artifacts": ALL} for name in ("alice", "carol")})
    google.add_service_account(account_of("carol"))
    worker.once(status=5)
    place = str(worker.directory("carol"))

    worker.command("wait", "alice", "--artifact", "access_token", "--artifact", "boto", "--timeout", "0s")
    worker.command("wait", "carol", "--artifact", "token", "--timeout", "0s")
    worker.command("wait", "carol", "--timeout", "0s", status=6)
    lacking = worker.command("wait", "carol", "--artifact", "id_tokens/api", "--timeout", "0s", status=6)
    worker.run("wait", "--directory", str(worker.directory("alice")), "--artifact", "id_tokens/iap", "--timeout", "0s")
    bare = worker.run("wait", "--directory", place, "--artifact", "access_token", "--timeout", "0s", status=6)
    unknown = worker.command("wait", "alice", "--artifact", "id_tokens/other", "--timeout", "0s", status=2)

    assert "id_tokens/api of target carol is absent" in lacking.stderr
    assert f"{place}/access_token is absent" in bare.stderr
    assert "has no artifact id_tokens/other" in unknown.stderr


def test_nothing_stays_beside_files_that_were_spoilt(cloud: tuple[Worker, Scenario]) -> None:
    """If the files' owner damaged the files, the next identity starts with none of them."""
    worker, google = cloud
    targets = {"shared": {"identity": "alice", "artifacts": {"access_token": True}}}
    worker.write({**worker.document("alice", "bob"), "targets": targets})
    worker.once()
    place = worker.directory("shared")
    for name in ("token", "credentials.json"):
        (place / name).write_bytes(b"{")

    targets["shared"]["identity"] = "bob"
    google.faults.add("sts.token", status=503, times=100)
    worker.write({**worker.document("alice", "bob"), "targets": targets})
    worker.once(status=5)

    assert json.loads((place / "credentials.json").read_bytes())["service_account_impersonation_url"].count("bob@") == 1
    assert not (place / "access_token").exists()
