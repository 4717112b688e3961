"""What commands run: one pass, a proof by real exchange. Callable, and tested, without a terminal.

The daemon is in `refresher.app.daemon`.
"""

import json
import os
import re
import shlex
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from refresher.app.daemon_user import find_daemon_user, find_group
from refresher.app.plans import build_chain, build_plan
from refresher.app.request import RefusedRequestError, Request, ask_daemon
from refresher.app.suppliers import build_suppliers, open_workshop
from refresher.app.targets import build_targets
from refresher.clock import SystemClock
from refresher.config.loader import LoadedConfiguration
from refresher.durations import format_seconds
from refresher.engine import once
from refresher.engine.agenda import Key
from refresher.engine.outcome import Outcome
from refresher.engine.plan import Target
from refresher.engine.workers import Workers
from refresher.errors import ExchangeError, PublishError, RefresherError
from refresher.files import read_state
from refresher.observe.remedies import describe_retry
from refresher.publishing.artifacts import CREDENTIALS, DESCRIPTIONS, TOKEN
from refresher.publishing.contents import extract_token
from refresher.publishing.daemon_lock import is_daemon_running
from refresher.publishing.walk import LOCK, InsecureDirectoryError
from refresher.suppliers.interface import Workshop
from refresher.tokens import UnreadableTokenError
from refresher.users import DaemonUser

_CODE = re.compile(r"([0-9a-f]+)-([0-9a-f]+) r-xp [0-9a-f]+ \S+ [1-9]\d* +/")
"""A mapping of a file's code in proc(5), smaps."""
_PROOF_THREADS = 16
_LONGEST_PAUSE = 5.0
"""Seconds between two attempts to prove a target; the first pauses are shorter."""


def refresh_once(loaded: LoadedConfiguration, names: Collection[str], *, force: bool) -> dict[Key, Outcome]:
    """Refresh the named targets of a configuration and their optional artifacts, each once; return how each ended.

    A daemon that runs with this very configuration does it, with its own rights, where this user may ask it (root, and
    the daemon's user). Else it is done here.
    """
    root, refused = Path(loaded.configuration.directory_root), None
    try:
        asked = ask_daemon(root, Request(os.path.realpath(loaded.path), tuple(names), force=force))
        if asked is not None:
            return asked
    except RefusedRequestError as error:
        refused = error
    try:
        check_user(loaded, "once")
    except InsecureDirectoryError as error:
        if refused is not None:
            raise refused from None
        if not is_daemon_running(root):
            raise
        raise InsecureDirectoryError(
            f"{error.problem}; the daemon of {root} runs, and takes no request",
            f"run `refresher status`: it shows whether the daemon is stopped; {error.remedy}",
        ) from None
    workshop = open_workshop(loaded)
    plan = build_plan(loaded, workshop, build_suppliers(loaded, workshop))
    targets = [plan.targets[name] for name in names]
    return once.refresh_once(
        plan, targets, force=force, clock=SystemClock(), may_take_over=lambda: not is_daemon_running(plan.root)
    )


def check_user(loaded: LoadedConfiguration, command: str) -> None:
    """Check, before anything is created, that another user's daemon does not keep these targets; for `command`.

    What this user created first (a root, a lock, directories) would be in that daemon's way. Where this user's own
    daemon has a lock and can read some keys, it goes on. Root's files are fine: a group may read root's keys.

    Raises:
        InsecureDirectoryError: The lock, `directory_root`, a keys directory or the drop-in directory is another user's.
    """
    configuration, user = loaded.configuration, os.geteuid()
    root = Path(configuration.directory_root)
    lock, keys = root / LOCK, [each.keys_directory for each in configuration.suppliers.values() if each.keys_directory]
    places = {lock: "", root: "directory_root ", **dict.fromkeys(keys, "the keys directory ")}
    if configuration.targets_directory is not None:
        places[Path(configuration.targets_directory)] = "targets_directory "
    found = {place: status for place in places if (status := read_state(place)) is not None}
    others = [place for place, status in found.items() if status.uid not in (0, user)]
    is_own = lock in found and lock not in others  # then the fault is one supplier's, or the drop-ins'
    if is_own and not (keys and all(place in others for place in keys)):
        return
    if not others:
        return
    daemon = find_daemon_user(loaded.path, root, loaded)
    if daemon.uid == user:  # by what an earlier run may have left
        owner = found[others[0]]
        daemon = daemon._replace(uid=owner.uid, gid=find_group(owner.uid, owner.gid))
    place = next((each for each in others if found[each].uid == daemon.uid), others[0])
    raise InsecureDirectoryError(
        f"{places[place]}{place} belongs to uid {found[place].uid}, and this runs as uid {user}: nothing was created",
        _suggest_owner(daemon, command, place, is_own=is_own),
    )


def _suggest_owner(daemon: DaemonUser, command: str, place: Path, *, is_own: bool) -> str:
    """Return how to run a command as the owner of a place, the daemon's user; `is_own` if this user has a lock too."""
    rights = "CAP_CHOWN CAP_DAC_READ_SEARCH" if daemon.reads_all else "CAP_CHOWN"
    transient = (
        f"systemd-run --pipe --wait --uid={daemon.uid} --gid={daemon.gid} --property='AmbientCapabilities={rights}' "
        f"refresher {command} {daemon.options}"
    )
    remedy = f"as root, run this as the daemon's user: {daemon.compose(command)}; or, with systemd: {transient}"
    if is_own:
        user, owned = os.geteuid(), shlex.quote(str(place))
        remedy += (
            f"; only if `ps -C refresher -o uid,args` shows that the daemon runs as uid {user}: chown -R {user} {owned}"
        )
    return remedy


def prove_targets(
    loaded: LoadedConfiguration, names: Collection[str], *, seconds: float, report: Callable[[str], None]
) -> tuple[dict[str, str], dict[str, RefresherError]]:
    """Exchange the published token of each target for real, and impersonate, until Google accepts it.

    What only an operator can fix is tried again too, since a grant takes minutes to reach all of Google. Every target
    is tried, and all are waited for together. Returned is as whom each proved target acts, and why each other one could
    not be proved, by name.

    At 0 `seconds` or less each target is tried once, within the usual limits of a call. `report` is called with a line
    about each target whose first attempt failed while time is left.
    """
    from refresher.google.transport import Limits

    limits = Limits()
    if seconds > 0:
        limits = Limits(**{name: min(getattr(limits, name), seconds) for name in ("connect", "read", "call")})
    allowed = seconds if seconds > 0 else limits.call
    deadline = time.monotonic() + allowed
    workshop, targets = open_workshop(loaded, limits=limits), build_targets(loaded)
    principals: dict[str, str] = {}
    errors: dict[str, RefresherError] = {}
    bugs: list[Exception] = []

    def attempt(name: str) -> None:
        try:
            principals[name] = _prove(targets[name], workshop)
        except RefresherError as error:
            errors[name] = error
        except Exception as bug:  # noqa: BLE001 - carried to the caller's thread
            bugs.append(bug)

    workers, pause, reported = Workers(), 0.5, set[str]()
    while True:
        for name in set(names) - principals.keys():
            workers.submit("proof", partial(attempt, name), threads=_PROOF_THREADS)
        workers.wait(max(0.0, deadline - time.monotonic()))
        if bugs:
            raise bugs[0]
        pause = min(2 * pause, _LONGEST_PAUSE)
        if len(principals) == len(names) or seconds <= 0 or time.monotonic() + pause >= deadline:
            break
        for name in sorted({*errors} - principals.keys() - reported):
            report(f"{name}: {errors[name].problem}; trying again until the timeout")
            reported.add(name)
        time.sleep(pause)
    workers.stop()
    proved = dict(principals)  # what is still under way failed
    places = dict.fromkeys((workshop.endpoints.sts, workshop.endpoints.iam_credentials))
    late = ExchangeError(
        f"no complete answer of Google's within {format_seconds(allowed)}",
        f"make this machine reach {' and '.join(places)}, or allow more time: --timeout",
    )
    failed = [targets[name] for name in names if name not in proved]
    daemon = find_daemon_user(loaded.path, Path(loaded.configuration.directory_root), loaded)
    return proved, {each.name: _complete_remedy(errors.get(each.name, late), each, daemon) for each in failed}


def _complete_remedy(error: RefresherError, target: Target, daemon: DaemonUser) -> RefresherError:
    """Return why a target was not proved, with what its daemon does about its artifacts."""
    found = error.copy()
    if target.minted or target.impersonation.is_own:
        found.remedy += f"; {describe_retry(target.directory.root, daemon)}"
    return found


def _prove(target: Target, workshop: Workshop) -> str:
    """Exchange a target's token and impersonate; return as whom it acts."""
    from refresher.google.google_auth import prove

    way, chain = target.impersonation, build_chain(workshop)
    if way.is_own:
        granted = chain.access_token(way, chain.exchange(way, "", datetime.now(UTC)))
        chain.prove_quota_project(way, granted)
        return str(way.service_account)
    with suppress(PublishError, UnreadableTokenError):
        token = extract_token(target.directory.read((TOKEN, DESCRIPTIONS)))
        if token is not None and token.unverified_claims is not None:
            way = way.for_subject(token.unverified_claims.subject)
    document = json.loads(target.static[CREDENTIALS])
    way = replace(way, delegates=())  # the document goes no other way
    granted = prove(document, way, token_path=target.directory.path / TOKEN, transport=workshop.transport())
    chain.prove_quota_project(way, granted)
    return way.service_account or "the federated principal itself"


def share_heap() -> None:
    """Make all threads of this process allocate from one heap: else what one frees serves no other (mallopt(3))."""
    import ctypes

    with suppress(AttributeError):  # another C library than glibc has no such setting
        ctypes.CDLL(None).mallopt(-8, 1)  # M_ARENA_MAX


def release_code(maps: Path = Path("/proc/self/smaps")) -> int:
    """Unmap the code of programs and libraries from this process's memory, and return how many bytes of it there are.

    Most of it is only used at the start (imports, self-tests of OpenSSL). What is used again is mapped again from the
    page cache, at the next use. See MADV_DONTNEED in madvise(2); code that was changed in memory is left alone.
    """
    import ctypes

    try:
        lines = maps.read_text(encoding="utf-8", errors="replace").splitlines()
        madvise = ctypes.CDLL(None).madvise
    except (OSError, AttributeError):  # no /proc, or another C library
        return 0
    madvise.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    released, bounds = 0, (0, 0)
    for line in lines:
        first, *rest = line.split()
        if (found := _CODE.match(line)) is not None:
            bounds = int(found[1], 16), int(found[2], 16)
        elif not first.endswith(":"):
            bounds = 0, 0
        elif bounds[1] and first == "Private_Dirty:" and rest[0] == "0":
            released += bounds[1] - bounds[0] if madvise(bounds[0], bounds[1] - bounds[0], 4) == 0 else 0
    return released


def forbid_core_dumps() -> None:
    """Keep this process's keys and tokens out of core dumps, and its memory closed to its user's other processes.

    See PR_SET_DUMPABLE in prctl(2). A program that a supplier starts has the usual setting again (execve(2)).
    """
    import ctypes

    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
