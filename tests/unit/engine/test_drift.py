from __future__ import annotations

from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING

import pytest

from refresher.engine.agenda import Agenda
from refresher.engine.drift import SWEEP_TICKS, look_for_drift
from refresher.publishing.directory import KnownState

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from refresher.engine.plan import Target
    from tests.fakes import FakeClock


@pytest.mark.parametrize(("is_watched", "most"), [(False, SWEEP_TICKS), (True, 12 * SWEEP_TICKS)])
def test_drift_is_found_within_a_round(
    target_of: Callable[..., Target], tmp_path: Path, clock: FakeClock, *, is_watched: bool, most: int
) -> None:
    """Every directory is looked at once in five ticks, and once in a minute where inotify shows its changes."""
    agenda, lock = Agenda(), Lock()
    targets = {name: target_of(name) for name in (f"t{number}" for number in range(100))}
    for name in targets:
        (tmp_path / "root" / name).mkdir(parents=True, mode=0o711)
    (tmp_path / "root").chmod(0o755)
    agenda.adopt(targets)
    for entry in agenda:
        entry.next_at = clock.now() + timedelta(minutes=30)
        entry.state = KnownState.from_state(entry.target.directory.look())
        (entry.target.directory.path / "token").write_text("another process was here")

    found = []
    for turn in range(most):
        look_for_drift(agenda, lock, turn, lambda _: is_watched)
        found.append(sum(entry.next_at is None for entry in agenda))

    assert found[-1] == len(targets)
    assert found[0] < 2 * len(targets) / most + 1
