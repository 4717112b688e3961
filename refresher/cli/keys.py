"""`refresher keys`: make, list and publish the signing keys of a `self_issued` supplier."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import click

from refresher.cli.options import declare, json_option

_directory_option = click.option(
    "--directory",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="The keys directory, as `suppliers.NAME.keys` names it.",
)


@click.group("keys")
def command() -> None:
    """Make, list and publish the keys that sign self-issued subject tokens."""


@declare("new", example="refresher keys new --directory /var/lib/refresher/keys")
@_directory_option
@click.option(
    "--algorithm",
    type=click.Choice(["ES256", "RS256"]),
    default="ES256",
    show_default=True,
    help="ES256 signs ten times cheaper; Google accepts both.",
)
def new(directory: Path, algorithm: str) -> None:
    """Make the first key of a directory; it is active at once. Prints its key id."""
    from refresher.keys.directory import create

    record = create(directory, algorithm=algorithm, now=datetime.now(UTC))
    click.echo(record.kid)


@declare("list", example="refresher keys list --directory /var/lib/refresher/keys --json")
@_directory_option
@json_option
def list_(directory: Path, *, as_json: bool) -> None:
    """Tell each key's id, algorithm, state and times."""
    from refresher.keys.registry import as_document, list_keys

    records = list_keys(directory)
    if as_json:
        click.echo(json.dumps(as_document(records), indent=2))
        return
    for record in records:
        click.echo(f"{record.kid}  {record.algorithm}  {record.state:8}  made {record.created_at:%FT%TZ}")


@declare("jwks", example="refresher keys jwks --directory /var/lib/refresher/keys > jwks.json")
@_directory_option
def jwks(directory: Path) -> None:
    """Print the public half of all keys but the gone, to be uploaded to the provider."""
    from refresher.keys.directory import jwks as public_half

    click.echo(json.dumps(public_half(directory), indent=2))


for _child in (new, list_, jwks):
    command.add_command(_child)
