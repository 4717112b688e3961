"""What can be done to the machine, its servers and its disk: each kind draws its details from a source of its own.

A kind is a function with a weight. Which of them happen, and when, is the schedule, which can be thinned out without
changing what the others do.
"""

import errno
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.simulation.disk import Inode
from tests.simulation.internet import Behaviour
from tests.simulation.kernel import KERNEL
from tests.simulation.machine import refuse
from tests.simulation.scheduler import SCHEDULER
from tests.simulation.site import CONFIGURATION, DROP_INS, KEYS, ROOT, SIGNER_HOSTS, STS_HOST
from tests.simulation.troubles import ALL

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

Act = Callable[["Simulation", Random], object]
KINDS: dict[str, tuple[float, Act]] = {}


class Fault(NamedTuple):
    """One entry of a schedule: the moment, the kind, and the number that its details are drawn by."""

    at: float
    kind: str
    number: int


def kind(weight: float) -> Callable[[Act], Act]:
    """Register a kind of fault."""

    def register(act: Act) -> Act:
        KINDS[act.__name__] = weight, act
        return act

    return register


def draw_schedule(random: Random, seconds: float) -> list[Fault]:
    """Return the faults of a run, in their order."""
    names, weights = [*KINDS], [weight for weight, _ in KINDS.values()]
    chosen = random.sample(names, random.randint(1, len(names)))  # a run with few kinds goes deeper into them
    pairs = [(name, weight) for name, weight in zip(names, weights, strict=True) if name in chosen]
    gap, at, found = random.choice([8.0, 20.0, 60.0, 200.0, 400.0]), 1000.0, list[Fault]()
    while (at := at + random.expovariate(1 / gap)) < 1000.0 + seconds:
        name = random.choices([name for name, _ in pairs], [weight for _, weight in pairs])[0]
        found.append(Fault(at, name, len(found)))
    return found


# Servers


@kind(6)
def outage(simulation: "Simulation", random: Random) -> None:
    """One of the servers does not answer as it should."""
    host = random.choice((*SIGNER_HOSTS, STS_HOST))
    behaviour, recovery, lasts = random.choice(
        [
            (Behaviour(is_silent=True), 90.0, 0.0),
            (Behaviour(is_silent=True, delay=20.0), 120.0, 21.0),
            (Behaviour(delay=random.uniform(0.5, 8.0)), 60.0, 8.0),
            (Behaviour(status=503), 90.0, 0.0),
            (Behaviour(status=500, body=b"<html><title>Oops</title>"), 90.0, 0.0),
            (Behaviour(status=429), 90.0, 2.0),
            (Behaviour(status=429, retry_after=(wait := random.randint(1, 60))), 130.0 + wait, 62.0 + wait),
            (Behaviour(status=503, retry_after=(wait := random.randint(1, 400))), 430.0, 62.0 + min(wait, 300)),
            (Behaviour(status=403), 310.0, 0.0),
            (Behaviour(status=200, body=b"<html>captive portal</html>"), 90.0, 0.0),
            (Behaviour(status=200, body=b'{"signedJwt": "x", "access_token": 1}'), 90.0, 0.0),
        ]
    )
    _misbehave(simulation, random, host, behaviour, recovery, lasts)


@kind(4)
def bad_issuer(simulation: "Simulation", random: Random) -> None:
    """The issuer's tokens are wrong."""
    _misbehave(simulation, random, SIGNER_HOSTS[0], Behaviour(spoil=_spoil(random)), 310.0, 0.0)


def _misbehave(
    simulation: "Simulation", random: Random, host: str, behaviour: Behaviour, recovery: float, lasts: float
) -> None:
    simulation.internet.behaviours[host] = behaviour
    simulation.troubles.begin(host)

    def end() -> None:
        if simulation.internet.behaviours.get(host) is behaviour:
            del simulation.internet.behaviours[host]
        simulation.troubles.note(host, lasts=lasts, recovery=recovery)
        simulation.troubles.end(host, recovery=recovery)

    simulation.later(random.choice([random.uniform(0.5, 10), random.uniform(1, 60), random.uniform(10, 400)]), end)


def _spoil(random: Random) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return what an issuer does wrong: old tokens, short lives, other claims."""
    by, fault = (
        random.randint(1, 60),
        random.choice(["old", "old", "old", "short", "future", "subject", "audience", "over"]),
    )

    def spoil(claims: dict[str, Any]) -> dict[str, Any]:
        match fault:
            case "old":
                return {**claims, "iat": claims["iat"] - by, "exp": claims["exp"] - by}
            case "short":
                return {**claims, "exp": claims["iat"] + by}
            case "future":
                return {**claims, "iat": claims["iat"] + 30 + by, "exp": claims["exp"] + 30 + by}
            case "over":
                return {**claims, "exp": claims["iat"] - by}
            case name:
                return {**claims, "sub" if name == "subject" else "aud": "other.1"}

    return spoil


# The clock


@kind(2)
def step(simulation: "Simulation", random: Random) -> None:
    """The wall clock is set."""
    by = random.choice([3.0, 20.0, 60.0, 600.0, 3600.0, 86400.0 * 365]) * random.choice([-1, 1]) * random.random()
    simulation.clock.step(by)
    simulation.troubles.note(ALL, recovery=120.0)
    simulation.note_steps()


@kind(1)
def suspend(simulation: "Simulation", random: Random) -> None:
    """The machine sleeps."""
    simulation.clock.suspend(random.choice([5.0, 60.0, 1800.0, 8 * 3600.0]))
    simulation.troubles.note(ALL, recovery=120.0)
    simulation.note_steps()


# The end of the process, and of the machine


@kind(4)
def kill(simulation: "Simulation", random: Random) -> None:
    """The daemon is killed between two system calls."""
    simulation.end_worker_at(_draw_call(random), random.uniform(0.0, 20.0), cut=False)


@kind(4)
def cut(simulation: "Simulation", random: Random) -> None:
    """The power goes between two system calls."""
    simulation.end_worker_at(_draw_call(random), random.uniform(1.0, 60.0), cut=True)


def _draw_call(random: Random) -> int:
    return random.choice([random.randint(0, 50), random.randint(0, 500), random.randint(0, 5000)])


# The disk

_WRITING = frozenset(["create", "mkdir", "write"])
_CHANGING = _WRITING | {"unlink", "rmdir", "rename", "chmod", "chown"}
_READING = frozenset(["open", "read", "getdents", "fstat", "stat"])
_ERRORS = (
    (errno.ENOSPC, _WRITING),
    (errno.EDQUOT, _WRITING),
    (errno.EROFS, _CHANGING),
    (errno.EIO, _CHANGING | _READING | {"fsync"}),
    (errno.EIO, frozenset(["fsync"])),
    (errno.EMFILE, frozenset(["open", "create", "dup"])),
    (errno.ENOMEM, frozenset(["open", "create", "mkdir", "read", "getdents"])),
    (errno.EACCES, frozenset(["open", "create", "mkdir", "rename", "unlink"])),
)


def is_below(inode: Inode | None, directory: Inode) -> bool:
    """Return whether an inode lies in a directory."""
    while inode is not None and inode.parent is not inode:
        if inode is directory:
            return True
        inode = inode.parent
    return False


@kind(4)
def broken_disk(simulation: "Simulation", random: Random) -> None:
    """Calls below the directory root fail for a while, all or some."""
    number, calls = random.choice(_ERRORS)
    share, root = random.choice([1.0, 1.0, 0.1, 0.01]), simulation.judge.find_root()
    if root is None:
        return

    def fail(call: str, inode: Inode | None) -> None:
        if call in calls and is_below(inode, root) and (share == 1.0 or random.random() < share):
            simulation.result.refused += 1
            raise refuse(number)

    _break(simulation, random, fail, ALL, random.choice([2.0, 20.0, 60.0, 200.0]), 100.0)


@kind(3)
def sick_directory(simulation: "Simulation", random: Random) -> None:
    """Calls in one target's directory fail, or take long; no other target may suffer."""
    root = simulation.judge.find_root()
    name = random.choice([*simulation.site.targets])
    directory = (root.entries or {}).get(name) if root is not None else None
    if directory is None:
        return
    number, calls = random.choice(_ERRORS)
    delay = random.choice([0.0, 0.0, random.uniform(0.05, 30)])
    inside: Inode = directory

    def fail(call: str, inode: Inode | None) -> None:
        if call in calls and is_below(inode, inside):
            simulation.result.refused += 1
            if delay:
                SCHEDULER.wait(None, delay)
            else:
                raise refuse(number)

    _break(simulation, random, fail, name, 60.0, 400.0)


@kind(3)
def sick_file(simulation: "Simulation", random: Random) -> None:
    """Every call on one file fails: the lock, a record, a token, a key or what is configured."""
    places = [f"{ROOT}/.lock", CONFIGURATION]
    for folder in (DROP_INS, KEYS, f"{ROOT}/{random.choice([*simulation.site.targets])}"):
        found = KERNEL.disk.find(folder)
        places += [f"{folder}/{name}" for name in (found.entries or {} if found is not None else {})]
    chosen = KERNEL.disk.find(random.choice([places[0], *places]))
    number, calls = random.choice(_ERRORS)

    def fail(call: str, inode: Inode | None) -> None:
        if call in calls and inode is chosen is not None:
            simulation.result.refused += 1
            raise refuse(number)

    _break(simulation, random, fail, ALL, 60.0, 400.0)


@kind(1)
def slow_disk(simulation: "Simulation", random: Random) -> None:
    """Synchronising takes long."""
    seconds = random.choice([0.001, 0.01, 0.05])

    def fail(call: str, _inode: Inode | None) -> None:
        if call == "fsync":
            SCHEDULER.wait(None, seconds * random.random())

    _break(simulation, random, fail, ALL, 60.0, 60.0)


@kind(6)
def one_error(simulation: "Simulation", random: Random) -> None:
    """One system call of the daemon fails, whichever comes."""
    number, calls = random.choice(_ERRORS)
    left, waiting = _draw_call(random), [True]

    def fail(call: str, _inode: Inode | None) -> None:
        nonlocal left
        if call not in calls or not waiting:
            return
        left -= 1
        if left < 0:
            waiting.clear()
            simulation.result.refused += 1
            simulation.troubles.note(ALL, recovery=100.0)
            raise refuse(number)

    _break(simulation, random, fail, "", 60.0, 100.0)


def _break(
    simulation: "Simulation",
    random: Random,
    fail: Callable[[str, Inode | None], None],
    scope: str,
    longest: float,
    recovery: float,
) -> None:
    KERNEL.troubles.append(fail)
    simulation.troubles.begin(scope)

    def end() -> None:
        if fail in KERNEL.troubles:
            KERNEL.troubles.remove(fail)
        simulation.troubles.end(scope, recovery=recovery)

    simulation.later(random.uniform(0.1, longest), end)
