from __future__ import annotations

import json
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from refresher.tokens import read_segments
from tests.network_namespaces import NamespaceSite, open_site
from tests.program import account_of, until
from tests.status_socket import ask as ask_status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from refresher.emulator.testing import Scenario
    from tests.conftest import Need
    from tests.program import Worker

    Cloud = tuple[Worker, Scenario]

pytestmark = pytest.mark.slow

V1 = "http://127.0.0.1:8174/computeMetadata/v1"
ACCOUNT = f"{V1}/instance/service-accounts/default"
GOOGLE_AUTH = """
import json, google.auth, google.auth.transport.requests
with google.auth.transport.requests.Request().session as session:
    request = google.auth.transport.requests.Request(session)
    credentials, project = google.auth.default(["https://www.googleapis.com/auth/cloud-platform"], request=request)
    credentials.refresh(request)
print(json.dumps({"token": credentials.token, "email": credentials.service_account_email, "project": project}))
"""


@pytest.fixture
def namespaces(tmp_path: Path, need: Need) -> Iterator[NamespaceSite]:
    """Return a directory of namespaces whose helper serves root."""
    need.root()
    with open_site(tmp_path) as found:
        yield found


def ask(namespaces: NamespaceSite, name: str, url: str, *options: str, status: int = 200) -> str:
    """Return what curl gets in a namespace; asked again after a 503 that is not expected, as clients do."""
    command = ["nsenter", f"--net={namespaces.root / name}", "curl", "-sS", "--max-time", "20", "-w", "\n%{http_code}"]
    command += ["-H", "Metadata-Flavor: Google", *options, url]

    def answer() -> tuple[str, int] | None:
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        body, _, found = done.stdout.rpartition("\n")
        return None if found == "503" and status != 503 else (body, int(found))

    body: str
    body, found = until(answer, what=f"an answer other than 503 to {url}")
    assert found == status, body
    return body


def token_in(namespaces: NamespaceSite, name: str) -> str:
    """Return the access token that curl gets in a namespace."""
    return str(json.loads(ask(namespaces, name, f"{ACCOUNT}/token"))["access_token"])


def helper(namespaces: NamespaceSite) -> tuple[str, str]:
    """Return the option of the daemon that names the helper."""
    return "--netns-helper", str(namespaces.socket)


def metadata(path: Path, **more: object) -> dict[str, object]:
    """Return the body of a target with an endpoint in a namespace."""
    return {"metadata": {"netns": str(path), **more}}


def closed(namespaces: NamespaceSite, name: str) -> bool:
    """Return whether nothing listens in a namespace."""
    program = "import socket; print(socket.socket().connect_ex(('127.0.0.1', 8174)))"
    return namespaces.run(name, program) == "111"


def test_each_namespace_acts_as_its_own_account(cloud: Cloud, namespaces: NamespaceSite, foreign_python: Path) -> None:
    """google-auth and curl get a token of the namespace's account, with no file and no variable but the address."""
    worker, google = cloud
    paths = {name: namespaces.make(name) for name in ("alice", "bob")}
    worker.configure("alice", "bob", targets={name: metadata(path) for name, path in paths.items()})
    with worker.daemon(*helper(namespaces)) as log:
        for name in paths:
            log.wait_for("metadata.serving", target=name)

        for name, path in paths.items():
            variables = [f"GCE_METADATA_{suffix}=127.0.0.1:8174" for suffix in ("HOST", "IP", "ROOT")]
            command = [
                "nsenter",
                f"--net={path}",
                "env",
                "-i",
                *variables,
                str(foreign_python),
                "-c",
                GOOGLE_AUTH,
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
            assert done.returncode == 0, done.stderr[-2000:]
            found = json.loads(done.stdout)
            assert (found["email"], found["project"]) == (account_of(name), "my-project")
            assert google.whoami(found["token"])["service_account"] == account_of(name)
            assert token_in(namespaces, name) == found["token"]
            assert ask(namespaces, name, f"{ACCOUNT}/email") == account_of(name)
            assert not (worker.directory(name) / "access_token").exists()


def test_id_token_is_minted_for_any_audience(cloud: Cloud, namespaces: NamespaceSite) -> None:
    """The daemon obtains one for each audience, with the account's e-mail."""
    worker, google = cloud
    google.allow(account_of("alice"), subject="user-alice", role="roles/iam.serviceAccountOpenIdTokenCreator")
    worker.configure("alice", targets={"alice": metadata(namespaces.make("alice"))})
    with worker.daemon(*helper(namespaces)) as log:
        log.wait_for("token.published", target="alice")

        audiences = ("https://api.example", "other")
        found = [ask(namespaces, "alice", f"{ACCOUNT}/identity?audience={each}&format=full") for each in audiences]

    claims = [read_segments(token)[1] for token in found]
    assert [(each["aud"], each["email"]) for each in claims] == [(each, account_of("alice")) for each in audiences]


def test_missing_role_is_shown_and_needs_no_restart(cloud: Cloud, namespaces: NamespaceSite) -> None:
    """Without a role the answer is 503 and names what is missing; once it is granted, the same endpoint serves."""
    worker, google = cloud
    google.add_service_account(account_of("carol"))
    worker.configure("carol", targets={"carol": metadata(namespaces.make("carol"))})
    with worker.daemon(*helper(namespaces)) as log:
        log.wait_for("metadata.serving", target="carol")

        def refusal() -> str | None:
            answer = ask(namespaces, "carol", f"{ACCOUNT}/token", status=503)
            return answer if "403" in answer else None

        assert account_of("carol") in until(refusal, what="the answer names what Google refused")

        google.allow(account_of("carol"), subject="user-carol")
        worker.command("once", "--force")
        assert google.whoami(token_in(namespaces, "carol"))["service_account"] == account_of("carol")

        assert ask(namespaces, "carol", f"{ACCOUNT}/identity", status=400) == "non-empty audience parameter required\n"


def test_endpoint_serves_the_published_access_token(cloud: Cloud, namespaces: NamespaceSite) -> None:
    """One token is minted for the file and for the endpoint, and after a restart the file's is served."""
    worker, google = cloud
    target = metadata(namespaces.make("alice")) | {"artifacts": {"access_token": True}}
    worker.configure("alice", targets={"alice": target})
    file = worker.directory("alice") / "access_token"
    for _ in range(2):
        with worker.daemon(*helper(namespaces)) as log:
            log.wait_for("metadata.serving", target="alice")
            assert token_in(namespaces, "alice") == until(file.read_text, what="the file")
            log.end(signal.SIGTERM)

    minted = [each for each in google.journal.entries() if "generateAccessToken" in each.path]
    assert len(minted) == 1


def test_env_waits_for_the_listener(cloud: Cloud, namespaces: NamespaceSite) -> None:
    """A target is not ready before its namespace is there, and no longer when it is gone."""
    worker, _ = cloud
    worker.configure("alice", targets={"alice": metadata(namespaces.root / "alice")})
    env = worker.directory("alice") / "env"
    with worker.daemon(*helper(namespaces)) as log:
        log.wait_for("metadata.closed", target="alice")
        log.wait_for("token.published", target="alice")
        assert "env is absent" in worker.command("wait", "--timeout", "0s", status=6).stderr

        namespaces.make("alice")
        worker.command("wait", "--timeout", "20s")
        assert env.exists()
        assert token_in(namespaces, "alice")

        namespaces.remove("alice")
        until(lambda: not env.exists(), what="env is withdrawn")


def test_drop_in_is_ready_as_soon_as_it_is_added(cloud: Cloud, namespaces: NamespaceSite) -> None:
    """`targets add --wait` returns when a container may start."""
    worker, _ = cloud
    worker.drop_ins.mkdir()
    worker.configure("alice", "bob", targets={"bob": {}}, targets_directory=str(worker.drop_ins))
    path = namespaces.make("alice")
    with worker.daemon(*helper(namespaces)) as log:
        log.wait_for("daemon.ready")
        added = ("--netns", str(path), "--environment", "metadata", "--wait", "--timeout", "20s")
        worker.run("targets", "add", "alice", "--config", str(worker.configuration), *added)

        assert token_in(namespaces, "alice")
        assert "GCE_METADATA_HOST=127.0.0.1:8174" in (worker.directory("alice") / "env").read_text()

        worker.run("targets", "remove", "alice", "--config", str(worker.configuration))
        until(lambda: closed(namespaces, "alice"), what="the listener is closed")


def test_endpoints_are_shown_by_status_and_metrics(cloud: Cloud, namespaces: NamespaceSite) -> None:
    """Whether it is open, why not, and how its requests ended."""
    worker, _ = cloud
    path = worker.place / "status" / "http.sock"
    targets = {"alice": metadata(namespaces.make("alice")), "bob": metadata(namespaces.root / "bob")}
    worker.configure("alice", "bob", targets=targets, listen=f"unix:{path}")
    with worker.daemon(*helper(namespaces)) as log:
        log.wait_for("metadata.serving", target="alice")
        log.wait_for("metadata.closed", target="bob")
        token_in(namespaces, "alice")
        ask(namespaces, "alice", f"{V1}/nothing", status=404)
        until(path.is_socket, what="the status socket")

        shown = {name: entry["endpoint"] for name, entry in worker.status().items()}

        assert (shown["alice"]["state"], shown["alice"]["problem"]) == ("serving", None)
        requests = shown["alice"]["requests"]
        assert (requests["answered"], requests["refused"]) == (1, 1), requests
        assert shown["bob"]["state"] == "absent"
        assert shown["bob"]["remedy"]
        assert "bob can't be opened" in worker.command("status").stdout
        metrics = ask_status(path, "/metrics").body
        assert 'refresher_metadata_endpoint_open{target="bob"} 0' in metrics
        assert 'refresher_metadata_requests_total{outcome="answered"} 1' in metrics


def test_clients_wait_while_the_daemon_restarts(cloud: Cloud, namespaces: NamespaceSite) -> None:
    """A request that is sent while no daemon runs is answered by the next one."""
    worker, google = cloud
    worker.configure("alice", targets={"alice": metadata(namespaces.make("alice"))})
    with worker.daemon(*helper(namespaces)) as log:
        log.wait_for("metadata.serving", target="alice")
        log.end(signal.SIGTERM)
    command = ["nsenter", f"--net={namespaces.root / 'alice'}", "curl", "-sS", "-H", "Metadata-Flavor: Google"]
    with (
        subprocess.Popen([*command, f"{ACCOUNT}/token"], stdout=subprocess.PIPE, text=True) as client,
        worker.daemon(*helper(namespaces)),
    ):
        answer = json.loads(client.communicate(timeout=60)[0])

    assert google.whoami(answer["access_token"])["service_account"] == account_of("alice")


def test_token_is_served_at_once_by_the_next_daemon(cloud: Cloud, namespaces: NamespaceSite) -> None:
    """A restart loses no token: the first request after it is answered even if Google issues none."""
    worker, google = cloud
    worker.configure("alice", targets={"alice": metadata(namespaces.make("alice"))})
    with worker.daemon(*helper(namespaces)) as log:
        log.wait_for("metadata.serving", target="alice")
        before = token_in(namespaces, "alice")
        log.end(signal.SIGTERM)
    for operation in ("sts.token", "iamcredentials.generateAccessToken"):
        google.faults.add(operation, status=503, times=1000)

    with worker.daemon(*helper(namespaces)) as log:
        log.wait_for("metadata.serving", target="alice")

        assert token_in(namespaces, "alice") == before


def test_endpoint_opens_again_when_the_helper_was_restarted(cloud: Cloud, namespaces: NamespaceSite) -> None:
    """Without its helper the daemon goes on, and what is wanted meanwhile opens with the next one."""
    worker, _ = cloud
    worker.drop_ins.mkdir()
    worker.configure(
        "alice", "bob", targets={"alice": metadata(namespaces.make("alice"))}, targets_directory=str(worker.drop_ins)
    )
    with worker.daemon(*helper(namespaces)) as log:
        log.wait_for("metadata.serving", target="alice")
        namespaces.stop()
        assert token_in(namespaces, "alice")
        worker.drop_in("bob", **metadata(namespaces.make("bob")))
        log.wait_for("metadata.closed", target="bob")

        namespaces.start()

        log.wait_for("metadata.serving", target="bob")
        assert token_in(namespaces, "bob") != token_in(namespaces, "alice")


@pytest.mark.parametrize("place", ["host", "alice", "elsewhere"])
def test_drop_in_with_a_namespace_that_is_not_its_own_gets_nothing(
    cloud: Cloud, namespaces: NamespaceSite, place: str
) -> None:
    """The host's namespace, another target's, and a path outside the roots are refused, and alice goes on."""
    worker, google = cloud
    worker.drop_ins.mkdir()
    path = namespaces.make("alice")
    worker.configure("alice", "bob", targets={"alice": metadata(path)}, targets_directory=str(worker.drop_ins))
    chosen = {"host": namespaces.root / "host", "alice": namespaces.root / "again"}.get(place)
    for name, source in {"host": "/proc/self/ns/net", "again": str(path)}.items():
        (namespaces.root / name).touch()
        subprocess.run(["mount", "--bind", source, str(namespaces.root / name)], check=True)
        namespaces.stack.callback(namespaces.remove, name)
    with worker.daemon(*helper(namespaces)) as log:
        log.wait_for("metadata.serving", target="alice")

        worker.drop_in("bob", **metadata(chosen or worker.place / "refresher.yaml", port=8175))

        assert log.wait_for("metadata.closed", target="bob")["error"]
        assert google.whoami(token_in(namespaces, "alice"))["service_account"] == account_of("alice")
        assert not (worker.directory("bob") / "env").exists()


def test_namespace_that_was_created_again_is_served_again(cloud: Cloud, namespaces: NamespaceSite) -> None:
    """Another namespace under the same path belongs to the target that names the path, and the former one is let go."""
    worker, _ = cloud
    worker.configure("alice", targets={"alice": metadata(namespaces.make("alice"))})
    with worker.daemon(*helper(namespaces)) as log:
        log.wait_for("metadata.serving", target="alice")
        namespaces.remove("alice")
        namespaces.make("alice")

        log.wait_for("metadata.serving", target="alice", count=2)

        assert token_in(namespaces, "alice")


def test_target_of_another_identity_never_serves_the_former_token(cloud: Cloud, namespaces: NamespaceSite) -> None:
    """When a target's identity changes, its endpoint begins without a token."""
    worker, google = cloud
    target = metadata(namespaces.make("alice")) | {"identity": "alice"}
    worker.configure("alice", "bob", targets={"alice": target})
    with worker.daemon(*helper(namespaces)) as log:
        log.wait_for("metadata.serving", target="alice")
        assert google.whoami(token_in(namespaces, "alice"))["service_account"] == account_of("alice")

        worker.configure("alice", "bob", targets={"alice": target | {"identity": "bob"}})
        until(
            lambda: ask(namespaces, "alice", f"{ACCOUNT}/email") == account_of("bob"),
            what="the other account is served",
        )

        assert google.whoami(token_in(namespaces, "alice"))["service_account"] == account_of("bob")
