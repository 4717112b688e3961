"""To whom a credentials directory and its files belong, and which modes they carry.

The directory is always the daemon's: the files' owner may read in it and change nothing. The contract's rule: 0750 with
the owner's group if one is given, else 0711, so that a container's user can open a file whose name it knows.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Ownership:
    """Owner and mode of published files, as ids of the host.

    Attributes:
        uid: The files' user; None for the daemon's own.
        gid: The files' and the directory's group; None for the daemon's own.
        mode: The files' permission bits.
    """

    uid: int | None
    gid: int | None
    mode: int

    @property
    def directory_mode(self) -> int:
        """Permission bits of the credentials directory itself."""
        return 0o711 if self.gid is None else 0o750

    def describes(self, *, mode: int, uid: int, gid: int, daemon_uid: int) -> bool:
        """Tell whether a file of this mode, user and group is as configured."""
        return (
            mode == self.mode
            and uid == (daemon_uid if self.uid is None else self.uid)
            and (self.gid is None or gid == self.gid)
        )
