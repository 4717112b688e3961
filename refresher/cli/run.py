"""`refresher run`: the daemon."""

import signal
from pathlib import Path

from refresher.cli.command import collect_garbage, config_option, configure_logs, declare


@declare("run", example="refresher run --config /etc/refresher/refresher.yaml")
@config_option
def command(config: Path) -> None:
    """Keep all targets fresh until SIGTERM. SIGHUP, or a change of a configuration file, loads the configuration again.

    The files stay when it ends; their tokens are valid until they expire. A drop-in that can't be used is reported, and
    does not delay the other targets.
    """
    # a request to load again is ignored until the configuration is loaded for the first time
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    from refresher.app.programs import run_daemon
    from refresher.config.loader import load
    from refresher.observe.logs import log

    configure_logs()
    collect_garbage()
    run_daemon(config, load(config), log)
