"""`refresher once`: refresh what is due, and exit."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import click

from refresher.cli.options import config_option, declare
from refresher.errors import ExitStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from refresher.engine.outcome import Outcome
    from refresher.errors import RefresherError


@declare("once", example="refresher once --config refresher.yaml --force alice")
@config_option
@click.option("--force", is_flag=True, help="Replace fresh tokens too.")
@click.argument("targets", nargs=-1)
def command(config: Path, targets: Sequence[str], *, force: bool) -> int:
    """Refresh what is due of all targets, or of the TARGETS named, and exit.

    A target or artifact that fails, or a drop-in that cannot be used, does not hold up the others; the exit status
    tells of it.
    """
    from refresher.app.programs import refresh_once
    from refresher.cli.failures import complain, end_on_sigterm
    from refresher.cli.loading import chosen, load_leniently, say_warnings

    end_on_sigterm()
    loaded = load_leniently(config)
    say_warnings(loaded)
    done = refresh_once(loaded, chosen(loaded.targets, targets), force=force)
    failures = {"/".join(filter(None, key)): each.error for key, each in sorted(done.items()) if each.error is not None}
    for error, names in _grouped(failures):
        complain(error, concerning=names)
    click.echo(_summary(outcome for (_, artifact), outcome in done.items() if not artifact), err=True)
    if failures:
        return next(iter(failures.values())).exit_status
    return ExitStatus.CONFIGURATION if loaded.drop_in_problems else ExitStatus.DONE


def _grouped(failures: Mapping[str, RefresherError]) -> Iterable[tuple[RefresherError, list[str]]]:
    """Say once what befell many: a key that is missing fails every target of its supplier."""
    groups: dict[str, tuple[RefresherError, list[str]]] = {}
    for name, error in failures.items():
        groups.setdefault(str(error), (error, []))[1].append(name)
    return groups.values()


def _summary(outcomes: Iterable[Outcome]) -> str:
    counts = Counter(outcome.result.value for outcome in outcomes)
    return ", ".join(f"{count} {result}" for result, count in sorted(counts.items())) or "no targets"
