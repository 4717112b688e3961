"""The one place that turns a failure into words on standard error and an exit status."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING

import click

from refresher.errors import ExitStatus, RefresherError, UsageError
from refresher.settings.places import InvalidConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

INTERRUPTED, TERMINATED = 130, 143
"""What a shell expects of a program that SIGINT or SIGTERM ended."""

_MOST_NAMED = 10

_UNPRINTABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def guarded(call: Callable[[], object]) -> int:
    """Run a command; give the exit status that its end deserves, having said why on standard error."""
    try:
        result = call()
        return result if isinstance(result, int) else ExitStatus.DONE
    except RefresherError as error:
        complain(error)
        return error.exit_status
    except (click.exceptions.Exit, click.ClickException, click.Abort, KeyboardInterrupt, BrokenPipeError) as end:
        return _ended(end)
    except OSError as error:
        return _outside(error)
    except Exception as bug:  # noqa: BLE001 - the top of the command line
        return _unexpected(bug)


def end_on_sigterm() -> None:
    """Let SIGTERM end this program as it ends by itself, with the programs that it has started; on the main thread."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))


def complain(error: RefresherError, *, concerning: Sequence[str] = ()) -> None:
    """Say what is wrong, which targets it concerns, and the remedy; of a configuration, everything that is wrong."""
    if isinstance(error, InvalidConfigurationError):
        click.echo(str(error), err=True)
        return
    click.echo(f"refresher: {error.problem}", err=True)
    if concerning:
        more = f" and {len(concerning) - _MOST_NAMED} more" if len(concerning) > _MOST_NAMED else ""
        click.echo(f"  concerns: {', '.join(concerning[:_MOST_NAMED])}{more}", err=True)
    click.echo(f"  remedy: {error.remedy}", err=True)


def _ended(end: BaseException) -> int:
    """Deal with the ends that are nobody's fault but the caller's: bad usage, an interrupt, a closed pipe."""
    match end:
        case click.exceptions.Exit():
            return end.exit_code
        case click.ClickException():
            end.show()
            return end.exit_code
        case BrokenPipeError():
            # whoever read our output has seen enough; keep the interpreter from complaining at its own end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return ExitStatus.DONE
        case _:
            return INTERRUPTED


def _outside(error: OSError) -> int:
    """Tell of what no file that we name is to blame for: where we were told to print, and where we were started."""
    if error.filename is None and error.errno in _UNPRINTABLE:
        problem, remedy = "standard output cannot be written", "free some space, or print to another place"
    elif error.filename is None and isinstance(error, FileNotFoundError):
        problem, remedy = "the current directory does not exist any more", "change into one that does"
    else:
        return _unexpected(error)
    failure = UsageError(f"{problem}: {os.strerror(error.errno or 0)}", remedy)
    complain(failure)
    return failure.exit_status


def _unexpected(bug: Exception) -> int:
    """Name a bug's kind and the lines it went through; its text is withheld, it may quote a secret."""
    click.echo(f"refresher: unexpected {type(bug).__name__}; please report this bug with the lines below", err=True)
    for frame in traceback.extract_tb(bug.__traceback__):
        click.echo(f"  {frame.filename}:{frame.lineno} in {frame.name}", err=True)
    return ExitStatus.UNEXPECTED
