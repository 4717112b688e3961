"""The root command: the list of commands, each imported when it is called, and the one place that ends the program."""

import errno
import importlib
import io
import os
import sys
from collections.abc import Callable, Sequence

import click

from refresher import __version__
from refresher.cli.command import list_loudness_options, print_error, print_note
from refresher.errors import ExitStatus, RefresherError, UsageError

COMMANDS = {
    "demo": "Show on the emulator how two users get credentials of their own.",
    "run": "Keep all targets fresh: the daemon.",
    "once": "Refresh what is due, and exit.",
    "check": "Check and explain the configuration. Read-only.",
    "adc": "Print the ADC document of a target.",
    "env": "Print the environment variables of a target.",
    "status": "Show the current state of each target's files. Read-only.",
    "wait": "Return when targets are ready; with --timeout 0s, check once.",
    "doctor": "Check the whole chain link by link, with cause and remedy.",
    "token": "Print one token of a target, for a script.",
    "inspect": "Explain a token, an ADC document, a JWKS or a directory of them.",
    "discovery": "Print the discovery document that a sign_jwt supplier needs.",
    "targets": "Add, remove and list targets while the daemon runs.",
    "keys": "Create, list, publish and rotate signing keys.",
    "emulator": "Run a local Google.",
    "schema": "Print the JSON Schema of the configuration.",
}
"""Name and one line of each command, so that help imports none of them."""

EXIT_STATUSES = (
    "0 done · 1 unexpected · 2 usage or configuration · 3 supply · 4 publish · 5 exchange or impersonation · "
    "6 not ready in time"
)
_UNPRINTABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"refresher.cli.{cmd_name}")
        found: click.Command = module.command
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
        with formatter.section("Exit statuses"):
            formatter.write_text(EXIT_STATUSES)


@click.group(
    cls=_LazyGroup,
    params=list_loudness_options(),
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "REFRESHER"},
)
@click.version_option(__version__, prog_name="refresher")
def root() -> None:
    """Keep Google Cloud credentials fresh, in one directory per container."""


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit status."""
    colour = None if "NO_COLOR" not in os.environ else False
    return run_guarded(lambda: root.main(list(arguments), prog_name="refresher", standalone_mode=False, color=colour))


def run_guarded(call: Callable[[], object]) -> int:
    """Run a command and return the exit status; why it failed is printed on standard error."""
    status: int = ExitStatus.DONE
    try:
        result = call()
        status = result if isinstance(result, int) else status
    except RefresherError as error:
        print_error(error)
        status = error.exit_status
    except click.exceptions.Exit as end:
        status = end.exit_code
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        print_note(shown.getvalue().rstrip())
        status = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        status = 130  # the status that a shell expects of a program that SIGINT ended
    except BrokenPipeError:
        # the reader of our output has seen enough; this keeps the interpreter from an error message at its exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        status = _explain_surroundings(error)
    except Exception as bug:  # noqa: BLE001 - the top of the command line
        status = _report_bug(bug)
    return status


def _explain_surroundings(error: OSError) -> int:
    """Report a fault of standard output, or of the directory in which the program was started; no file is named."""
    if error.filename is None and error.errno in _UNPRINTABLE:
        problem, remedy = "standard output cannot be written", "free some space, or print to another place"
    elif error.filename is None and isinstance(error, FileNotFoundError):
        problem, remedy = "the current directory does not exist any more", "change to a directory that exists"
    else:
        return _report_bug(error)
    failure = UsageError(f"{problem}: {os.strerror(error.errno or 0)}", remedy)
    print_error(failure)
    return failure.exit_status


def _report_bug(bug: Exception) -> int:
    """Print a bug's class and the lines it went through, and not its text, which may quote a secret."""
    import traceback  # takes as long as a short command's own work

    lines = [f"refresher: unexpected {type(bug).__name__}; please report this bug with the lines below"]
    lines += [f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in traceback.extract_tb(bug.__traceback__)]
    print_note("\n".join(lines))
    return ExitStatus.UNEXPECTED
