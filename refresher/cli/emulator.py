"""`refresher emulator`: run a local Google until a signal stops it, or print how tools reach a running one."""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from refresher.cli.command import PATH, collect_garbage, declare
from refresher.errors import UsageError

_PORT = click.IntRange(0, 65535)


@declare("emulator", example="refresher emulator --directory /tmp/google --http-port 8080 --seed seed.yaml")
@click.option(
    "--directory",
    type=PATH,
    required=True,
    metavar="DIR",
    help="The directory for its state and its certificate authority.",
)
@click.option("--http-port", type=_PORT, default=0, help="The port for plain HTTP; 0 for any free port.")
@click.option("--https-port", type=_PORT, default=0, help="The port for HTTPS; 0 for any free port.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The loopback address to listen on; see --expose.")
@click.option(
    "--expose",
    "exposed",
    is_flag=True,
    help="Allow any address as --host. Anyone who reaches it can act as any account.",
)
@click.option("--seed", type=PATH, metavar="FILE", help="A YAML file with the resources that exist at the start.")
@click.option(
    "--strict/--lenient",
    default=True,
    show_default=True,
    help="Refuse (or accept) what Google may refuse: whitespace around a token, tokens issued more than a day ago.",
)
@click.option(
    "--journal",
    type=PATH,
    metavar="FILE",
    help="A file to which each request is added as a line of JSON, without secrets.",
)
@click.option(
    "--print",
    "tool",
    type=click.Choice(["terraform", "gcloud"]),
    envvar="REFRESHER_EMULATOR_PRINT",
    help="Start nothing; print the variables with which the tool uses the emulator that runs on DIR, for `eval`.",
)
def command(directory: Path, tool: str | None, *, strict: bool, **settings: Any) -> None:  # noqa: ANN401 - the arguments of `serve`
    """Run a local Google that refuses what Google refuses. It is not Google, and it is not secure.

    When it is ready, it prints one line of JSON: its two addresses, and the file of its certificate authority.
    """
    require_emulator()
    if tool is not None:
        from refresher.emulator.tool_environment import write_environment

        click.echo(write_environment(tool, directory), nl=False)
        return
    from refresher.emulator.program import serve

    collect_garbage()
    serve(directory, output=sys.stdout, lenient=not strict, **settings)


def require_emulator() -> None:
    """Check that the emulator's libraries are installed; a `UsageError` shows which are not."""
    names = ("refresher.emulator", "cel_expr_python", "google_crc32c", "httptools", "jwt", "rich", "uvicorn")
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"the emulator is not installed ({', '.join(missing)} missing)", "from a clone: pip install '.[emulator]'"
        )
