"""`refresher emulator`: run a local Google until a signal stops it, or print how tools reach a running one."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from refresher.cli.options import declare


@declare("emulator", example="refresher emulator --directory /tmp/google --http-port 8080 --seed seed.yaml")
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    required=True,
    show_envvar=True,
    metavar="DIR",
    help="The directory of its state and its certificate authority.",
)
@click.option("--http-port", type=click.IntRange(0, 65535), default=0, show_envvar=True, help="0: any free port.")
@click.option("--https-port", type=click.IntRange(0, 65535), default=0, show_envvar=True, help="0: any free port.")
@click.option("--host", default="127.0.0.1", show_default=True, show_envvar=True, help="A loopback address.")
@click.option(
    "--expose", is_flag=True, show_envvar=True, help="Allow another host: any client that reaches it may act as anyone."
)
@click.option(
    "--seed",
    type=click.Path(path_type=Path),
    show_envvar=True,
    metavar="FILE",
    help="The initial resources (YAML); those that exist stay.",
)
@click.option(
    "--strict/--lenient",
    default=True,
    show_default=True,
    show_envvar=True,
    help="Whether to refuse what Google may or may not: whitespace around a token, tokens issued a day ago.",
)
@click.option(
    "--journal",
    type=click.Path(path_type=Path),
    show_envvar=True,
    metavar="FILE",
    help="A file to which each request is added as a line of JSON, without secrets.",
)
@click.option(
    "--print",
    "tool",
    type=click.Choice(["terraform", "gcloud"]),
    envvar="REFRESHER_EMULATOR_PRINT",
    help="Run nothing; print the variables with which this tool uses the emulator that runs on DIR, for `eval`.",
)
def command(
    directory: Path,
    *,
    http_port: int,
    https_port: int,
    host: str,
    expose: bool,
    seed: Path | None,
    strict: bool,
    journal: Path | None,
    tool: str | None,
) -> None:
    """Run a local Google that refuses what Google refuses. It is not Google, and it is not secure.

    Prints one JSON line when it is ready: its origins and the certificate authority of the secure one.
    """
    from refresher.cli.extras import need_emulator

    need_emulator()
    if tool is not None:
        from refresher.emulator.tool_environment import write_environment

        click.echo(write_environment(tool, directory), nl=False)
        return
    from refresher.emulator.program import serve

    serve(
        directory,
        http_port=http_port,
        https_port=https_port,
        host=host,
        seed=seed,
        output=sys.stdout,
        exposed=expose,
        lenient=not strict,
        journal=journal,
    )
