"""The proxy of the environment: `HTTPS_PROXY` and `NO_PROXY`, in lower case first, as curl, Go and requests read them.

Calls over https alone go through it. What we call over plain http is on this machine: the metadata server, an emulator.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from urllib.request import proxy_bypass

from refresher.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOOPBACK = re.compile(r"localhost|127\.[0-9.]+|\[?::1\]?")
_REMEDY = "set it to http://HOST:PORT or https://HOST:PORT, or unset it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """Who is asked to connect us.

    Attributes:
        url: `http://HOST:PORT` or `https://HOST:PORT`.
        credentials: `USER:PASSWORD` if it wants to know us; in no repr.
        exempt: Hosts and domains that are called without it, with commas between them; `*` for all.
    """

    url: str
    credentials: str | None = field(default=None, repr=False)
    exempt: str = ""

    def serves(self, url: str) -> bool:
        """Tell whether a URL is called through the proxy; what is on this machine never is."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme != "https" or _LOOPBACK.fullmatch(host):
            return False
        return not proxy_bypass(parts.netloc.rpartition("@")[2], {"no": self.exempt})


def proxy_of(environment: Mapping[str, str]) -> Proxy | None:
    """Give the proxy that variables name; None without one.

    Raises:
        ConfigurationError: It is not the URL of an HTTP proxy. The message does not repeat it: it may hold a password.
    """
    text = environment.get("https_proxy") or environment.get("HTTPS_PROXY")
    if not text:
        return None
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port
    except ValueError:
        raise ConfigurationError("HTTPS_PROXY is not a URL", _REMEDY) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError("HTTPS_PROXY names no HTTP proxy", _REMEDY)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    user = None if parts.username is None else f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return Proxy(
        url=f"{parts.scheme}://{host}" + ("" if port is None else f":{port}"),
        credentials=user,
        exempt=environment.get("no_proxy") or environment.get("NO_PROXY") or "",
    )
