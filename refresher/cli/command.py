"""What the commands share: options and help, the configuration as a command loads it, and errors in print."""

import gc
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import click

from refresher.config.loader import LoadedConfiguration
from refresher.durations import parse_duration
from refresher.errors import RefresherError, UsageError
from refresher.settings.places import InvalidConfigurationError
from refresher.text import escape

T = TypeVar("T")

PATH = click.Path(path_type=Path, readable=False)
"""A path that is not checked: only opening it shows whether a user with capabilities may read it."""

_MOST_NAMES = 10


class Duration(click.ParamType["timedelta"]):
    """A duration such as 90s, 15m or 1h30m."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:  # noqa: ANN401 - click's signature
        """Return the duration that the text of an option means."""
        try:
            return value if not isinstance(value, str) else parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


config_option = click.option(
    "--config",
    type=PATH,
    default=Path("/etc/refresher/refresher.yaml"),
    envvar="REFRESHER_CONFIG",
    show_default=True,
    metavar="FILE",
    help="The configuration file.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, envvar="REFRESHER_JSON", help="Print JSON. Its format is stable."
)


class Command(click.Command):
    """A command that also takes -v and -q, shows each option's variable, and ends its help with an example."""

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - click's signature
        never_options: re.Pattern[str] | None = None,
        **kwargs: Any,  # noqa: ANN401 - click's signature
    ) -> None:
        super().__init__(*args, **kwargs)
        self._never_options = never_options
        self.params += list_loudness_options()
        for option in self.params:
            if isinstance(option, click.Option):
                option.show_envvar = True

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take as arguments what looks like options and can't be one."""
        if self._never_options is not None:
            meant = [arg for arg in args if self._never_options.fullmatch(arg)]
            if meant:
                args = [*(arg for arg in args if arg not in meant and arg != "--"), "--", *meant]
        return super().parse_args(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """Write the example below the options."""
        with formatter.section("Example"):
            formatter.write_text(self.epilog or "")


def declare(name: str, *, example: str, **settings: Any) -> Callable[[Callable[..., object]], click.Command]:  # noqa: ANN401 - handed on to click
    """Declare a command with its example; `never_options` matches arguments that may begin with a hyphen."""
    return click.command(name, cls=Command, epilog=example, **settings)


def list_loudness_options() -> list[click.Option]:
    """Return the options -v and -q; they count before the command's name as well as after it."""
    return [
        click.Option(
            [letter, name],
            count=True,
            expose_value=False,
            show_envvar=True,
            help=f"Log {sense}; may be repeated.",
            callback=_count_loudness,
        )
        for letter, name, sense in (("-v", "--verbose", "more"), ("-q", "--quiet", "less"))
    ]


def _count_loudness(ctx: click.Context, param: click.Parameter, value: int) -> None:
    ctx.meta[__name__] = ctx.meta.get(__name__, 0) + (value if param.name == "verbose" else -value)


def configure_logs() -> None:
    """Send log lines to standard error, of level INFO (20), or as -v and -q ask for."""
    from refresher.observe import logs

    stream = sys.stderr or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - lives as long as the process; standard error was closed
    level = 20 - 10 * click.get_current_context().meta.get(__name__, 0)
    logs.configure(stream, level=level, journal=os.environ.get("JOURNAL_STREAM", ""))


def load_configuration(path: Path, *, strict: bool = False) -> LoadedConfiguration:
    """Load a configuration as the daemon does: without the drop-ins that can't be used, whose problems are printed.

    Other files that can't be used, and if `strict` drop-ins too, are an `InvalidConfigurationError`.
    """
    from refresher.config.loader import load

    loaded = load(path)
    if strict and loaded.drop_in_problems:
        raise InvalidConfigurationError(loaded.drop_in_problems, loaded.files)
    for problem in loaded.drop_in_problems:
        print_note(str(problem))
    return loaded


def select_targets(known: Mapping[str, T], names: Collection[str]) -> dict[str, T]:
    """Return the targets of these names, or all if there are no names; an unknown name is a `UsageError`."""
    unknown = [name for name in names if name not in known]
    if unknown:
        from difflib import get_close_matches

        near = get_close_matches(unknown[0], list(known), n=1)
        remedy = (
            f"write {near[0]} if you mean that" if near else f"use one of: {', '.join(sorted(known)[:20]) or 'none'}"
        )
        raise UsageError(f"there is no target {', '.join(unknown)}", remedy)
    return {name: known[name] for name in (names or known)}


def clean(text: str) -> str:
    """Return a text of one or more lines without control characters, which a name in it could send to a terminal."""
    return "\n".join(escape(line, longest=8192) for line in text.split("\n"))


def print_note(text: str) -> None:
    """Print what is not a result: on standard error, without control characters."""
    click.echo(clean(text), err=True)


def print_warnings(warnings: Iterable[object]) -> None:
    """Print on standard error what is allowed but unwise."""
    for warning in warnings:
        print_note(f"warning: {warning}")


def print_error(error: RefresherError, *, concerning: Sequence[str] = ()) -> None:
    """Print a problem, the targets that it concerns, and the remedy; of a configuration, all its problems."""
    if isinstance(error, InvalidConfigurationError):
        print_note(str(error))
        return
    lines = [f"refresher: {error.problem}"]
    if concerning:
        more = f" and {len(concerning) - _MOST_NAMES} more" if len(concerning) > _MOST_NAMES else ""
        lines.append(f"  concerns: {', '.join(concerning[:_MOST_NAMES])}{more}")
    print_note("\n".join([*lines, f"  remedy: {error.remedy}"]))


def print_errors(errors: Mapping[str, RefresherError]) -> None:
    """Print the errors of targets, each once: a missing key fails every target of its supplier."""
    groups: dict[str, tuple[RefresherError, list[str]]] = {}
    for name, error in errors.items():
        groups.setdefault(str(error), (error, []))[1].append(name)
    for error, names in groups.values():
        print_error(error, concerning=names)


def end_on_sigterm() -> None:
    """Make SIGTERM end this program regularly, with the programs that it has started; called on the main thread."""
    import signal

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # the status that a shell expects


def collect_garbage() -> None:
    """Search for garbage from now on, in a command that may run for long; what is imported already is left out."""
    gc.freeze()
    gc.enable()
