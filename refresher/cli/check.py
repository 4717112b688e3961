"""`refresher check`: load and explain the configuration; touch nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from refresher.cli.options import config_option, declare, json_option

if TYPE_CHECKING:
    from pathlib import Path


@declare("check", example="refresher check --config refresher.yaml")
@config_option
@json_option
def command(config: Path, *, as_json: bool) -> None:
    """Load the configuration, say everything that is wrong with it at once, and explain what it means.

    Warnings go to standard error and do not change the exit status.
    """
    from refresher.app.explanation import check_files, explain
    from refresher.cli.loading import load_strictly, say_warnings

    loaded = load_strictly(config)
    say_warnings(loaded)
    for error in check_files(loaded):
        click.echo(f"warning: {error}", err=True)
    explained = explain(loaded)
    if as_json:
        click.echo(json.dumps({"targets": explained}, indent=2))
        return
    for target in explained:
        click.echo(_sentence(target))
    click.echo(f"{config}: fine, {len(explained)} target{'' if len(explained) == 1 else 's'}")


def _sentence(target: dict[str, Any]) -> str:
    who = target["service_account"] or "itself (direct access)"
    subject = f"subject {target['subject']}" if target["subject"] else "a subject of the supplier's choice"
    lines = [
        f"{target['name']}: acts as {who}, proved by {subject}, supplied by {target['supplier']} ({target['kind']})",
        f"  in {target['directory']}, seen as {target['container_directory']}",
        f"  files of {target['owner'] or 'the daemon'} with mode {target['mode']}",
    ]
    if target["via"] == "impersonation":
        lines.append("  further artifacts minted with the worker's own credentials")
    if target["lifetime"]:
        lines.append(f"  tokens live {target['lifetime']}; the issuer may be down {target['least_runway']} unnoticed")
    return "\n".join(lines)
