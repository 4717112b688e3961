"""How a command is run as another user of this machine: the words that a remedy puts before it."""

import os
import pwd
from typing import NamedTuple


class DaemonUser(NamedTuple):
    """The user of a daemon, and how its commands are run with the rights of its unit.

    Attributes:
        uid: The user's; None if it is unknown.
        gid: The group of the user's processes.
        reads_all: Whether the daemon needs CAP_DAC_READ_SEARCH: files get another owner.
        options: What follows each command, such as `--config FILE`.
    """

    uid: int | None = None
    gid: int = 0
    reads_all: bool = False
    options: str = ""

    def compose(self, command: str) -> str:
        """Return the line by which root runs our command as this user, or this user itself."""
        line = " ".join(filter(None, ("refresher", command, self.options)))
        if self.uid in (None, 0, os.geteuid()):
            return line
        rights = "+chown,+dac_read_search" if self.reads_all else "+chown"
        groups = "--init-groups" if has_account(self.uid) else "--clear-groups"
        user = f"--reuid={self.uid} --regid={self.gid} {groups}"
        return f"setpriv {user} --inh-caps={rights} --ambient-caps={rights} {line}"

    def suggest(self, command: str) -> str:
        """Return a remedy that runs our command as this user."""
        runner = "" if os.geteuid() in (0, self.uid) else " as root"
        if self.uid is None:
            runner = " as the daemon's user" if self.options else ""
        return f"run `{self.compose(command)}`{runner}"


def recommend_root() -> str:
    """Return the remedy where this user has too few rights; root itself lacks a capability, as in most containers."""
    if os.geteuid() == 0:
        return "run this command on the host with all of root's capabilities: systemd-run --pipe --wait COMMAND"
    return "run this command as root"


def has_account(user: int) -> bool:
    """Return whether the user with this uid has an account on this machine."""
    try:
        pwd.getpwuid(user)
    except KeyError:
        return False
    return True


def find_prefix(user: int) -> str:
    """Return what root puts before a command to run it as the user with this uid; empty if this process is that user.

    runuser(1) needs the user's name; setpriv(1) takes the uid of one without an account.
    """
    return "" if user == os.geteuid() else compose_prefix(user)


def compose_prefix(user: int) -> str:
    """Return what root puts before a command to run it as the user with this uid, also if this process is that user."""
    try:
        return f"runuser -u {pwd.getpwuid(user).pw_name} -- "
    except KeyError:
        return f"setpriv --reuid={user} --clear-groups "
