"""A Kubernetes API server and its store on loopback, which end with the `with` block; no scheduler and no node runs.

The server is built from its Go module, and the store is Debian's. A token in a file authenticates the administrator,
and the server signs the tokens of service accounts with a key of the test.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, HTTPSConnection
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from refresher.emulator.certificates import make_certificates
from tests.installation import OUTPUT, install
from tests.installed.install import API_SERVER
from tests.program import PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Need

ISSUER = "https://cluster.invalid"
LONGEST = "2h"
"""The longest lifetime that the server grants to a service account's token."""

_ADMINISTRATOR = "administrator-of-the-test"


@dataclass(kw_only=True)
class Cluster:
    """A cluster whose API server can be stopped and started again.

    Attributes:
        place: The directory with its files.
        command: The command of the API server.
        port: The port of the API server.
        kubectl_path: The client.
    """

    place: Path
    command: list[str]
    port: int
    kubectl_path: str
    _server: subprocess.Popen[bytes] | None = None

    @property
    def origin(self) -> str:
        """The origin of the API server."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca_file(self) -> Path:
        """The certificate authority of its certificate."""
        return self.place / "ca.pem"

    def start(self) -> None:
        """Start the API server and wait until it is ready."""
        server = self._server = _start(self.command, self.place / "server.log")
        try:
            until(lambda: server.poll() is not None or self._is_ready(), what="the API server is ready")
            assert server.poll() is None, "the API server ended"
        except AssertionError as error:
            raise AssertionError(f"{error}: {(self.place / 'server.log').read_text()[-OUTPUT:]}") from None

    def stop(self) -> None:
        """Stop the API server, if it runs."""
        if self._server is not None:
            _end(self._server)
            self._server = None

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        """Run kubectl as the administrator and return its output.

        Args:
            arguments: The arguments of kubectl.
            given: Its standard input.
        """
        done = self.attempt(*arguments, given=given)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def attempt(self, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the administrator, even if it fails."""
        return subprocess.run(
            [self.kubectl_path, "--kubeconfig", str(self.place / "kubeconfig"), *arguments],
            env={"HOME": str(self.place), "PATH": os.environ["PATH"]},
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

    def jwks(self) -> dict[str, Any]:
        """Return the public keys for the tokens of service accounts."""
        keys: dict[str, Any] = json.loads(self.kubectl("get", "--raw", "/openid/v1/jwks"))
        return keys

    def _is_ready(self) -> bool:
        try:
            return self._health() == HTTPStatus.OK
        except (OSError, HTTPException):
            return False

    def _health(self) -> int:
        trust = ssl.create_default_context(cafile=str(self.ca_file))
        connection = HTTPSConnection("127.0.0.1", self.port, context=trust, timeout=10)
        try:
            connection.request("GET", "/readyz", headers={"Authorization": f"Bearer {_ADMINISTRATOR}"})
            return connection.getresponse().status
        finally:
            connection.close()


@contextmanager
def running_cluster(place: Path, need: Need) -> Iterator[Cluster]:
    """Run a cluster for the length of a `with` block."""
    kubectl = need.tool("kubectl", "apt install kubernetes-client (1.28 or newer)")
    etcd = need.tool("etcd", "apt install etcd-server")
    program = install(API_SERVER, need) / "kube-apiserver"
    store, peer, port = free_ports(3)
    certificates = make_certificates(place)
    _write_signing_key(place)
    (place / "tokens.csv").write_text(f'{_ADMINISTRATOR},admin,admin,"system:masters"\n')
    command = [
        str(program),
        f"--etcd-servers=http://127.0.0.1:{store}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={place / 'made'}",
        f"--tls-cert-file={certificates.certificate_file}",
        f"--tls-private-key-file={certificates.key_file}",
        f"--token-auth-file={place / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        f"--service-account-issuer={ISSUER}",
        f"--service-account-key-file={place / 'accounts.pub'}",
        f"--service-account-signing-key-file={place / 'accounts.key'}",
        f"--service-account-max-token-expiration={LONGEST}",
        "--service-cluster-ip-range=10.96.0.0/24",
    ]
    made = Cluster(place=place, command=command, port=port, kubectl_path=kubectl)
    _write_kubeconfig(made)
    with ExitStack() as ends:
        ends.callback(_end, _start(_store_command(etcd, place, store, peer), place / "store.log"))
        ends.callback(made.stop)
        made.start()
        yield made


def _store_command(etcd: str, place: Path, port: int, peer: int) -> list[str]:
    client_url, peer_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer}"
    return [
        etcd,
        "--name=store",
        f"--data-dir={place / 'store'}",
        f"--listen-client-urls={client_url}",
        f"--advertise-client-urls={client_url}",
        f"--listen-peer-urls={peer_url}",
        f"--initial-advertise-peer-urls={peer_url}",
        f"--initial-cluster=store={peer_url}",
    ]


def _write_signing_key(place: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (place / "accounts.key").write_bytes(private)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (place / "accounts.pub").write_bytes(public)


def _write_kubeconfig(cluster: Cluster) -> None:
    name = "test"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": name, "cluster": {"server": cluster.origin, "certificate-authority": str(cluster.ca_file)}}
        ],
        "users": [{"name": name, "user": {"token": _ADMINISTRATOR}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    (cluster.place / "kubeconfig").write_text(json.dumps(document))


def free_ports(count: int) -> list[int]:
    """Return different ports of the loopback that are free now."""
    with ExitStack() as ends:
        sockets = [ends.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


def _start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(command, cwd=log.parent, env={"PATH": os.environ["PATH"]}, stdout=output, stderr=output)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(PATIENCE)
