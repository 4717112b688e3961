from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.clients.conftest import ALICE, BOB, BUCKET, CONTENT, OBJECT, SUBJECT, Site, install

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Need

    Act = Callable[[Site, dict[str, str]], dict[str, Any]]

DENIED = "iam.serviceAccounts.getAccessToken"
PROGRAM = """
import json, sys
import google.auth, google.auth.exceptions, google.auth.transport.requests
origin, bucket, name = sys.argv[1:]
credentials, _ = google.auth.default(["https://www.googleapis.com/auth/cloud-platform"])
with google.auth.transport.requests.AuthorizedSession(credentials) as session:
    try:
        whoami = session.get(origin + "/emulator/whoami").json()
        content = session.get(f"{origin}/storage/v1/b/{bucket}/o/{name}?alt=media").text
        print(json.dumps({"whoami": whoami, "content": content}))
    except google.auth.exceptions.GoogleAuthError as error:
        print(json.dumps({"refused": str(error)}))
"""


def python(site: Site, variables: dict[str, str], need: Need) -> dict[str, Any]:
    """Act with google-auth for Python."""
    command = (sys.executable, "-c", PROGRAM, site.google.http, BUCKET, OBJECT)
    told: dict[str, Any] = json.loads(site.run(*command, variables=variables).stdout)
    return told


def node(site: Site, variables: dict[str, str], need: Need) -> dict[str, Any]:
    """Act with google-auth-library and @google-cloud/storage for Node."""
    made = install("node", "npm", "ci", "--no-audit", "--no-fund", need=need, tool="npm", how="install Node.js")
    command = ("node", str(made / "act.mjs"), site.google.http, BUCKET, OBJECT)
    told: dict[str, Any] = json.loads(site.run(*command, variables=variables).stdout)
    return told


def go(site: Site, variables: dict[str, str], need: Need) -> dict[str, Any]:
    """Act with golang.org/x/oauth2."""
    made = install("go", "go", "build", "-o", "act", ".", need=need, tool="go", how="install Go")
    told: dict[str, Any] = json.loads(
        site.run(str(made / "act"), site.google.http, BUCKET, OBJECT, variables=variables).stdout
    )
    return told


CLIENTS = [python, node, go]


@pytest.mark.parametrize("client", CLIENTS)
def test_acts_as_the_account(site: Site, need: Need, client: Any) -> None:  # noqa: ANN401 - a function
    """Exchange, impersonation and a read work unchanged, and the emulator saw exactly that account."""
    told = client(site, site.variables(), need)

    assert told["whoami"]["service_account"] == ALICE
    assert told["content"] == CONTENT
    assert {entry.status for entry in site.google.journal.entries("/v1/token")} == {200}


@pytest.mark.parametrize("client", CLIENTS)
def test_acts_directly_without_an_account(site: Site, need: Need, client: Any) -> None:  # noqa: ANN401 - a function
    """Without impersonation the federated principal itself reads the object."""
    told = client(site, site.variables(None), need)

    assert told["whoami"]["principal"].endswith(f"/subject/{SUBJECT}")
    assert told["content"] == CONTENT


@pytest.mark.parametrize("client", CLIENTS)
def test_acts_as_the_machines_account(site: Site, need: Need, client: Any) -> None:  # noqa: ANN401 - a function
    """Default credentials find the metadata server and act as the account of the machine."""
    site.google.state.metadata_account = ALICE

    told = client(site, site.machine_variables(), need)

    assert (told["whoami"]["service_account"], told["content"]) == (ALICE, CONTENT)


@pytest.mark.parametrize("client", CLIENTS)
def test_cannot_act_as_somebody_else(site: Site, need: Need, client: Any) -> None:  # noqa: ANN401 - a function
    """Naming another account in the document gets Google's refusal, which the client shows."""
    assert DENIED in client(site, site.variables(BOB), need)["refused"]


@pytest.mark.parametrize("client", CLIENTS)
def test_shows_what_sts_says(site: Site, need: Need, client: Any) -> None:  # noqa: ANN401 - a function
    """An error of STS reaches the client's user with its text."""
    site.google.faults.add("*", refusal="E12", times=20)

    assert "rejected by the attribute condition" in client(site, site.variables(), need)["refused"]


def test_java_acts_over_https(site: Site, need: Need, tmp_path: Path) -> None:
    """Java takes nothing but https; with the emulator's authority in its trust store it works unchanged."""
    goal = ("mvn", "-q", "-B", "compile", "dependency:build-classpath", "-Dmdep.outputFile=classpath")
    made = install("java", *goal, need=need, tool="mvn", how="install Maven and a JDK")
    store = tmp_path / "trust.p12"
    site.run(
        need.tool("keytool", "install a JDK"), "-importcert", "-noprompt", "-alias", "emulator",
        "-storepass", "changeit", "-storetype", "PKCS12", "-keystore", str(store),
        "-file", str(site.google.ca_file), variables={},
    )  # fmt: skip
    trust = (f"-Djavax.net.ssl.trustStore={store}", "-Djavax.net.ssl.trustStorePassword=changeit")
    path = f"{made / 'target' / 'classes'}:{(made / 'classpath').read_text().strip()}"

    def act(account: str) -> str:
        variables = site.variables(account, origin=site.google.https)
        command = ("java", *trust, "-cp", path, "Act", site.google.https, BUCKET, OBJECT)
        return site.run(*command, variables=variables).stdout

    whoami, content = act(ALICE).strip().split("\n")
    assert (json.loads(whoami)["service_account"], content) == (ALICE, CONTENT)
    assert act(BOB).startswith("refused: ")
    assert site.google.journal.entries(BOB)[-1].refusal == "I1"
