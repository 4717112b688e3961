"""The handshake of Terraform's plugins: one gRPC server on a unix socket with its own certificate.

https://github.com/hashicorp/go-plugin, protocol version 1; Terraform plugin protocol 6. The runner of the package `tf`
is not used, because it stores its key in the home directory and does not support nested lists.
"""

from __future__ import annotations

import base64
import sys
import tempfile
import threading
from concurrent import futures
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from tf.gen import grpc_controller_pb2, grpc_controller_pb2_grpc, grpc_stdio_pb2_grpc, tfplugin_pb2_grpc


class _Controller(grpc_controller_pb2_grpc.GRPCControllerServicer):  # type: ignore[misc] # generated, untyped
    """Ends the process when Terraform requests it."""

    def __init__(self, over: threading.Event) -> None:
        self._over = over

    def Shutdown(self, request: Any, context: Any) -> Any:  # noqa: N802, ANN401 - named by the protocol, untyped
        """End."""
        self._over.set()
        return grpc_controller_pb2.Empty()


class _Streams(grpc_stdio_pb2_grpc.GRPCStdioServicer):  # type: ignore[misc] # generated, untyped
    """Sends nothing on the streams of the protocol."""

    def StreamStdio(self, request: Any, context: Any) -> Any:  # noqa: N802, ANN401 - named by the protocol, untyped
        """Stream nothing."""
        return iter(())


def serve(servicer: Any) -> None:  # noqa: ANN401 - generated classes are untyped
    """Answer Terraform until it ends the conversation."""
    over = threading.Event()
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=10))
    tfplugin_pb2_grpc.add_ProviderServicer_to_server(servicer, server)
    grpc_controller_pb2_grpc.add_GRPCControllerServicer_to_server(_Controller(over), server)
    grpc_stdio_pb2_grpc.add_GRPCStdioServicer_to_server(_Streams(), server)
    key, certificate, certificate_der = _certificate()
    with tempfile.TemporaryDirectory(prefix="stand-in-") as directory:
        address = f"{directory}/plugin.sock"
        server.add_secure_port(f"unix://{address}", grpc.ssl_server_credentials([(key, certificate)]))
        server.start()
        shown = base64.b64encode(certificate_der).decode().rstrip("=")
        sys.stdout.write(f"1|6|unix|{address}|grpc|{shown}\n")
        sys.stdout.flush()
        over.wait()
        server.stop(grace=0.2).wait()


def _certificate() -> tuple[bytes, bytes, bytes]:
    """Create a key and a certificate that only this process uses: PEM, PEM and DER."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return (
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        certificate.public_bytes(serialization.Encoding.PEM),
        certificate.public_bytes(serialization.Encoding.DER),
    )
