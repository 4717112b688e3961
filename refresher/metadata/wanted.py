"""Where a listener of a target is wanted, and where the helper is asked for it."""

from typing import NamedTuple

HELPER_SOCKET = "/run/refresher-netns/socket"


class Wanted(NamedTuple):
    """Where to listen: in the network namespace at `netns`, or the daemon's own if that is empty."""

    netns: str
    port: int  # on 127.0.0.1
    link_local: bool  # whether 169.254.169.254:80 answers too
