"""`refresher token`: print one token of a target, for a script."""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from refresher.app.issuance import Issuance
from refresher.cli.command import (
    PATH,
    Duration,
    config_option,
    declare,
    end_on_sigterm,
    json_option,
    load_configuration,
    print_note,
    select_targets,
)
from refresher.errors import UsageError
from refresher.tokens import AccessToken, SubjectToken

_KINDS = {
    "--audience": ("subject", "id"),
    "--lifetime": ("subject", "access", "jwt"),
    "--scope": ("access",),
    "--claims": ("jwt",),
    "--include-email": ("id",),
}
"""The kinds of tokens on which each option has an effect."""

_LARGEST = 1024 * 1024


@declare("token", example="refresher token --config refresher.yaml alice --lifetime 15m")
@config_option
@json_option
@click.option(
    "--kind",
    type=click.Choice(["subject", "access", "id", "jwt"]),
    default="access",
    show_default=True,
    help="subject: the subject token; access, id: an access or ID token of the service account; jwt: signed --claims.",
)
@click.option("--audience", metavar="TEXT", help="The claim `aud` of an ID token (required) or of a subject token.")
@click.option("--lifetime", type=Duration(), help="The lifetime of a subject token, an access token or a JWT.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    metavar="URL",
    help="A scope of an access token. Default: the identity's scopes.",
)
@click.option("--include-email", is_flag=True, help="Add the service account's e-mail to an ID token.")
@click.option(
    "--claims", type=PATH, metavar="FILE", help="A file with the JSON object for --kind jwt; - for standard input."
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
    as_json: bool,
) -> None:
    """Print one token of TARGET, issued now. Its credentials directory is neither read nor written.

    With --json the expiry is printed too: {"kind": …, "token": …, "expires_at": …}. To sign a JWT, the service account
    needs roles/iam.serviceAccountTokenCreator on itself.
    """
    end_on_sigterm()
    given = (audience, lifetime, scopes or None, claims, include_email or None)
    _require_fitting(kind, dict(zip(_KINDS, given, strict=True)))
    loaded = load_configuration(config)
    select_targets(loaded.targets, [target])
    issuance = Issuance(loaded, target, lifetime=lifetime, now=datetime.now(UTC))
    token: SubjectToken | AccessToken
    match kind:
        case "subject":
            token = issuance.subject_token(audience)
        case "access":
            token = issuance.access_token(scopes)
        case "id":
            token = issuance.id_token(audience or "", include_email=include_email)
        case _:
            token = issuance.signed_jwt(_read_claims(claims or Path("-")))
    if sys.stdout.isatty():
        print_note("warning: this is a secret, and it is on your screen now")
    document = {"kind": kind, "token": token.value, "expires_at": f"{token.expires_at:%FT%TZ}"}
    click.echo(json.dumps(document) if as_json else token.value)


def _require_fitting(kind: str, given: dict[str, object | None]) -> None:
    """Check that no option is missing, and none is given that a kind of token would ignore."""
    if kind == "id" and given["--audience"] is None:
        raise UsageError("an ID token needs an audience", "add --audience URL")
    if kind == "jwt" and given["--claims"] is None:
        raise UsageError("--kind jwt needs claims", "add --claims FILE")
    for option, value in given.items():
        if value == "":
            raise UsageError(f"{option} is empty", "set it to the recipient of the token, or leave it out")
        if value is not None and kind not in _KINDS[option]:
            raise UsageError(f"{option} has no effect on --kind {kind}", "leave it out, or use another --kind")


def _read_claims(path: Path) -> dict[str, Any]:
    try:
        with open(0 if str(path) == "-" else path, encoding="utf-8") as file:  # noqa: PTH123 - or standard input
            claims = json.loads(file.read(_LARGEST))
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}", "use a readable file of JSON") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON", "write an object of claims") from error
    if not isinstance(claims, dict):
        raise UsageError(f"{path} is not a JSON object", "write an object of claims")
    return claims
