"""`refresher run`: the daemon."""

import os
import signal
import time
from datetime import timedelta
from pathlib import Path

import click

from refresher.cli.command import PATH, Duration, collect_garbage, config_option, configure_logs, declare
from refresher.metadata.wanted import HELPER_SOCKET


@declare("run", example="refresher run --config /etc/refresher/refresher.yaml")
@config_option
@click.option(
    "--drain",
    type=Duration(),
    default="0s",
    show_default=True,
    help="How long to keep targets fresh after the first SIGTERM; a second one ends it at once.",
)
@click.option(
    "--netns-helper",
    type=PATH,
    default=HELPER_SOCKET,
    show_default=True,
    metavar="SOCKET",
    help="Where refresher-netns answers, which opens metadata endpoints in containers.",
)
def command(config: Path, drain: timedelta, netns_helper: Path) -> None:
    """Keep all targets fresh until SIGTERM. SIGHUP, or a change of a configuration file, loads the configuration again.

    The files stay when it ends; their tokens are valid until they expire. A drop-in that can't be used is reported, and
    does not delay the other targets.
    """
    # a request to load again is ignored until the configuration is loaded for the first time
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    from refresher.app.daemon import run_daemon
    from refresher.config.loader import load
    from refresher.observe.logs import log
    from refresher.observe.supervisor import Supervisor

    configure_logs()
    collect_garbage()
    supervisor = Supervisor(os.environ, monotonic=time.monotonic)
    run_daemon(config, load(config), log, supervisor, drain=drain, helper=netns_helper)
