"""`refresher run`: the daemon."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from refresher.cli.options import config_option, configure_logs, declare

if TYPE_CHECKING:
    from pathlib import Path


@declare("run", example="refresher run --config /etc/refresher/refresher.yaml")
@config_option
def command(config: Path) -> None:
    """Keep all targets fresh until SIGTERM; SIGHUP or a change of the configuration's files loads it again.

    Ends with valid tokens left in place. A drop-in that cannot be used is reported and does not hold up the others.
    """
    # asked to load again before anything is loaded: it is about to be
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    from refresher.app.programs import run_daemon
    from refresher.config.loader import load
    from refresher.observe.logs import log

    configure_logs()
    run_daemon(config, load(config), log)
