"""`refresher inspect`: explain a token, an ADC document, a JWKS or a whole credentials directory."""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from refresher.cli.command import PATH, declare, load_configuration
from refresher.errors import ExitStatus, UsageError
from refresher.inspection import Findings
from refresher.text import escape

_LONGEST_LABEL = 64
_LONGEST_VALUE = 4096


@declare("inspect", example="refresher inspect /run/refresher/alice/token --config refresher.yaml")
@click.option(
    "--config", type=PATH, envvar="REFRESHER_CONFIG", metavar="FILE", help="A configuration to compare a token with."
)
@click.option("--keys", type=PATH, metavar="FILE", help="A file with the public keys (JWKS) to verify a token with.")
@click.option(
    "--discover",
    is_flag=True,
    help="Get the keys from the token's issuer; for an access token, ask Google what it is.",
)
@click.argument("file", type=PATH)
def command(config: Path | None, keys: Path | None, file: Path, *, discover: bool) -> int:
    """Explain FILE: its kind, its claims, its times, and why Google would refuse it.

    FILE may also be a credentials directory, whose files are all explained, or - for standard input. A signature is
    verified if keys are available, and is never printed. No server is called without --discover. With it, the host to
    call comes from the token, so use it only with tokens that you trust. Exit status 5: Google or a client would refuse
    FILE; each such problem is marked with !.
    """
    from refresher.app.inspection import Inspector
    from refresher.publishing.contents import LARGEST

    loaded = None if config is None else load_configuration(config)
    given = None if keys is None else _read_keys(keys)
    inspector = Inspector(datetime.now(UTC), keys=given, loaded=loaded, discover=discover)
    if str(file) == "-":
        content = sys.stdin.buffer.read(LARGEST + 1).decode(errors="replace")
        parts = [("", inspector.inspect_text(content[:LARGEST], is_file=False))]
    else:
        parts = list(inspector.inspect_path(file))
    for name, found in parts:
        _print(name, found)
    return ExitStatus.EXCHANGE if any(found.problems for _, found in parts) else ExitStatus.DONE


def _print(name: str, found: Findings) -> None:
    """Print what was found; nearly everything is text of the file's writer."""
    click.echo(escape(f"{name}: {found.kind}" if name else found.kind))
    facts = [
        (escape(label, longest=_LONGEST_LABEL), escape(value, longest=_LONGEST_VALUE)) for label, value in found.facts
    ]
    width = max((len(label) for label, _ in facts), default=0)
    for label, value in facts:
        click.echo(f"  {label:{width}}  {value}")
    for mark, colour, texts in (("!", "red", found.problems), ("?", "yellow", found.warnings)):
        for text in texts:
            click.echo(click.style(f"  {mark} {escape(text, longest=_LONGEST_VALUE)}", fg=colour))


def _read_keys(path: Path) -> Sequence[dict[str, Any]]:
    from refresher.app.inspection import read_input

    try:
        keys = json.loads(read_input(path))["keys"]
    except (ValueError, TypeError, KeyError, RecursionError):
        keys = None
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        raise UsageError(f"{path} is not a JWKS", 'use {"keys": […]}, as refresher keys jwks prints it')
    return keys
