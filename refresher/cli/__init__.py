"""The command line: one file per command, each a short function; what they do is callable without a terminal.

`main` is the entry point. The exec probe, `wait --directory`, is answered before the command-line library is even
imported: it runs every few seconds in every container, and imports cost more time than its work.
"""

import gc
import os
import sys


def main() -> None:
    """Run the command named on the command line and exit with its status."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["wait"]:
        from refresher.cli import probe

        request = probe.parse(arguments[1:])
        if request is not None:
            sys.exit(probe.run(request))
    # the imports' objects stay: to search them for garbage, now and once more at the end, takes a third of a short
    # command's time; the commands that run for long enable the search again
    gc.disable()
    # pydantic searches every installed distribution for plugins; we need none, and the search takes 10 ms
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from refresher.cli.root import run

    status = run(arguments)
    gc.freeze()
    sys.exit(status)
