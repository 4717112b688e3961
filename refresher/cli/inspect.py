"""`refresher inspect`: explain a token, an ADC document or a JWKS."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from refresher.cli.options import declare
from refresher.errors import UsageError
from refresher.text import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from refresher.inspection import Findings
    from refresher.publishing.mounts import SingleFileMountError

_LARGEST = 1024 * 1024
_LONGEST_LABEL = 64
_LONGEST_VALUE = 4096


@declare("inspect", example="refresher inspect /run/refresher/alice/token --config refresher.yaml")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Hold a token against what this configuration mints, and verify it with its keys.",
)
@click.option("--keys", type=click.Path(path_type=Path), metavar="FILE", help="JWKS to verify a token with.")
@click.option(
    "--discover",
    is_flag=True,
    help="Ask the issuer that the token names, or Google for a service account, for the keys to verify it with.",
)
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
def command(config: Path | None, keys: Path | None, file: Path, *, discover: bool) -> None:
    """Explain FILE (- for standard input): its kind, its claims, its times, and what Google would refuse it for.

    A signature is verified where keys are at hand, and never printed. Nobody is asked, unless --discover says so: then
    the token chooses which host is called.
    """
    from refresher.app.inspection import inspect
    from refresher.cli.loading import load_leniently

    loaded = None if config is None else load_leniently(config)
    given = None if keys is None else _keys_in(keys)
    found = inspect(_read(file), datetime.now(UTC), keys=given, loaded=loaded, discover=discover)
    _print(found)
    if (mounted := _find_single_file_mount(file)) is not None:
        click.echo(click.style(f"  ! {mounted}", fg="red"))


def _print(found: Findings) -> None:
    """Print what was found, of which nearly everything is the text of whoever wrote the file."""
    click.echo(escape(found.kind))
    facts = [(escape(label, longest=_LONGEST_LABEL), _told(value)) for label, value in found.facts]
    width = max((len(label) for label, _ in facts), default=0)
    for label, value in facts:
        click.echo(f"  {label:{width}}  {value}")
    for problem in found.problems:
        click.echo(click.style(f"  ! {_told(problem)}", fg="red"))


def _told(text: str) -> str:
    return escape(text, longest=_LONGEST_VALUE)


def _find_single_file_mount(path: Path) -> SingleFileMountError | None:
    from refresher.publishing.mounts import find_single_file_mount

    try:
        directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return find_single_file_mount(directory, [path.name], str(path.parent))
    finally:
        os.close(directory)


def _read(path: Path) -> str:
    try:
        content = sys.stdin.buffer.read(_LARGEST) if str(path) == "-" else path.read_bytes()[:_LARGEST]
        return content.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "name a file that you may read") from error
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not text", "name a token, an ADC document or a JWKS") from None


def _keys_in(path: Path) -> Sequence[dict[str, Any]]:
    try:
        keys = json.loads(_read(path))["keys"]
    except (ValueError, TypeError, KeyError, RecursionError):
        keys = None
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        raise UsageError(f"{path} is no JWKS", 'give {"keys": […]}, such as refresher keys jwks prints')
    return keys
