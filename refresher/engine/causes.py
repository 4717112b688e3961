"""Which failures have one cause, and what of them is news: for the log here, and for the status page.

Google refuses an identity once, and several jobs meet it: the canary's probe and each optional artifact. The first of
them that reports a cause speaks for the others about that identity, until it goes on longer than what was reported.
"""

import re
from threading import Lock

from refresher.catalogue.entries import get_entry

VAGUE = ("", "unknown", "response")
"""Entries of failures that may differ in their cause."""
AGAIN = "the daemon asks again by itself, at once after systemctl reload refresher"
"""What a remedy of the canary ends with where Google did not decide."""
_MISSING_ROLE = "a role is missing"
_ISSUE = re.compile("; the token was issued at [^;]*")


def identify_cause(entry: str, problem: str, remedy: str, *names: str) -> tuple[str, str]:
    """Return what is the same wherever one cause shows, and one remedy puts an end to it.

    A server's words hold an account or a time. The `entry` of `refresher.catalogue` is the cause, but where it is the
    one of all that is not known. A role that is missing has an entry for each permission in it, and the remedy names
    the role. The `names` stand in the texts for what they concern.
    """
    known = get_entry(entry)
    if known is not None and known.is_missing_role:
        entry = _MISSING_ROLE
    cause, fix = problem if entry in VAGUE else entry, _ISSUE.sub("", remedy).removesuffix(f"; {AGAIN}")
    for name in filter(None, names):
        cause, fix = cause.replace(name, "…"), fix.replace(name, "…")
    return cause, fix


class ReportedCauses:
    """What was reported about each identity, by cause and by who reported it; safe to use from several threads."""

    def __init__(self) -> None:
        self._reported: dict[str, dict[tuple[str, str], dict[str, int]]] = {}
        self._lock = Lock()

    def is_news(self, identity: str, cause: tuple[str, str], speaker: str, failures: int) -> bool:
        """Return whether no other speaker has reported this cause of an identity after as many failures in a row."""
        with self._lock:
            counts = self._reported.setdefault(identity, {}).setdefault(cause, {})
            if any(count >= failures for name, count in counts.items() if name != speaker):
                return False
            counts[speaker] = failures
            return True

    def forget(self, identity: str) -> None:
        """Forget an identity that has recovered."""
        with self._lock:
            self._reported.pop(identity, None)

    def clear(self) -> None:
        """Forget all identities."""
        with self._lock:
            self._reported.clear()
