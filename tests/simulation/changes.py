"""What people and programs change while the daemon runs: targets, identities, keys, files, and how they break them."""

from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING

from refresher.app.plans import build_plan
from refresher.app.suppliers import build_suppliers, open_workshop
from refresher.config.loader import load
from refresher.engine.once import refresh_once
from refresher.errors import RefresherError
from refresher.keys import directory as keys
from refresher.publishing.daemon_lock import is_daemon_running
from tests.simulation.disk import Inode
from tests.simulation.faults import is_below, kind
from tests.simulation.kernel import KERNEL
from tests.simulation.modules import SimulatedPath
from tests.simulation.scheduler import SCHEDULER, Process
from tests.simulation.site import CONFIGURATION, DROP_INS, KEYS, ROOT, TargetModel, synchronise, write_file
from tests.simulation.troubles import ALL

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

_HIDDEN = f"{DROP_INS}.hidden"
_FOLLOWED = 30.0
"""Seconds after which a change of the configuration has been followed, where nothing is broken."""


@kind(5)
def add_target(simulation: "Simulation", random: Random) -> None:
    """A target is added, sometimes with the name of one that was removed."""
    site = simulation.site
    name = f"n{random.randint(0, 30)}"
    if name in site.targets:
        return
    identity, is_drop_in = random.choice([*site.identities]), random.random() < 0.8
    target = TargetModel(name, identity, is_drop_in=is_drop_in, has_access_token=random.random() < 0.2)
    site.targets[name] = target
    simulation.health.removed_at.pop(name, None)
    _note_change(simulation, name)
    _write(simulation, target)


@kind(5)
def remove_target(simulation: "Simulation", random: Random) -> None:
    """A target is removed."""
    site = simulation.site
    name = random.choice([*site.targets])
    if len(site.targets) < 2:
        return
    _remove(simulation, site.targets[name])


@kind(4)
def change_identity(simulation: "Simulation", random: Random) -> None:
    """A target gets another identity, two swap theirs, or an identity speaks for another workload."""
    site = simulation.site
    name, other = random.choice([*site.targets]), random.choice([*site.targets])
    target = site.targets[name]
    match random.randint(0, 2):
        case 0:
            target.identity = random.choice([*site.identities])
            changed = [name]
        case 1:
            target.identity, site.targets[other].identity = site.targets[other].identity, target.identity
            changed = [name, other]
        case _:
            site.identities[target.identity].version += 1
            changed = [each.name for each in site.targets.values() if each.identity == target.identity]
    for each in changed:
        _note_change(simulation, each)
        if site.targets[each].is_drop_in:
            _write(simulation, site.targets[each])
    site.write()


@kind(2)
def change_supplier(simulation: "Simulation", random: Random) -> None:
    """An identity gets its tokens from another issuer: nothing is taken away, and all is replaced."""
    identity = simulation.site.identities[random.choice([*simulation.site.identities])]
    identity.supplier = "own" if identity.supplier == "signed" else "signed"
    simulation.troubles.note(ALL, recovery=_FOLLOWED)
    simulation.site.write()


@kind(2)
def change_life(simulation: "Simulation", random: Random) -> None:
    """Tokens are to live longer, or not as long; what lives too long is replaced at once."""
    simulation.site.life = random.choice([30, 60, 120])
    simulation.troubles.note(ALL, recovery=_FOLLOWED + 130)
    simulation.site.write()


@kind(2)
def break_configuration(simulation: "Simulation", random: Random) -> None:
    """The main file can't be used for a while; the plan before it holds."""
    broken = random.choice(["", "version: 2\n", simulation.site.render()[:200], "targets: [\n", "\0"])
    write_file(CONFIGURATION, broken)
    simulation.is_configuration_broken = True

    def fix() -> None:
        simulation.is_configuration_broken = False
        simulation.site.write()
        simulation.troubles.note(ALL, recovery=_FOLLOWED)

    simulation.troubles.note(ALL, recovery=_FOLLOWED)
    simulation.later(random.uniform(1, 60), fix)


@kind(3)
def break_drop_in(simulation: "Simulation", random: Random) -> None:
    """A drop-in is edited badly, and put right later; its target keeps its old body."""
    names = [each.name for each in simulation.site.targets.values() if each.is_drop_in]
    if not names:
        return
    name = random.choice(names)
    write_file(_find_drop_in(name), random.choice(["", "identity: nobody\n", "mode: 999\n", "{", "owner: x\n"]))
    simulation.troubles.begin(name)

    def fix() -> None:
        simulation.troubles.end(name, recovery=_FOLLOWED)
        if (target := simulation.site.targets.get(name)) is not None and target.is_drop_in:
            _write(simulation, target)

    simulation.later(random.uniform(1, 60), fix)


@kind(2)
def restart_with_broken_drop_in(simulation: "Simulation", random: Random) -> None:
    """The daemon ends while a drop-in is broken: the next one has no former body of it, and takes nothing away."""
    break_drop_in(simulation, random)
    simulation.end_worker_at(random.randint(0, 50), random.uniform(0.0, 5.0), cut=random.random() < 0.5)


@kind(2)
def remove_after_kill(simulation: "Simulation", random: Random) -> None:
    """The daemon ends while it writes, and a target in whose directory it did is removed before the next one starts."""
    simulation.end_worker_at(random.randint(0, 500), pause := random.uniform(2.0, 5.0), cut=False)

    def remove() -> None:
        root = simulation.judge.find_root()
        for name, directory in ((root.entries or {}) if root is not None else {}).items():
            target = simulation.site.targets.get(name)
            left = any(each.endswith(".tmp") for each in directory.entries or ())
            if target is not None and target.is_drop_in and left:
                _remove(simulation, target)

    simulation.later(pause / 2, remove)


@kind(1)
def hide_drop_ins(simulation: "Simulation", random: Random) -> None:
    """The directory of drop-ins is gone for a while: nothing may be retired for that."""
    names = [each.name for each in simulation.site.targets.values() if each.is_drop_in]
    if SimulatedPath(_HIDDEN).exists():
        return
    KERNEL.rename(DROP_INS, _HIDDEN)
    for name in names:
        simulation.troubles.begin(name)

    def show() -> None:
        if SimulatedPath(_HIDDEN).exists():  # a power cut may have undone it
            KERNEL.rename(_HIDDEN, DROP_INS)
        for name in names:
            simulation.troubles.end(name, recovery=_FOLLOWED)

    simulation.later(random.uniform(1, 60), show)


@kind(2)
def reload(simulation: "Simulation", _random: Random) -> None:
    """The daemon gets SIGHUP."""
    if simulation.worker is not None and simulation.worker.daemon is not None:
        simulation.worker.daemon.ask_reload()


@kind(3)
def vandalise(simulation: "Simulation", random: Random) -> None:
    """Root removes a file of a credentials directory, changes its mode, or removes the directory.

    At once, or while the daemon is at work in there: after so many of its system calls.
    """
    name = random.choice([*simulation.site.targets])
    root = simulation.judge.find_root()
    directory = (root.entries or {}).get(name) if root is not None else None
    if directory is None or not directory.entries:
        return
    path, file, how = f"{ROOT}/{name}", random.choice([*directory.entries]), random.randint(0, 3)
    left = random.choice([0, random.randint(1, 40)])

    def damage() -> None:
        simulation.troubles.note(name, recovery=_FOLLOWED + 60)
        simulation.judge.released.add(name)  # without its record all that is there is published again
        simulation.judge.disturbed_at[name] = SCHEDULER.now
        with simulation.unwatched(), suppress(OSError):
            match how:
                case 0 | 1:
                    KERNEL.unlink(f"{path}/{file}")
                case 2:
                    KERNEL.chmod(f"{path}/{file}", 0o644)
                case _:
                    for each in [*(directory.entries or {})]:
                        KERNEL.unlink(f"{path}/{each}")
                    KERNEL.rmdir(path)

    def meanwhile(_call: str, inode: Inode | None) -> None:
        nonlocal left
        left -= is_below(inode, directory)
        if left <= 0 and meanwhile in KERNEL.troubles:
            KERNEL.troubles.remove(meanwhile)
            damage()

    if left:
        KERNEL.troubles.append(meanwhile)
    else:
        damage()


@kind(4)
def change_keys(simulation: "Simulation", random: Random) -> None:
    """Someone rotates, activates, revokes or retires a key of the worker's own, as a process of its own."""
    directory, act = SimulatedPath(KEYS), random.choice(["rotate", "rotate", "activate", "revoke", "retire"])
    now = simulation.clock.now

    def run() -> None:
        with suppress(RefresherError):
            if act == "rotate":
                keys.rotate(directory, algorithm=None, now=now())
            elif act == "activate":
                keys.activate(directory, None, lifetime=simulation.lifetime, now=now())
            elif act == "retire":
                keys.retire(directory, now=now())
            else:
                kid = keys.load_signing_key(directory).kid
                keys.revoke(directory, kid, now=now())
                simulation.site.revoked.add(kid)

    simulation.troubles.note(ALL, recovery=_FOLLOWED)
    _run_apart(simulation, f"keys {act}", run)


@kind(2)
def once(simulation: "Simulation", random: Random) -> None:
    """Someone runs `refresher once`, perhaps with `--force`, next to the daemon."""
    force, count = random.random() < 0.5, random.randint(1, 10)

    def run() -> None:
        with suppress(RefresherError):
            loaded = load(SimulatedPath(CONFIGURATION))
            workshop = open_workshop(loaded)
            plan = build_plan(loaded, workshop, build_suppliers(loaded, workshop))
            refresh_once(
                plan,
                [*plan.targets.values()][:count],
                force=force,
                clock=simulation.clock,
                may_take_over=lambda: not is_daemon_running(plan.root),
            )

    simulation.troubles.note(ALL, recovery=_FOLLOWED)
    _run_apart(simulation, "once", run)


def _run_apart(simulation: "Simulation", name: str, run: Callable[[], None]) -> None:
    process = Process(name)
    simulation.others.append(process)
    SCHEDULER.spawn(process, name, run)


def _find_drop_in(name: str) -> str:
    """Return where a drop-in lies, or is to lie: also while the directory of drop-ins is hidden."""
    return f"{_HIDDEN if SimulatedPath(_HIDDEN).exists() else DROP_INS}/{name}.yaml"


def _remove(simulation: "Simulation", target: TargetModel) -> None:
    del simulation.site.targets[target.name]
    simulation.health.removed_at[target.name] = SCHEDULER.now
    simulation.troubles.note(target.name, recovery=_FOLLOWED)
    if target.is_drop_in:
        place = SimulatedPath(_find_drop_in(target.name))
        with suppress(FileNotFoundError):
            KERNEL.unlink(str(place))
        synchronise(str(place.parent))
    else:
        simulation.site.write()


def _note_change(simulation: "Simulation", name: str) -> None:
    simulation.judge.released.add(name)
    simulation.troubles.note(name, recovery=_FOLLOWED)


def _write(simulation: "Simulation", target: TargetModel) -> None:
    if target.is_drop_in:
        write_file(_find_drop_in(target.name), f"{target.body}\n")
    else:
        simulation.site.write()
