"""The `kubernetes` supplier with a real API server, with the rights and the policy of docs/fleets.md."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from refresher.emulator.certificates import make_certificates
from tests.installation import INSTALL_SECONDS
from tests.installed.cluster import ISSUER, running_cluster
from tests.installed.guide_setup import ABSENT, DAEMON, GUIDE, POWERLESS, USERS, set_up
from tests.installed.install import KUBERNETES_VERSION
from tests.program import Worker, account_of, secret_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from refresher.emulator.testing import Scenario
    from tests.conftest import Act, Need
    from tests.installed.cluster import Cluster

AUDIENCE = "https://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/workers/providers/refresher"

pytestmark = pytest.mark.timeout(INSTALL_SECONDS)
"""Without `make test-installed`, the first test that needs a program installs it."""


def build_subject(account: str) -> str:
    """Return the subject of `NAMESPACE/NAME`."""
    return f"system:serviceaccount:{account.replace('/', ':')}"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, need: Need) -> Iterator[Cluster]:
    """Return a cluster with users and the daemon's account, set up as in the guide."""
    with running_cluster(tmp_path_factory.mktemp("cluster"), need) as made:
        set_up(made)
        yield made


@dataclass(frozen=True, kw_only=True)
class Site:
    """A cluster, a Google whose pool trusts it, and a daemon."""

    cluster: Cluster
    google: Scenario
    worker: Worker

    def use_account(self, account: str) -> None:
        """Use a token of this account as the daemon's own token."""
        namespace, name = account.split("/")
        token = self.cluster.kubectl("create", "token", name, "--namespace", namespace, "--duration", "1h")
        self.use_token(token)

    def use_token(self, token: str) -> None:
        """Replace the daemon's own token, as the kubelet does."""
        temporary = self.worker.place / "own.new"
        temporary.write_text(token)
        temporary.chmod(0o600)
        temporary.rename(self.worker.place / "own")

    def configure(self, *users: str, **changes: Any) -> None:  # noqa: ANN401 - any key
        """Configure a target for each account `NAMESPACE/NAME`; target and service account have the name NAME."""
        supplier = {
            "kind": "kubernetes",
            "api_server": self.cluster.origin,
            "ca_file": str(self.cluster.ca_file),
            "token_file": "own",
            "issuer": ISSUER,
        }
        names = {user.split("/")[1]: user for user in users}
        self.worker.configure(
            *names,
            suppliers={"cluster": supplier | changes},
            identities={
                name: {"subject": build_subject(user), "service_account": account_of(name)}
                for name, user in names.items()
            },
        )


@pytest.fixture
def site(cluster: Cluster, google_emulator: Scenario, tmp_path: Path) -> Iterator[Site]:
    """Return a site whose daemon has the right that it needs; the daemon's output must not contain a secret."""
    origins = dict.fromkeys(("sts", "iam_credentials", "metadata"), google_emulator.http)
    worker = Worker(place=tmp_path, google={"emulator": True, "endpoints": origins})
    google_emulator.add_provider(
        issuer=ISSUER,
        jwks=cluster.jwks(),
        mapping={
            "google.subject": "assertion.sub",
            "attribute.namespace": "assertion['kubernetes.io']['namespace']",
        },
        condition="assertion.sub.startsWith('system:serviceaccount:users:')",
    )
    for user in USERS:
        google_emulator.add_service_account(account_of(user.split("/")[1]))
    made = Site(cluster=cluster, google=google_emulator, worker=worker)
    made.use_account(DAEMON)
    yield made
    assert secret_in(worker.everything_printed()) is None


def read_lifetime(status: dict[str, Any]) -> float:
    """Return the whole lifetime of a target's token in seconds."""
    begin, end = (datetime.fromisoformat(status[name]) for name in ("issued_at", "expires_at"))
    return (end - begin).total_seconds()


def test_pod_account_acts_as_its_service_account(site: Site, act: Act) -> None:
    """Google, which has the cluster's public keys, refuses a pod's account until it is bound, and then accepts it."""
    site.configure("users/alice")

    site.worker.once()
    refused = act(site.worker.directory("alice"), site.google)
    site.google.allow(account_of("alice"), subject=build_subject("users/alice"))
    accepted = act(site.worker.directory("alice"), site.google)

    status = site.worker.status()["alice"]
    told = (status["issuer"], status["subject"], status["audience"])
    assert told == (ISSUER, "system:serviceaccount:users:alice", AUDIENCE)
    assert "iam.serviceAccounts.getAccessToken" in refused["refused"]
    assert accepted["service_account"] == account_of("alice")


def test_each_account_acts_as_itself_only(site: Site, act: Act) -> None:
    """Of two users of one daemon, each acts as itself, and Bob's token cannot act as Alice's account."""
    for name in ("alice", "bob"):
        site.google.allow(account_of(name), subject=build_subject(f"users/{name}"))
    site.configure("users/alice", "users/bob")

    site.worker.once()
    accepted = {name: act(site.worker.directory(name), site.google)["service_account"] for name in ("alice", "bob")}
    (site.worker.directory("alice") / "token").unlink()
    (site.worker.directory("alice") / "token").write_text(site.worker.token("bob"))
    refused = act(site.worker.directory("alice"), site.google)

    assert accepted == {"alice": account_of("alice"), "bob": account_of("bob")}
    assert "iam.serviceAccounts.getAccessToken" in refused["refused"]


@pytest.mark.parametrize(
    ("own", "account", "status", "reason", "remedy"),
    [
        pytest.param(
            POWERLESS,
            "users/alice",
            403,
            '"system:serviceaccount:refresher:powerless" cannot create resource "serviceaccounts/token"',
            "allow the daemon's account to create serviceaccounts/token of users/alice (RBAC)",
            id="no-right",
        ),
        pytest.param(
            DAEMON,
            "users/eve",
            403,
            '"system:serviceaccount:refresher:refresher" cannot create resource "serviceaccounts/token"',
            "allow the daemon's account to create serviceaccounts/token of users/eve (RBAC)",
            id="account-not-named",
        ),
        pytest.param(
            DAEMON,
            ABSENT,
            404,
            'serviceaccounts "nobody" not found',
            "create the service account users/nobody, or correct the identity's subject",
            id="no-account",
        ),
    ],
)
def test_refusal_is_reported_with_a_remedy(
    site: Site, own: str, account: str, status: int, reason: str, remedy: str
) -> None:
    """For a missing right or account, the error has the API server's text and a remedy."""
    site.use_account(own)
    site.configure(account)

    done = site.worker.once(status=3)

    assert f"a token of {account} from the API server was refused with HTTP {status}: " in done.stderr
    assert reason in done.stderr
    assert remedy in done.stderr
    assert not site.worker.directory(account.split("/")[1]).joinpath("token").exists()


def test_replaced_own_token_is_used(site: Site) -> None:
    """An own token that the cluster refuses is reported with its file, and its replacement is used."""
    site.use_token("of another cluster")
    site.configure("users/alice")

    refused = site.worker.once(status=3)
    site.use_account(DAEMON)
    site.worker.once()

    assert "HTTP 401: Unauthorized" in refused.stderr
    assert f"check what renews {site.worker.place / 'own'}" in refused.stderr
    assert "of another cluster" not in refused.stderr
    assert site.worker.status()["alice"]["state"] == "fresh"


def test_daemon_only_gets_tokens_for_google(site: Site) -> None:
    """Under the guide's policy the daemon gets no token of an audience that the API server accepts."""
    site.configure("users/alice")
    document = yaml.safe_load(site.worker.configuration.read_text())
    document["providers"]["main"]["audience"] = ISSUER
    site.worker.write(document)

    done = site.worker.once(status=3)

    assert "the refresher requests tokens for Google alone" in done.stderr
    assert "for this audience in the cluster's admission policies" in done.stderr


@pytest.mark.parametrize(("asked", "given"), [("10m", 600), ("1h", 3600), ("24h", 7200)])
def test_token_lives_as_long_as_the_cluster_grants(site: Site, asked: str, given: int) -> None:
    """The shortest valid lifetime is granted, and a lifetime beyond the cluster's limit is shortened to it."""
    site.configure("users/alice", lifetime=asked)

    site.worker.once()

    assert read_lifetime(site.worker.status()["alice"]) == given


def test_shorter_lifetime_than_the_configuration_allows_is_refused(cluster: Cluster) -> None:
    """The API server grants no less than ten minutes, so the configuration accepts no less."""
    refused = cluster.attempt("create", "token", "alice", "--namespace", "users", "--duration", "599s")

    assert "may not specify a duration less than 10 minutes" in refused.stderr


def test_files_outlive_the_api_server(site: Site) -> None:
    """While the API server is stopped, all files stay and the failure is reported; afterwards there are new tokens."""
    site.configure("users/alice")
    site.worker.once()
    before = site.worker.files("alice")
    site.cluster.stop()

    try:
        away = site.worker.once("--force", status=3)
        during = site.worker.files("alice")
    finally:
        site.cluster.start()
    site.worker.once("--force")

    assert f"from the API server failed: {site.cluster.origin.partition('//')[2]} did not answer" in away.stderr
    assert during == before
    assert site.worker.token("alice").encode() != before["token"]


def test_daemon_recovers_by_itself(site: Site) -> None:
    """A daemon that starts before the API server gets its tokens once the API server runs."""
    site.configure("users/alice")
    site.cluster.stop()

    with site.worker.daemon() as log:
        try:
            log.wait_for("token.supply_failed", target="alice")
        finally:
            site.cluster.start()
        log.wait_for("token.published", target="alice")

    assert site.worker.status()["alice"]["state"] == "fresh"


def test_new_authority_is_trusted_once_the_file_contains_it(site: Site) -> None:
    """A server with an unknown authority gets no request; a running daemon notices the authority in the file."""
    make_certificates(site.worker.place)
    site.configure("users/alice", ca_file="ca.pem")

    with site.worker.daemon() as log:
        failure = log.wait_for("token.supply_failed", target="alice")
        (site.worker.place / "ca.new").write_bytes(site.cluster.ca_file.read_bytes())
        (site.worker.place / "ca.new").rename(site.worker.place / "ca.pem")
        log.wait_for("token.published", target="alice")

    assert "its certificate is not trusted" in failure["error"]
    assert "the supplier's ca_file" in failure["remedy"]


def test_version_is_the_one_in_the_guide(site: Site) -> None:
    """The guide contains the version that runs here."""
    told = json.loads(site.cluster.kubectl("version", "--output", "json"))["serverVersion"]["gitVersion"]

    assert told == f"v{KUBERNETES_VERSION}"
    assert f"Kubernetes {KUBERNETES_VERSION}" in GUIDE.read_text()
