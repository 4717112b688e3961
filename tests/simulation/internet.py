"""The servers that suppliers and the chain ask: issuers, STS, IAM Credentials and the metadata server.

Each answers by its behaviour, which faults change. What was handed out is remembered by its text, so that a file
can be judged without the product's own reading of it.
"""

import base64
import json
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from random import Random
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from refresher.google.call import Response, TransportError
from tests.simulation.clocks import SimulatedClock
from tests.simulation.linked import LINKER
from tests.simulation.scheduler import SCHEDULER

Answer = tuple[int, dict[str, str], bytes]
SIGNATURE = "c2ltdWxhdGVk" * 7
"""Of every token that a simulated issuer signs."""


class Behaviour:
    """How a server answers at present: what a fault makes of it.

    Attributes:
        delay: Seconds until the answer.
        is_silent: Whether no answer comes.
        status: The status of every answer; 0 for the right answer.
        retry_after: Seconds that an answer asks to wait; 0 for none.
        body: The content of an answer with a status.
        spoil: Changes what a token claims.
    """

    def __init__(
        self,
        *,
        delay: float = 0.0,
        is_silent: bool = False,
        status: int = 0,
        retry_after: int = 0,
        body: bytes = b"{}",
        spoil: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    ) -> None:
        self.delay = delay
        self.is_silent = is_silent
        self.status = status
        self.retry_after = retry_after
        self.body = body
        self.spoil = spoil


FINE = Behaviour()


class Internet:
    """All servers, by host."""

    def __init__(self, clock: SimulatedClock, random: Random) -> None:
        self.clock = clock
        self.random = random
        self.behaviours: dict[str, Behaviour] = {}
        self.requests: Counter[str] = Counter()
        self.failed = 0
        self.lifetimes: dict[str, float] = {}
        self.subjects: dict[str, str] = {}

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Response:
        """Answer a call, after the time that it takes."""
        parts = urlsplit(url)
        host = parts.netloc
        self.requests[host] += 1
        behaviour = self.behaviours.get(host, FINE)
        delay = behaviour.delay or (self.random.random() * 0.2 if self.random.random() < 0.2 else 0.0)
        if delay:
            SCHEDULER.wait(None, min(delay, 20.0))
            if behaviour.is_silent or delay > 20.0:
                self.failed += 1
                raise TransportError(f"{host} did not answer: it did not answer in time")
        if behaviour.is_silent:
            self.failed += 1
            raise TransportError(f"{host} did not answer: it cannot be reached")
        if behaviour.status:
            self.failed += 1
            wait = {"retry-after": str(behaviour.retry_after)} if behaviour.retry_after else {}
            return Response(status=behaviour.status, headers=wait, body=behaviour.body)
        status, more, content = self._serve(host, parts.path, body or b"", behaviour)
        return Response(status=status, headers=more, body=content)

    def _serve(self, host: str, path: str, body: bytes, behaviour: Behaviour) -> Answer:
        now = self.clock.now()
        if host.startswith("metadata"):
            return 200, {"metadata-flavor": "Google"}, _encode({"access_token": "ya29.worker", "expires_in": 3600})
        if path.endswith(":signJwt"):
            claims = json.loads(json.loads(body)["payload"])
            return 200, {}, _encode({"signedJwt": self.sign(claims, behaviour)})
        if path.endswith(":generateAccessToken"):
            end = now + timedelta(seconds=self.lifetimes.get(host, 3600))
            return 200, {}, _encode({"accessToken": f"ya29.{path}.{now.timestamp()}", "expireTime": f"{end:%FT%TZ}"})
        if path.endswith(":generateIdToken"):
            claims = self._compose("https://accounts.google.com", path, json.loads(body)["audience"], 3600.0, now)
            return 200, {}, _encode({"token": self.sign(claims, behaviour)})
        if host.startswith("sts"):
            return 200, {}, _encode({"access_token": f"ya29.d.{now.timestamp()}", "expires_in": 3600})
        client = parse_qs(body.decode()).get("client_id", [host])[0]
        audience = self.subjects.get("audience", "")
        life = self.lifetimes.get(host, 3600.0)
        claims = self._compose(f"https://{host}", self.subjects.get(host, client), audience, life, now)
        return 200, {}, _encode({"access_token": self.sign(claims, behaviour)})

    @staticmethod
    def _compose(issuer: str, subject: str, audience: str, life: float, now: datetime) -> dict[str, Any]:
        issued_at = int(now.timestamp())
        return {"iss": issuer, "sub": subject, "aud": audience, "iat": issued_at, "exp": issued_at + int(life)}

    def sign(self, claims: dict[str, Any], behaviour: Behaviour) -> str:
        """Return a JWT of these claims."""
        if behaviour.spoil is not None:
            claims = behaviour.spoil(claims)
        header = {"alg": "RS256", "kid": "simulated", "typ": "JWT"}
        claims = {**claims, "jti": f"{self.random.getrandbits(64):x}"}
        return ".".join((_encode_part(header), _encode_part(claims), SIGNATURE))


def _encode(document: object) -> bytes:
    return json.dumps(document).encode()


def _encode_part(document: object) -> str:
    return base64.urlsafe_b64encode(_encode(document)).rstrip(b"=").decode()


INTERNET: list[Internet] = []
"""The one of the run under way."""


class _Transport:
    """What the product finds in the place of its pool of connections."""

    def __init__(self, **_options: object) -> None:
        pass

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Response:
        return INTERNET[0].request(method, url, headers=headers, body=body)


_module = ModuleType("refresher.google.transport")
vars(_module).update(PooledTransport=_Transport)
LINKER.offer(_module)
