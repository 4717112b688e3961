"""`refresher discovery`: print the discovery document that a `sign_jwt` supplier's issuer must serve."""

import json
from pathlib import Path

import click

from refresher.app.keys import compose_discovery_document
from refresher.cli.command import config_option, declare, load_configuration


@declare("discovery", example="refresher discovery --config refresher.yaml fleet > openid-configuration")
@config_option
@click.argument("supplier")
def command(config: Path, supplier: str) -> None:
    """Print the document to serve at ISSUER/.well-known/openid-configuration, for SUPPLIER.

    It never changes: it refers to the signing account's keys where Google publishes them.
    """
    click.echo(json.dumps(compose_discovery_document(load_configuration(config), supplier), indent=2))
