"""`refresher adc`: print the ADC document of a target, as its `credentials.json` holds it."""

from pathlib import Path

import click

from refresher.app.targets import build_targets
from refresher.cli.command import config_option, declare, load_configuration, select_targets
from refresher.errors import UsageError
from refresher.publishing.artifacts import CREDENTIALS


@declare("adc", example="refresher adc --config refresher.yaml alice > credentials.json")
@config_option
@click.argument("target")
def command(config: Path, target: str) -> None:
    """Print the ADC document of TARGET."""
    (found,) = select_targets(build_targets(load_configuration(config)), [target]).values()
    if CREDENTIALS not in found.static:
        raise UsageError(
            f"target {target} has no ADC document: its identity has via: impersonation, without a pool",
            f"read its access_token, or set metadata: for it; `refresher env {target}` prints the variables",
        )
    click.echo(found.static[CREDENTIALS].decode())
