"""A worker that reaches Google through a proxy alone, under Google's own names and with the usual configuration."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.connect_proxy import ConnectProxy
from tests.program import account_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from refresher.emulator.testing import Scenario
    from tests.program import Worker

HOSTS = ("sts.googleapis.com", "iamcredentials.googleapis.com")
TOKENS = "oauth2.googleapis.com"


@pytest.fixture
def proxy(google_emulator: Scenario) -> Iterator[ConnectProxy]:
    """Return a proxy that leads to the local Google."""
    made = ConnectProxy(dict.fromkeys((*HOSTS, TOKENS), urlsplit(google_emulator.https).port or 0))
    yield made
    made.close()


@pytest.fixture
def worker(cloud: tuple[Worker, Scenario], proxy: ConnectProxy) -> Worker:
    """Return a worker that has a proxy and the local Google's authority, and no origin but Google's own."""
    made, google = cloud
    made.google = {"ca_file": str(google.ca_file)}
    made.environment = {"HTTPS_PROXY": proxy.origin}
    made.configure("alice", targets={"alice": {"artifacts": {"access_token": True}}})
    return made


def test_google_is_called_through_the_proxy(
    worker: Worker, proxy: ConnectProxy, cloud: tuple[Worker, Scenario]
) -> None:
    """What the daemon exchanges and mints goes through the proxy of its environment, TLS untouched."""
    worker.once()

    token = (worker.directory("alice") / "access_token").read_text()
    assert cloud[1].whoami(token)["service_account"] == account_of("alice")
    assert proxy.asked == list(HOSTS)


def test_user_impersonates_through_the_proxy(
    worker: Worker, proxy: ConnectProxy, cloud: tuple[Worker, Scenario]
) -> None:
    """With a user's own file, as gcloud writes it, google-auth refreshes at Google's host name and impersonates."""
    file = worker.place / "user.json"
    file.write_text(json.dumps(cloud[1].add_user("carol@example.com")))
    file.chmod(0o600)
    cloud[1].allow_member(account_of("alice"), "user:carol@example.com", "roles/iam.serviceAccountTokenCreator")
    document = worker.document("alice")
    document["identities"]["alice"] |= {"via": "impersonation", "credentials": "user.json"}
    del document["identities"]["alice"]["subject"]
    document["targets"] = {"alice": {"artifacts": {"access_token": True}}}
    worker.write(document)

    worker.once()

    token = (worker.directory("alice") / "access_token").read_text()
    assert cloud[1].whoami(token)["service_account"] == account_of("alice")
    assert proxy.asked == [TOKENS, HOSTS[1]]


@pytest.mark.parametrize("is_there", [True, False], ids=["refuses", "is not there"])
def test_proxy_that_does_not_connect_is_reported(worker: Worker, proxy: ConnectProxy, *, is_there: bool) -> None:
    """A proxy that refuses or is not there is named as what is in the way, without its password; the token stays."""
    origin = proxy.origin if is_there else "http://127.0.0.1:9"
    worker.environment = {"HTTPS_PROXY": origin.replace("//", "//me:opensesame@")}
    worker.google = {**(worker.google or {}), "endpoints": {"sts": "https://sts.us-east1.rep.googleapis.com"}}
    worker.configure("alice", targets={"alice": {"artifacts": {"access_token": True}}})

    done = worker.once(status=5)

    place, host = origin.removeprefix("http://"), "sts.us-east1.rep.googleapis.com"
    problem, remedy = f"cannot be reached, or does not connect us ({place})", f"to a proxy that runs and allows {host}"
    if is_there:
        problem, remedy = f"does not connect us (HTTP 403) ({place})", f"allow {host} in the proxy {place}"
    assert f"the proxy of HTTPS_PROXY {problem}" in done.stderr
    assert remedy in done.stderr
    assert "opensesame" not in done.stderr
    assert (worker.directory("alice") / "token").exists()


def test_unusable_proxy_is_reported(worker: Worker) -> None:
    """A variable that is not the URL of a proxy fails with a remedy, and is not repeated."""
    worker.environment = {"HTTPS_PROXY": "socks5://me:opensesame@proxy:1080"}

    done = worker.once(status=2)

    assert "HTTPS_PROXY does not name an HTTP proxy" in done.stderr
    assert "remedy: set it to http://proxy:1080 if an HTTP proxy answers there" in done.stderr
    assert "opensesame" not in done.stderr
