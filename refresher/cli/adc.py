"""`refresher adc`: print the ADC document of a target, as its `credentials.json` holds it."""

from pathlib import Path

import click

from refresher import adc
from refresher.app.targets import build_document, build_endpoints
from refresher.cli.command import config_option, declare, load_configuration, select_targets


@declare("adc", example="refresher adc --config refresher.yaml alice > credentials.json")
@config_option
@click.argument("target")
def command(config: Path, target: str) -> None:
    """Print the ADC document of TARGET."""
    loaded = load_configuration(config)
    (found,) = select_targets(loaded.targets, [target]).values()
    click.echo(adc.render(build_document(loaded, found, build_endpoints(loaded))).decode())
