"""Options that several commands share, and how values on the command line are read."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from refresher.durations import parse_duration

if TYPE_CHECKING:
    import re
    from collections.abc import Callable
    from datetime import timedelta

DEFAULT_CONFIGURATION = Path("/etc/refresher/refresher.yaml")


class Duration(click.ParamType["timedelta"]):
    """A duration such as 90s, 15m or 1h30m."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:  # noqa: ANN401 - click's signature
        """Read the text of an option."""
        try:
            return value if not isinstance(value, str) else parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


config_option = click.option(
    "--config",
    "config",
    type=click.Path(path_type=Path),
    default=DEFAULT_CONFIGURATION,
    envvar="REFRESHER_CONFIG",
    show_default=True,
    metavar="FILE",
    help="The configuration file.",
)

json_option = click.option(
    "--json", "as_json", is_flag=True, envvar="REFRESHER_JSON", help="Print JSON, stable and documented."
)


class Command(click.Command):
    """A command that also takes -v and -q, names each option's variable, and ends its help with an example."""

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - click's signature
        example: str = "",
        never_options: re.Pattern[str] | None = None,
        **kwargs: Any,  # noqa: ANN401 - click's signature
    ) -> None:
        super().__init__(*args, **kwargs)
        self._example = example
        self._never_options = never_options
        self.params += loudness_options()
        for option in self.params:
            if isinstance(option, click.Option):
                option.show_envvar = True

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take for arguments what looks like options and can be none."""
        if self._never_options is not None:
            meant = [arg for arg in args if self._never_options.fullmatch(arg)]
            if meant:
                args = [*(arg for arg in args if arg not in meant and arg != "--"), "--", *meant]
        return super().parse_args(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """Write the example below the options."""
        if self._example:
            with formatter.section("Example"):
                formatter.write_text(self._example)


def declare(name: str, *, example: str, **settings: Any) -> Callable[[Callable[..., object]], click.Command]:  # noqa: ANN401 - handed on to click
    """Declare a command with its example; `never_options` matches arguments that may begin with a hyphen."""
    return click.command(name, cls=Command, example=example, **settings)


def loudness_options() -> list[click.Option]:
    """Give -v and -q; they count before the command's name as well as behind it."""
    return [
        click.Option(
            [letter, name],
            count=True,
            expose_value=False,
            show_envvar=True,
            help=f"Log {sense}.",
            callback=_louder,
        )
        for letter, name, sense in (("-v", "--verbose", "more"), ("-q", "--quiet", "less"))
    ]


def configure_logs() -> None:
    """Send log lines to standard error, as loud as -v and -q ask for."""
    from refresher.observe import logs

    louder = click.get_current_context().meta.get(__name__, 0)
    logs.configure(sys.stderr, level=logging.INFO - 10 * louder)


def _louder(ctx: click.Context, param: click.Parameter, value: int) -> None:
    ctx.meta[__name__] = ctx.meta.get(__name__, 0) + (value if param.name == "verbose" else -value)
