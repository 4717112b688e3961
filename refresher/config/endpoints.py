"""Which origins may be spoken to as Google: those of the universe domain, and others only for the emulator.

Plain http carries tokens in the clear, so it stays on the loopback; the metadata server alone speaks it by nature.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from refresher.settings.problems import Mistake
from refresher.text import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from refresher.config.models import GoogleSettings

_METADATA_HOSTS = frozenset(["metadata.google.internal", "169.254.169.254", "[fd20:ce::254]"])
_LOOPBACK = re.compile(r"localhost|127(?:\.[0-9]{1,3}){3}|\[::1\]")
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<host>\[[^\]]*\]|[^:/]*)(?::[0-9]+)?")


def mistakes_of_endpoints(google: GoogleSettings) -> Iterator[Mistake]:
    """Name every origin that is not allowed as things stand."""
    for key in ("sts", "iam_credentials", "cloud_kms", "metadata"):
        origin = getattr(google.endpoints, key)
        if origin is not None:
            yield from _of_origin(google, key, origin)


def _of_origin(google: GoogleSettings, key: str, origin: str) -> Iterator[Mistake]:
    found = _ORIGIN.fullmatch(origin)
    if found is None:
        return
    host = found["host"].lower()
    if key == "metadata" and host in _METADATA_HOSTS:
        return
    path = ("google", "endpoints", key)
    is_of_universe = host.endswith("." + google.universe_domain.lower())
    if not is_of_universe and not google.emulator:
        clause = f"is {quote(origin)}, which is not below {google.universe_domain}"
        yield Mistake(path=path, clause=clause, remedy="mend it, or add emulator: true below google:")
    if found["scheme"] == "http" and key != "metadata" and not _LOOPBACK.fullmatch(host):
        clause = f"is {quote(origin)}, plain http beyond the loopback"
        yield Mistake(path=path, clause=clause, remedy="use https")
