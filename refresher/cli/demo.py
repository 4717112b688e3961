"""`refresher demo`: the main job on the emulator."""

import signal
import sys
import threading
from pathlib import Path

import click

from refresher.cli.command import PATH, collect_garbage, declare
from refresher.cli.emulator import require_emulator


@declare("demo", example="refresher demo --keep --directory /tmp/refresher-demo")
@click.option("--keep", is_flag=True, help="Keep running until interrupted, and print lines to paste.")
@click.option(
    "--directory",
    type=PATH,
    metavar="DIR",
    help="The directory for all files, which stay. Default: a temporary directory, removed at the end.",
)
def command(directory: Path | None, *, keep: bool) -> None:
    """Show on a local Google how two users get credentials of their own, which stay fresh; ends within 30 seconds."""
    require_emulator()
    from refresher.demo import run_demo

    collect_garbage()
    stopping = None
    if keep:
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
    run_demo(sys.stdout, directory=directory.absolute() if directory else None, keep=stopping)
