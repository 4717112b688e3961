"""`refresher schema`: print the JSON Schema of the configuration."""

import click

from refresher.cli.command import declare
from refresher.config.models import build_schema


@declare("schema", example="refresher schema > refresher.schema.json")
def command() -> None:
    """Print the JSON Schema of the configuration file, for editors and other checkers."""
    click.echo(build_schema(), nl=False)
