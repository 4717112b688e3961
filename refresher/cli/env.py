"""`refresher env`: print the variables that make clients find a target's credentials directory."""

from pathlib import Path

import click

from refresher.app.targets import build_variables
from refresher.cli.command import config_option, declare, load_configuration, select_targets
from refresher.environment import FORMATS, render


@declare("env", example='eval "$(refresher env --config refresher.yaml alice --format shell)"')
@config_option
@click.option(
    "--format",
    "form",
    envvar="REFRESHER_ENV_FORMAT",
    type=click.Choice(FORMATS),
    default="dotenv",
    show_default=True,
    help="The program for which the variables are printed.",
)
@click.argument("target")
def command(config: Path, target: str, form: str) -> None:
    """Print the environment variables of TARGET."""
    loaded = load_configuration(config)
    (found,) = select_targets(loaded.targets, [target]).values()
    click.echo(render(build_variables(loaded, found), form), nl=False)
