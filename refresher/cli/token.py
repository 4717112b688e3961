"""`refresher token`: print one token of a target, for a script."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from refresher.cli.options import Duration, config_option, declare
from refresher.errors import UsageError

if TYPE_CHECKING:
    from datetime import timedelta

    from refresher.app.issuance import Issuance


@declare("token", example="refresher token --config refresher.yaml alice --lifetime 15m")
@config_option
@click.option(
    "--kind",
    type=click.Choice(["subject", "access", "id", "jwt"]),
    default="access",
    show_default=True,
    help="The subject token; an access token or ID token of the service account; claims that it signs.",
)
@click.option("--audience", metavar="TEXT", help="The `aud` of an ID token (needed), or of a subject token.")
@click.option("--lifetime", type=Duration(), help="Of a subject token, an access token or a JWT.")
@click.option("--scope", "scopes", multiple=True, metavar="URL", help="Of an access token. Default: the identity's.")
@click.option("--include-email", is_flag=True, help="Have an ID token tell the account's e-mail.")
@click.option(
    "--claims", type=click.Path(path_type=Path), metavar="FILE", help="JSON object for --kind jwt; - for stdin."
)
@click.argument("target")
def command(
    config: Path,
    target: str,
    kind: str,
    audience: str | None,
    lifetime: timedelta | None,
    scopes: tuple[str, ...],
    claims: Path | None,
    *,
    include_email: bool,
) -> None:
    """Print one token of TARGET, made on the spot: nothing is read from its directory or written there.

    A signed JWT needs roles/iam.serviceAccountTokenCreator of the account on itself.
    """
    from refresher.app.issuance import Issuance
    from refresher.cli.failures import end_on_sigterm
    from refresher.cli.loading import chosen, load_leniently

    end_on_sigterm()
    _require_fitting(kind, audience=audience, scopes=scopes, claims=claims, include_email=include_email)
    loaded = load_leniently(config)
    chosen(loaded.targets, [target])
    issuance = Issuance(loaded, target, lifetime=lifetime, now=datetime.now(UTC))
    token = _make(issuance, kind, audience, scopes, claims, include_email=include_email)
    if sys.stdout.isatty():
        click.echo("warning: this is a secret, and it is on your screen now", err=True)
    click.echo(token)


def _require_fitting(
    kind: str, *, audience: str | None, scopes: tuple[str, ...], claims: Path | None, include_email: bool
) -> None:
    """Refuse options that a kind of token has no use for, rather than ignore them.

    Raises:
        UsageError: An option does not fit, or one is missing.
    """
    if kind == "id" and audience is None:
        raise UsageError("an ID token is for an audience", "add --audience URL")
    if audience == "":
        raise UsageError("--audience is empty", "name whom the token is for, or leave it away")
    if kind == "jwt" and claims is None:
        raise UsageError("a JWT is made of claims", "add --claims FILE")
    unused = (
        ("--audience", audience is not None and kind in ("access", "jwt")),
        ("--scope", bool(scopes) and kind != "access"),
        ("--claims", claims is not None and kind != "jwt"),
        ("--include-email", include_email and kind != "id"),
    )
    for option, is_unused in unused:
        if is_unused:
            raise UsageError(f"{option} means nothing for --kind {kind}", "leave it away, or choose another --kind")


def _make(
    issuance: Issuance,
    kind: str,
    audience: str | None,
    scopes: tuple[str, ...],
    claims: Path | None,
    *,
    include_email: bool,
) -> str:
    match kind:
        case "subject":
            return issuance.subject_token(audience)
        case "access":
            return issuance.access_token(scopes)
        case "id":
            return issuance.id_token(audience or "", include_email=include_email)
        case _:
            return issuance.signed_jwt(_claims(claims or Path("-")))


def _claims(path: Path) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
        claims = json.loads(text)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "name a file of JSON") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} holds no JSON", "write an object of claims") from error
    if not isinstance(claims, dict):
        raise UsageError(f"{path} holds no JSON object", "write an object of claims")
    return claims
