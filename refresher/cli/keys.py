"""`refresher keys`: make, list, publish and rotate the signing keys of a `self_issued` supplier."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from refresher.cli.options import Duration, config_option, declare, json_option

if TYPE_CHECKING:
    from datetime import timedelta

_KEY_ID = re.compile("-[A-Za-z0-9_-]{42}")
"""An RFC 7638 thumbprint that looks like options, as one in 64 does."""

_directory_option = click.option(
    "--directory",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="The keys directory, as `suppliers.NAME.keys` names it.",
)


@click.group("keys")
def command() -> None:
    """Make, list, publish and rotate the keys that sign self-issued subject tokens."""


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
    from refresher.keys.registry import compose_document, list_keys

    records = list_keys(directory)
    if as_json:
        click.echo(json.dumps(compose_document(records), indent=2))
        return
    for record in records:
        since = record.gone_at or record.retiring_at or record.activated_at or record.created_at
        until = f", kept until {record.keep_until:%FT%TZ}" if record.keep_until and not record.gone_at else ""
        click.echo(f"{record.kid}  {record.algorithm}  {record.state:8}  since {since:%FT%TZ}{until}")


@declare("jwks", example="refresher keys jwks --directory /var/lib/refresher/keys > jwks.json")
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The keys directory, as `suppliers.NAME.keys` names it; then no configuration is read.",
)
@config_option
@click.option("--supplier", metavar="NAME", help="Instead of a directory: the supplier whose keys are meant.")
@click.option(
    "--version",
    "versions",
    type=click.IntRange(min=1),
    multiple=True,
    metavar="N",
    help="Version of the supplier's key in Cloud KMS; may be repeated. Default: the one that signs.",
)
def jwks(directory: Path | None, config: Path, supplier: str | None, versions: tuple[int, ...]) -> None:
    """Print the public half of all keys but the gone, to be uploaded to the provider.

    Of a key in Cloud KMS, print what the supplier of that name signs with.
    """
    if directory is not None and supplier is None:
        _print_jwks(directory)
    elif supplier is not None and directory is None:
        from refresher.app.keys import compose_jwks
        from refresher.cli.loading import load_strictly

        click.echo(json.dumps(compose_jwks(load_strictly(config), supplier, versions, datetime.now(UTC)), indent=2))
    else:
        raise click.UsageError("Give one of --directory and --supplier.")


@declare("rotate", example="refresher keys rotate --directory /var/lib/refresher/keys > jwks.json")
@_directory_option
@click.option("--algorithm", type=click.Choice(["ES256", "RS256"]), help="Default: that of the active key.")
def rotate(directory: Path, algorithm: str | None) -> None:
    """Add the next key and print the JWKS to upload, which holds the old one too.

    The next key signs nothing before the daemon has seen STS accept it, or `keys activate` says so.
    """
    from refresher.keys.directory import rotate as add_next

    record = add_next(directory, algorithm=algorithm, now=datetime.now(UTC))
    click.echo(f"{record.kid} is next: upload this JWKS; the daemon activates the key once STS accepts it", err=True)
    _print_jwks(directory)


@declare(
    "activate",
    example="refresher keys activate --directory /var/lib/refresher/keys",
    never_options=_KEY_ID,
)
@_directory_option
@click.option(
    "--lifetime",
    type=Duration(),
    default="24h",
    show_default=True,
    help="The longest life of a token signed so far; the old key stays published for that long.",
)
@click.argument("kid", required=False)
def activate(directory: Path, kid: str | None, lifetime: timedelta) -> None:
    """Let the next key sign from now on, whether or not STS accepts it; the active one retires."""
    from refresher.keys.directory import activate as let_sign

    record = let_sign(directory, kid, lifetime=lifetime, now=datetime.now(UTC))
    click.echo(record.kid)


@declare("retire", example="refresher keys retire --directory /var/lib/refresher/keys > jwks.json")
@_directory_option
def retire(directory: Path) -> None:
    """Remove the retiring keys whose last token is over, and print the JWKS to upload, without them."""
    from refresher.keys.directory import retire as let_go

    for record in let_go(directory, now=datetime.now(UTC)):
        click.echo(f"{record.kid} is gone: upload this JWKS", err=True)
    _print_jwks(directory)


@declare(
    "revoke",
    example="refresher keys revoke --directory /var/lib/refresher/keys KID > jwks.json",
    never_options=_KEY_ID,
)
@_directory_option
@click.argument("kid")
def revoke(directory: Path, kid: str) -> None:
    """Remove a key that leaked, at once, and print the JWKS to upload, without it.

    Google trusts the key until the upload. If it was the active one, the next key signs from now on, or a new one.
    """
    from refresher.keys.directory import revoke as withdraw

    record = withdraw(directory, kid, now=datetime.now(UTC))
    click.echo(f"{kid} is gone: upload this JWKS now; {record.kid} signs", err=True)
    _print_jwks(directory)


def _print_jwks(directory: Path) -> None:
    from refresher.keys.directory import read_jwks

    click.echo(json.dumps(read_jwks(directory), indent=2))


for _child in (new, list_, jwks, rotate, activate, retire, revoke):
    command.add_command(_child)
