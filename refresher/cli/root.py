"""The root command: knows the commands by name and imports one when it is called."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

import click

from refresher import __version__
from refresher.cli.failures import guarded
from refresher.cli.options import loudness_options

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    "demo": "Watch two users' credentials stay fresh and apart, on the emulator.",
    "run": "Keep all targets fresh: the daemon.",
    "once": "Refresh what is due, and exit.",
    "check": "Load and explain the configuration; touch nothing.",
    "adc": "Print the ADC document of a target.",
    "env": "Print the variables of a target.",
    "status": "Tell what the files hold, read from the files.",
    "wait": "Return when targets are ready; also a probe.",
    "token": "Print one token of a target, for a script.",
    "inspect": "Explain a token, an ADC document or a JWKS.",
    "discovery": "Print the discovery document that a sign_jwt supplier needs.",
    "keys": "Make, list, publish and rotate signing keys.",
    "emulator": "Run a local Google.",
    "schema": "Print the JSON Schema of the configuration.",
}
"""Name and one line of each command, so that help imports none of them."""

EXIT_STATUSES = (
    "0 done · 1 unexpected · 2 usage or configuration · 3 supply · 4 publish · 5 exchange or impersonation · "
    "6 not ready in time"
)


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
    params=loudness_options(),
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "REFRESHER"},
)
@click.version_option(__version__, prog_name="refresher")
def root() -> None:
    """Keep Google Cloud credentials directories fresh, one per container, with no key."""


def run(arguments: Sequence[str]) -> int:
    """Run the command line; give its exit status."""
    colour = None if "NO_COLOR" not in os.environ else False
    return guarded(lambda: root.main(list(arguments), prog_name="refresher", standalone_mode=False, color=colour))
