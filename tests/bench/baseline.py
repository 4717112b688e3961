"""The baseline: a plain loop that signs tokens and writes them atomically, without the product.

Run it as a program: `baseline.py KEY.pem ROOT COUNT all|token`. It signs COUNT ES256 tokens and writes for each either
the three files of a credentials directory or only the token, each with write, fsync, rename, fsync of the directory.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
import uuid
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key


def encode(content: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def mint(key: ec.EllipticCurvePrivateKey, subject: str) -> bytes:
    """Sign one token."""
    now = int(time.time())
    claims = {
        "iss": "https://workers.invalid",
        "sub": subject,
        "aud": "https://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/w/providers/p",
        "iat": now,
        "exp": now + 3600,
        "jti": uuid.uuid4().hex,
    }
    header = {"alg": "ES256", "kid": "k", "typ": "JWT"}
    message = f"{encode(json.dumps(header).encode())}.{encode(json.dumps(claims).encode())}"
    r, s = decode_dss_signature(key.sign(message.encode(), ec.ECDSA(SHA256())))
    return f"{message}.{encode(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}".encode()


def write(path: Path, content: bytes) -> None:
    """Write one file atomically."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    directory = os.open(path.parent, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


def main() -> None:
    """Sign and write the tokens."""
    key_file, root, count, what = sys.argv[1:]
    key = load_pem_private_key(Path(key_file).read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise SystemExit("no EC key")
    credentials = json.dumps({"type": "external_account", "padding": "x" * 700}, indent=2).encode()
    for number in range(int(count)):
        directory = Path(root) / f"t{number}"
        directory.mkdir(parents=True, exist_ok=True)
        if what == "all":
            write(directory / "credentials.json", credentials)
        write(directory / "token", mint(key, f"user-{number}"))
        if what == "all":
            write(directory / "env", b"GOOGLE_APPLICATION_CREDENTIALS=/var/run/google/credentials.json\n" * 3)


if __name__ == "__main__":
    main()
