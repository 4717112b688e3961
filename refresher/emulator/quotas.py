"""Quotas per project and minute; off by default.

https://cloud.google.com/iam/quotas. As far as is known, STS calls count for the project of the pool.
"""

from dataclasses import dataclass, field
from typing import Any

from refresher.emulator.errors import api_refusal, sts_refusal

MINUTE = 60
EXCHANGES = "sts.googleapis.com/requests"
INTROSPECTIONS = "sts.googleapis.com/introspect_requests"
GENERATIONS = "iamcredentials.googleapis.com/generate_credentials"
SIGNATURES = "iamcredentials.googleapis.com/sign"
POOL_WRITES = "iam.googleapis.com/workload_identity_pool_writes"

LIMITS = {EXCHANGES: 6_000, INTROSPECTIONS: 6_000, GENERATIONS: 60_000, SIGNATURES: 60_000, POOL_WRITES: 60}


@dataclass(slots=True)
class Quotas:
    """The limits per minute, and what was used in this minute.

    Attributes:
        enabled: Whether the limits apply.
        limits: Requests per project and minute, by quota. A test can lower them.
    """

    enabled: bool = False
    limits: dict[str, int] = field(default_factory=LIMITS.copy)
    _minute: int = 0
    _used: dict[tuple[str, str], int] = field(default_factory=dict)

    def dump(self) -> dict[str, Any]:
        """Return the document that `load` reads, for JSON; without what was used in this minute."""
        return {"enabled": self.enabled, "limits": self.limits}

    def load(self, document: dict[str, Any]) -> None:
        """Restore the settings from a document of `dump`."""
        self.enabled = document["enabled"] is True
        self.limits.update({name: int(limit) for name, limit in document["limits"].items() if name in self.limits})

    def spend(self, quota: str, project: str, now: float) -> None:
        """Count a request of a project.

        Raises:
            Refusal: The quota of this minute is used up: E13 at STS, a similar refusal at other services.
        """
        if not self.enabled:
            return
        minute = int(now // MINUTE)
        if minute != self._minute:
            self._minute, self._used = minute, {}
        used = self._used.get((quota, project), 0)
        if used >= self.limits[quota]:
            service, _, _ = quota.partition("/")
            if service == "sts.googleapis.com":
                raise sts_refusal("E13", quota=quota)
            raise api_refusal("quota", service=service, quota=quota, project=project)
        self._used[quota, project] = used + 1
