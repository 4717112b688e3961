"""Which drop-ins become targets: existing identity, name and place that nobody else has, known owner.

Who wins when two want one directory: the main file, then whoever had it before, then the file that has been there for
longer. A process that starts does not know who had it: `refresher.app.loading` asks the directory. A drop-in that is
refused keeps the body it had, as far as that one still fits. Reading is `refresher.config.drop_ins`'.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from refresher.config.references import mistakes_of_target
from refresher.config.targets import Accounts, Directories, ResolvedTarget, directory_of, resolve
from refresher.settings.problems import Mistake, Problem, dotted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from refresher.config.models import Configuration, TargetSettings
    from refresher.config.reading import Stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class DropIn:
    """One file as it was last seen.

    Attributes:
        stamp: Its state.
        settings: What it says; None if that is wrong.
        problems: What is wrong with the file alone.
        places: Where its keys are: `file:line:column` by key, its top below the empty text.
        in_force: The body that makes the target; an older one after a bad edit, None if there is no target.
    """

    stamp: Stamp
    settings: TargetSettings | None
    problems: tuple[Problem, ...]
    places: Mapping[str, str]
    in_force: TargetSettings | None = None


def rank(name: str, drop_in: DropIn, configuration: Configuration) -> tuple[int, int]:
    """Order drop-ins: those that keep their place, then those that move, then newcomers, the oldest file first."""
    if drop_in.in_force is None:
        return 2, drop_in.stamp.changed_ns
    if drop_in.settings is None:
        return 0, 0
    root = configuration.directory_root
    return int(directory_of(name, drop_in.settings, root) != directory_of(name, drop_in.in_force, root)), 0


class Admission:
    """Lets drop-ins in one by one, as far as the main file and those before them allow.

    Attributes:
        targets: Those let in, by name.
        rivals: Those refused for their place alone, as they would have been, by name.
        lost: Names of those that may be meant well, and may be running: broken ones, or of an owner who is unknown yet.
    """

    def __init__(self, configuration: Configuration, targets: Mapping[str, ResolvedTarget]) -> None:
        self.targets: dict[str, ResolvedTarget] = {}
        self.rivals: dict[str, ResolvedTarget] = {}
        self.lost: set[str] = set()
        self._configuration = configuration
        self._main = targets
        self._accounts = Accounts()
        self._directories = Directories(configuration.directory_root)
        for name, target in targets.items():
            self._directories.reserve(name, str(target.directory))

    def admit(self, name: str, drop_in: DropIn, problems: list[Problem]) -> DropIn:
        """Make the target of a drop-in, of its old body if the new one is wrong; give what is now in force."""
        if drop_in.settings is not None:
            mistakes = list(self._try(name, drop_in.settings, drop_in))
            if not mistakes:
                return replace(drop_in, in_force=drop_in.settings)
            problems += [placed(mistake, drop_in) for mistake in mistakes]
        old = drop_in.in_force
        if old is not None and old != drop_in.settings and not list(self._try(name, old, drop_in)):
            self.lost.discard(name)
            return drop_in
        if drop_in.settings is None:
            self.lost.add(name)
        return replace(drop_in, in_force=None)

    def _try(self, name: str, settings: TargetSettings, drop_in: DropIn) -> Iterator[Mistake]:
        if name in self._main:
            clause = f"has the name of one at {self._main[name].location}"
            yield Mistake(path=(), clause=clause, remedy="delete one of the two")
            return
        mistakes = list(mistakes_of_target(name, settings, self._configuration.identities, ()))
        ids = self._accounts.ids_of(settings.owner, ())
        if isinstance(ids, Mistake):
            self.lost.add(name)
            mistakes.append(ids)
        elif not mistakes:
            root, location = self._configuration.directory_root, drop_in.places[""]
            target = resolve(name, settings, root=root, ids=ids, location=location)
            clash = self._directories.claim(name, settings, ())
            if clash is None:
                self.targets[name] = target
            else:
                self.rivals[name] = target
                mistakes.append(clash)
        yield from mistakes


def placed(mistake: Mistake, drop_in: DropIn) -> Problem:
    """Say where in a drop-in a mistake is."""
    key = str(mistake.path[0]) if mistake.path else ""
    location = drop_in.places.get(key, drop_in.places[""])
    return Problem(location=location, problem=f"{dotted(mistake.path)} {mistake.clause}", remedy=mistake.remedy)
