"""How a command is run as another user of this machine: the words that a remedy puts before it."""

import os
import pwd


def find_prefix(user: int) -> str:
    """Return what root puts before a command to run it as the user with this uid; empty if this process is that user.

    runuser(1) needs the user's name; setpriv(1) takes the uid of one without an account.
    """
    if user == os.geteuid():
        return ""
    try:
        return f"runuser -u {pwd.getpwuid(user).pw_name} -- "
    except KeyError:
        return f"setpriv --reuid={user} --clear-groups "
