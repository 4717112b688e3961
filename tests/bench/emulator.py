"""The emulator under load: exchanges and impersonations per second, with ES256 and 64 keep-alive connections.

The emulator and the load client are separate processes on the same cores, like a product and its emulator.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import jwt
import yaml
from cryptography.hazmat.primitives.asymmetric import ec

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECTIONS = 64
SECONDS = 4.0
EXCHANGES = 1000
IMPERSONATIONS = 1500
ISSUER = "https://workers.invalid"
PROVIDER = "projects/123456789012/locations/global/workloadIdentityPools/workers/providers/refresher"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def measure() -> Iterator[dict[str, Any]]:
    """Measure both; the figure is the time of one request in milliseconds, with its limit."""
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        key = ec.generate_private_key(ec.SECP256R1())
        seed = place / "seed.yaml"
        seed.write_text(yaml.safe_dump(_seed(key)), encoding="utf-8")
        with _emulator(place / "google", seed) as port:
            exchanges = [_exchange(_token(key, number)) for number in range(200)]
            yield _result("emulator exchanges", _load(port, place, exchanges), EXCHANGES)
            token = _federated(port, _token(key, 0))
            yield _result("emulator impersonations", _load(port, place, [_impersonation(token)]), IMPERSONATIONS)


def _seed(key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    members = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    members.pop("key_ops", None)
    provider = {
        "issuer": ISSUER,
        "jwks": {"keys": [{**members, "kid": "k"}]},
        "mapping": {"google.subject": "assertion.sub", "attribute.worker": "assertion.worker"},
        "condition": "assertion.worker == 'w-17'",
    }
    principal = f"principal://iam.googleapis.com/{PROVIDER.partition('/providers/')[0]}/subject/user-0"
    return {
        "pools": [{"pool": "workers", "providers": {"refresher": provider}}],
        "service_accounts": {
            "task-alice@my-project.iam.gserviceaccount.com": {"roles/iam.workloadIdentityUser": [principal]}
        },
    }


def _token(key: ec.EllipticCurvePrivateKey, number: int) -> str:
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": f"https://iam.googleapis.com/{PROVIDER}",
        "sub": f"user-{number}",
        "worker": "w-17",
        "iat": now,
        "exp": now + 3600,
    }
    return jwt.encode(claims, key, algorithm="ES256", headers={"kid": "k"})


@contextmanager
def _emulator(directory: Path, seed: Path) -> Iterator[int]:
    command = [str(Path(sys.executable).with_name("refresher")), "emulator", "--directory", str(directory)]
    with subprocess.Popen(
        [*command, "--seed", str(seed)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield int(json.loads(process.stdout.readline())["http"].rpartition(":")[2])
        finally:
            process.terminate()


def _form(subject_token: str) -> str:
    return urlencode(
        {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "audience": f"//iam.googleapis.com/{PROVIDER}",
            "scope": SCOPE,
            "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "subject_token": subject_token,
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        }
    )


def _exchange(subject_token: str) -> str:
    return _request("/v1/token", _form(subject_token), "Content-Type: application/x-www-form-urlencoded\r\n")


def _impersonation(token: str) -> str:
    path = "/v1/projects/-/serviceAccounts/task-alice@my-project.iam.gserviceaccount.com:generateAccessToken"
    body = json.dumps({"scope": [SCOPE], "lifetime": "3600s"})
    return _request(path, body, f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n")


def _request(path: str, body: str, headers: str) -> str:
    return f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}Content-Length: {len(body)}\r\n\r\n{body}"


def _federated(port: int, subject_token: str) -> str:
    request = Request(f"http://127.0.0.1:{port}/v1/token", data=_form(subject_token).encode(), method="POST")
    with urlopen(request, timeout=20) as answer:  # noqa: S310 - our own emulator
        return str(json.load(answer)["access_token"])


def _load(port: int, place: Path, requests: list[str]) -> float:
    file = place / "requests"
    file.write_text("\n".join(json.dumps(request) for request in requests), encoding="utf-8")
    client = Path(__file__).with_name("load.py")
    done = subprocess.run(
        [sys.executable, str(client), str(port), str(CONNECTIONS), str(SECONDS), str(file)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    result: dict[str, float] = json.loads(done.stdout)
    assert set(result) == {"per_second", "200"}, result
    return result["per_second"]


def _result(name: str, per_second: float, wanted: int) -> dict[str, Any]:
    """Return a result: the seconds for the required requests per second, with a limit of one second."""
    return {"name": name, "seconds": round(wanted / per_second, 3), "limit": 1.0, "per_second": round(per_second)}
