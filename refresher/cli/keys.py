"""`refresher keys`: create, list, publish and rotate the signing keys of a `self_issued` supplier."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from refresher.cli.command import PATH, Duration, config_option, declare, json_option, load_configuration, print_note
from refresher.keys import directory as keys
from refresher.keys.registry import compose_document, list_keys

_ALGORITHM = click.Choice(["ES256", "RS256"])
_KEY_ID = re.compile("-[A-Za-z0-9_-]{42}")
"""An RFC 7638 thumbprint that looks like options, as one in 64 does."""

_directory_option = click.option(
    "--directory", type=PATH, required=True, metavar="DIR", help="The keys directory: the value of suppliers.NAME.keys."
)


@click.group("keys")
def command() -> None:
    """Create, list, publish and rotate the keys that sign self-issued subject tokens."""


@declare("new", example="refresher keys new --directory /var/lib/refresher/keys")
@_directory_option
@click.option(
    "--algorithm",
    type=_ALGORITHM,
    default="ES256",
    show_default=True,
    help="The algorithm of the key; ES256 signs ten times faster.",
)
def new(directory: Path, algorithm: str) -> None:
    """Create the first key of a directory, and print its id.

    The key is active at once: new tokens are signed with it.
    """
    click.echo(keys.create(directory, algorithm=algorithm, now=datetime.now(UTC)).kid)


@declare("list", example="refresher keys list --directory /var/lib/refresher/keys --json")
@_directory_option
@json_option
def list_(directory: Path, *, as_json: bool) -> None:
    """Show the id, algorithm, state and times of each key."""
    records = list_keys(directory)
    if as_json:
        _print(compose_document(records))
        return
    for record in records:
        since = record.gone_at or record.retiring_at or record.activated_at or record.created_at
        until = f", kept until {record.keep_until:%FT%TZ}" if record.keep_until and not record.gone_at else ""
        click.echo(f"{record.kid}  {record.algorithm}  {record.state:8}  since {since:%FT%TZ}{until}")


@declare("jwks", example="refresher keys jwks --directory /var/lib/refresher/keys > jwks.json")
@click.option("--directory", type=PATH, metavar="DIR", help="The keys directory. With it no configuration is read.")
@config_option
@click.option("--supplier", metavar="NAME", help="The supplier whose keys to print, instead of a directory.")
@click.option(
    "--version",
    "versions",
    type=click.IntRange(min=1),
    multiple=True,
    metavar="N",
    help="A version of the supplier's key in Cloud KMS; may be repeated. Default: the version that signs.",
)
def jwks(directory: Path | None, config: Path, supplier: str | None, versions: tuple[int, ...]) -> None:
    """Print the public keys (JWKS), to upload them to the provider.

    They are the public halves of the next, active and retiring keys.

    With --supplier, print the keys that this supplier signs with, also if Cloud KMS holds them.
    """
    if (directory is None) is (supplier is None):
        raise click.UsageError("Use either --directory or --supplier.")
    if directory is not None:
        _print(keys.read_jwks(directory))
    elif supplier is not None:
        from refresher.app.keys import compose_jwks

        loaded = load_configuration(config, strict=True)
        _print(compose_jwks(loaded, supplier, versions, datetime.now(UTC)))


@declare("rotate", example="refresher keys rotate --directory /var/lib/refresher/keys > jwks.json")
@_directory_option
@click.option("--algorithm", type=_ALGORITHM, help="The algorithm of the next key. Default: that of the active key.")
def rotate(directory: Path, algorithm: str | None) -> None:
    """Add the next key, and print the JWKS to upload.

    The JWKS contains the old key and the new one.

    The new key is not used until STS accepts it, or until you run `keys activate`.
    """
    record = keys.rotate(directory, algorithm=algorithm, now=datetime.now(UTC))
    print_note(f"{record.kid} is next: upload this JWKS; the daemon activates the key once STS accepts it")
    _print(keys.read_jwks(directory))


@declare("activate", example="refresher keys activate --directory /var/lib/refresher/keys", never_options=_KEY_ID)
@_directory_option
@click.option(
    "--lifetime",
    type=Duration(),
    default="24h",
    show_default=True,
    help="The longest lifetime of a token that the old key signed.",
)
@click.argument("kid", required=False)
def activate(directory: Path, kid: str | None, lifetime: timedelta) -> None:
    """Sign with the next key from now on.

    STS is not asked whether it accepts the key. The key that was active starts to retire.
    """
    click.echo(keys.activate(directory, kid, lifetime=lifetime, now=datetime.now(UTC)).kid)


@declare("retire", example="refresher keys retire --directory /var/lib/refresher/keys > jwks.json")
@_directory_option
def retire(directory: Path) -> None:
    """Remove retiring keys whose last token has expired.

    Then print the JWKS to upload, without these keys.
    """
    for record in keys.retire(directory, now=datetime.now(UTC)):
        print_note(f"{record.kid} is gone: upload this JWKS")
    _print(keys.read_jwks(directory))


@declare(
    "revoke", example="refresher keys revoke --directory /var/lib/refresher/keys KID > jwks.json", never_options=_KEY_ID
)
@_directory_option
@click.argument("kid")
def revoke(directory: Path, kid: str) -> None:
    """Remove a key that leaked, at once.

    Then print the JWKS to upload, without this key.

    Google trusts the key until the upload. If it was the active key, the next key signs from now on, or a new one.
    """
    record = keys.revoke(directory, kid, now=datetime.now(UTC))
    print_note(f"{kid} is gone: upload this JWKS now; {record.kid} signs")
    _print(keys.read_jwks(directory))


def _print(document: dict[str, Any]) -> None:
    click.echo(json.dumps(document, indent=2))


for _child in (new, list_, jwks, rotate, activate, retire, revoke):
    command.add_command(_child)
