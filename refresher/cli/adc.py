"""`refresher adc`: print the ADC document of a target, as its `credentials.json` holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from refresher import adc
from refresher.app.targets import build_document, build_endpoints
from refresher.cli.command import config_option, declare, load_configuration, select_targets

if TYPE_CHECKING:
    from pathlib import Path


@declare("adc", example="refresher adc --config refresher.yaml alice > credentials.json")
@config_option
@click.argument("target")
def command(config: Path, target: str) -> None:
    """Print the ADC document of TARGET."""
    loaded = load_configuration(config)
    (found,) = select_targets(loaded.targets, [target]).values()
    click.echo(adc.render(build_document(loaded, found, build_endpoints(loaded))).decode())
