"""`refresher env`: print the variables that make clients find a target's credentials directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from refresher.cli.options import config_option, declare
from refresher.environment import Format, render

if TYPE_CHECKING:
    from pathlib import Path


@declare("env", example='eval "$(refresher env --config refresher.yaml alice --format shell)"')
@config_option
@click.option(
    "--format",
    "form",
    envvar="REFRESHER_ENV_FORMAT",
    type=click.Choice([form.value for form in Format]),
    default=Format.DOTENV.value,
    show_default=True,
    help="For whom the variables are written.",
)
@click.argument("target")
def command(config: Path, target: str, form: str) -> None:
    """Print the variables of TARGET."""
    from refresher.app.targets import build_variables
    from refresher.cli.loading import chosen, load_leniently

    loaded = load_leniently(config)
    (found,) = chosen(loaded.targets, [target]).values()
    click.echo(render(build_variables(loaded, found), Format(form)), nl=False)
