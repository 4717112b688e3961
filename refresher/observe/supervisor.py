"""Notifications to the supervisor that started the program: systemd's protocol, sd_notify(3).

Each is one datagram to the socket that `NOTIFY_SOCKET` names. It is sent without waiting: a supervisor that does not
read must not stop the daemon. A socket that is missing or full loses the notification, and nothing else.
"""

import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta

_LONGEST = 1024
"""Characters of a status."""

_PETTINGS = 4
"""In each interval of the watchdog at most; it bears a late one."""


class Supervisor:
    """Sends notifications to the supervisor, from several threads; without one, nothing.

    It is ready after the first tick that followed a plan, and alive by each tick that ran to its end.
    """

    def __init__(self, variables: Mapping[str, str], *, monotonic: Callable[[], float]) -> None:
        """Read where the supervisor listens, and how often it wants to hear of this process.

        Args:
            variables: The environment: NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.
            monotonic: CLOCK_MONOTONIC in seconds.
        """
        name = variables.get("NOTIFY_SOCKET", "")
        self._address = f"\0{name[1:]}" if name.startswith("@") else name
        self._monotonic = monotonic
        is_asked = variables.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        interval = variables.get("WATCHDOG_USEC", "") if is_asked else ""
        self._spacing = int(interval) / 1e6 / _PETTINGS if interval.isdecimal() and int(interval) else None
        self._pet_at = 0.0
        self._is_ready = False
        self._status = ""
        self.is_reloading = False

    def reload(self) -> None:
        """Report that the configuration is loaded again; the next `report` of a tick that began later ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={int(self._monotonic() * 1e6)}")
        self.is_reloading = True

    def report(self, status: str, *, has_reloaded: bool) -> None:
        """Report a tick that ran to its end under a plan: readiness at first, the status if it changed, and life."""
        lines = []
        if not self._is_ready or has_reloaded:
            self._is_ready, self.is_reloading = True, False
            lines.append("READY=1")
        if status != self._status:
            self._status = status
            lines.append(f"STATUS={' '.join(status.split())[:_LONGEST]}")
        now = self._monotonic()
        if self._spacing is not None and now >= self._pet_at:
            self._pet_at = now + self._spacing
            lines.append("WATCHDOG=1")
        if lines:
            self._send("\n".join(lines))

    def stop(self, longest: timedelta) -> None:
        """Report that the end has begun, and how long it may take."""
        self._send(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={int(longest.total_seconds() * 1e6)}")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)  # noqa: FBT003 - the standard library's signature
            sender.sendto(state.encode(), self._address)
