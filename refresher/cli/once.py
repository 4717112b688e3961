"""`refresher once`: refresh what is due, and exit."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from refresher.app.programs import forbid_core_dumps, refresh_once
from refresher.cli.command import (
    config_option,
    declare,
    end_on_sigterm,
    load_configuration,
    print_errors,
    print_note,
    print_warnings,
    select_targets,
)
from refresher.engine.agenda import Key
from refresher.engine.outcome import Outcome
from refresher.errors import ExitStatus


@declare("once", example="refresher once --config refresher.yaml --force alice")
@config_option
@click.option("--force", is_flag=True, help="Replace fresh tokens and optional artifacts too.")
@click.argument("targets", nargs=-1)
def command(config: Path, targets: Sequence[str], *, force: bool) -> int:
    """Refresh what is due, for all targets or for the given TARGETS, and exit.

    If a daemon runs with this configuration and this user may ask it (root, and the daemon's user), the daemon does it.

    If a target, an optional artifact or a drop-in fails, the others are refreshed all the same. The exit status is then
    that of the first failure.
    """
    end_on_sigterm()
    forbid_core_dumps()
    loaded = load_configuration(config)
    print_warnings(loaded.warnings)
    done = refresh_once(loaded, select_targets(loaded.targets, targets), force=force)
    failures = {"/".join(filter(None, key)): each.error for key, each in sorted(done.items()) if each.error is not None}
    print_errors(failures)
    print_note(_summarise(done))
    if failures:
        return next(iter(failures.values())).exit_status
    return ExitStatus.CONFIGURATION if loaded.drop_in_problems else ExitStatus.DONE


def _summarise(done: Mapping[Key, Outcome]) -> str:
    """Return how many targets, and how many artifacts of them, ended in which way: `1 target kept, 2 artifacts …`."""
    counts = Counter(("artifact" if artifact else "target", each.result.value) for (_, artifact), each in done.items())
    ends = sorted(counts.items(), key=lambda each: (each[0][0] == "artifact", each[0][1]))
    return ", ".join(f"{count} {noun}{'s' * (count > 1)} {end}" for (noun, end), count in ends) or "no targets"
