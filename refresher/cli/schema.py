"""`refresher schema`: print the JSON Schema of the configuration."""

from __future__ import annotations

import click

from refresher.cli.command import declare


@declare("schema", example="refresher schema > refresher.schema.json")
def command() -> None:
    """Print the JSON Schema of the configuration file, for editors and other checkers."""
    from refresher.config.models import build_schema

    click.echo(build_schema(), nl=False)
