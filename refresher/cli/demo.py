"""`refresher demo`: the main job on the emulator."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

import click

from refresher.cli.options import declare


@declare("demo", example="refresher demo --keep --directory /tmp/refresher-demo")
@click.option("--keep", is_flag=True, help="Go on until interrupted; print lines to paste.")
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where to leave everything. Default: a temporary directory, removed at the end.",
)
def command(directory: Path | None, *, keep: bool) -> None:
    """Watch two users' credentials stay fresh and apart, on a local Google; ends by itself within 30 seconds."""
    from refresher.cli.extras import need_emulator

    need_emulator()
    from refresher.demo.steps import run_demo

    stopping = None
    if keep:
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
    run_demo(sys.stdout, directory=directory.absolute() if directory else None, keep=stopping)
