"""`refresher discovery`: print the discovery document that a `sign_jwt` supplier's issuer must serve."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from refresher.cli.options import config_option, declare

if TYPE_CHECKING:
    from pathlib import Path


@declare("discovery", example="refresher discovery --config refresher.yaml fleet > openid-configuration")
@config_option
@click.argument("supplier")
def command(config: Path, supplier: str) -> None:
    """Print what is to be served at ISSUER/.well-known/openid-configuration for SUPPLIER.

    It names the signing account's keys as Google publishes them, so that it never changes.
    """
    from refresher.app.keys import compose_discovery_document
    from refresher.cli.loading import load_leniently

    click.echo(json.dumps(compose_discovery_document(load_leniently(config), supplier), indent=2))
