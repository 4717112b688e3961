"""What a container's clients connect to first, STS or the container's proxy, and which certificates they trust.

Addresses are resolved on the host: no name service of the container is asked.
"""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

from refresher.errors import ConfigurationError
from refresher.google.transport import parse_proxy
from refresher.text import escape

PROXY = ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY")
"""The variables of a proxy; of two that differ only in their case the first counts."""
TRUST = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
"""The variables that name files of trusted certificates."""
_MOST_ADDRESSES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What to connect to from a container.

    Attributes:
        addresses: Numeric addresses with their ports; none if nothing can be tried.
        reason: Why nothing can be tried.
        proxy: The container's proxy for STS, as host and port, without credentials; empty for none.
    """

    addresses: tuple[tuple[str, int], ...] = ()
    reason: str = ""
    proxy: str = ""


def find_route(sts: str | None, variables: Mapping[str, str], *, is_own_network: bool) -> Route:
    """Return what a container's clients connect to in order to reach STS.

    Args:
        sts: Origin of STS; None to connect to nothing.
        variables: Those of `PROXY` that the container has.
        is_own_network: Whether the container's network is not this machine's, so that its loopback is another one.
    """
    if sts is None:
        return Route(reason="this command is offline")
    proxy = _find_proxy(sts, variables)
    if not proxy:
        return _resolve(sts, "STS", is_own_network=is_own_network)
    try:
        origin, _ = parse_proxy(proxy)
    except ConfigurationError as error:
        return Route(reason=f"in the container, {escape(error.problem)}")
    place = urlsplit(origin).netloc
    found = _resolve(origin, f"the container's proxy {place}", is_own_network=False)
    return Route(addresses=found.addresses, reason=found.reason, proxy=place)


def _find_proxy(sts: str, variables: Mapping[str, str]) -> str:
    """Return the proxy for STS, as the variables name it; empty for none."""
    parts = urlsplit(sts)
    proxy, exceptions = (
        next((variables[name] for name in names if variables.get(name)), "") for names in (PROXY[:2], PROXY[2:])
    )
    if parts.scheme != "https" or proxy_bypass(parts.netloc, {"no": exceptions}):
        return ""
    return proxy


def _resolve(origin: str, what: str, *, is_own_network: bool) -> Route:
    parts = urlsplit(origin)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return Route(reason=f"this machine can't resolve the name of {what} ({escape(host)})")
    addresses = [str(address[0]) for _, _, _, _, address in found]
    local = next((each for each in addresses if ip_address(each.partition("%")[0]).is_loopback), None)
    if is_own_network and local is not None:
        return Route(reason=f"the address of {what}, {local}, is this machine's own")
    return Route(addresses=tuple((address, port) for address in addresses[:_MOST_ADDRESSES]))
