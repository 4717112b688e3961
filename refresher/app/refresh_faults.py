"""Why the daemon can't refresh tokens: what is wrong with files that it reads, and what it reports itself."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from refresher.app.targets import compute_probe_intervals
from refresher.config.loader import LoadedConfiguration
from refresher.engine.causes import identify_cause
from refresher.errors import KeysError, RefresherError, SupplyError
from refresher.files import read_state
from refresher.google.trust import TRUST, list_file_faults
from refresher.keys import registry
from refresher.observe.daemon_health import DaemonHealth
from refresher.observe.daemon_view import DaemonView, fetch_view
from refresher.publishing.walk import LOCK
from refresher.settings.values import UnixSocket
from refresher.suppliers.interface import SupplierSettings

_FEW = 3
"""Targets that a line names."""


def keeps_from_renewing(fault: RefresherError) -> bool:
    """Return whether the daemon, while there is this fault, fails to supply or can't call Google."""
    return isinstance(fault, (KeysError, SupplyError)) or fault.entry == TRUST


def list_supplier_faults(name: str, settings: SupplierSettings, user: int | None) -> Iterator[RefresherError]:
    """Return what is wrong with the files of a supplier, of this name; `user` is the daemon's, None for this one."""
    if settings.keys_directory is not None:
        yield from registry.list_faults(settings.keys_directory, user)
    for key, path in settings.file_paths():
        if not os.path.lexists(path):
            yield SupplyError(f"suppliers.{name}.{key}: {path} does not exist", "create it, or correct the path")


def find_daemon_uid(loaded: LoadedConfiguration) -> int | None:
    """Return the uid of the daemon of a root, which owns its lock; None without a lock."""
    lock = read_state(Path(loaded.configuration.directory_root) / LOCK)
    return None if lock is None else lock.uid


def list_refresh_faults(loaded: LoadedConfiguration) -> list[RefresherError]:
    """Return what is wrong with files without which nothing is refreshed, each once; nothing that is not known.

    Keys are judged as the daemon's user would: by root, by that user, and by any user where there is no daemon.
    """
    found: list[RefresherError] = list(list_file_faults(loaded.configuration.google.ca_file, "google.ca_file"))
    user = find_daemon_uid(loaded)
    if os.geteuid() == 0 or user in (None, os.geteuid()):
        for name, settings in loaded.configuration.suppliers.items():
            found += list_supplier_faults(name, settings, user)
    return list({(each.problem, each.remedy): each for each in found if keeps_from_renewing(each)}.values())


def ask_daemon(loaded: LoadedConfiguration | None, daemon: DaemonHealth) -> tuple[DaemonView, str | None]:
    """Return what the daemon knows, and why what Google answers is unknown if it is.

    It is asked on a unix socket alone (`refresher.observe.daemon_view`), and only where one runs.
    """
    nothing = DaemonView({})
    if loaded is None or daemon.is_running is False:
        return nothing, None
    has_canary = bool(compute_probe_intervals(loaded))
    unknown, listen = "what Google answers is not known here", loaded.configuration.listen
    if isinstance(listen, UnixSocket):
        if (found := fetch_view(listen.path, daemon.pid)) is not None:
            return found, None
        fix = "look for daemon.fault in its log, or run `refresher wait --exchange`"
        if os.geteuid() != 0:
            fix = f"run this as root or a member of `listen_group`; else {fix}"
        why = f"{unknown}: the daemon can't be asked at unix:{listen.path}; {fix}"
        if daemon.is_stopped:
            why = f"{unknown}: the daemon is stopped"
    elif listen is None:
        why = f"{unknown}: `listen` is off; set it to unix:PATH, or run `refresher wait --exchange`"
    else:
        host = f"[{listen.host}]" if ":" in listen.host else listen.host
        ask = f"curl http://{host}:{listen.port}/status.json"
        why = f"{unknown}: any user could answer on TCP, so only a unix socket is asked; see {ask}"
    return nothing, why if has_canary else None


class Failure(NamedTuple):
    """A cause for which nothing is refreshed.

    Attributes:
        targets: Whose files are concerned; empty for all that the daemon refreshes.
        detail: How often it failed, and when it is tried next; empty for what no attempt has met yet.
    """

    targets: tuple[str, ...]
    problem: str
    remedy: str
    detail: str = ""

    def __str__(self) -> str:
        more = f" and {len(self.targets) - _FEW} more" if len(self.targets) > _FEW else ""
        named = ", ".join(self.targets[:_FEW]) + more
        whose = f"refreshing {named} fails" if self.targets else "the daemon can't refresh"
        return f"{whose}: {self.problem}{f' ({self.detail})' if self.detail else ''}\n  remedy: {self.remedy}"


def list_failures(
    failing: Sequence[Mapping[str, Any]], faults: Sequence[RefresherError], known: Mapping[str, str | None]
) -> list[Failure]:
    """Return each cause once: of entries of `failing` in `/status.json`, and of files.

    `known` are the remedies that are shown for targets already: what Google refuses stops optional artifacts too.
    """
    causes: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for each in failing:
        cause = identify_cause("", each["problem"], each["remedy"], each["target"], str(each.get("artifact") or ""))
        if each["remedy"] not in str(known.get(each["target"])):
            causes.setdefault(cause, []).append(each)
    found = [
        Failure(
            targets=tuple(dict.fromkeys(str(each["target"]) for each in alike)),
            problem=alike[0]["problem"],
            remedy=alike[0]["remedy"],
            detail=_describe_attempts(alike[0]),
        )
        for alike in causes.values()
    ]
    problems = {each.problem for each in found}
    return found + [Failure((), each.problem, each.remedy) for each in faults if each.problem not in problems]


def _describe_attempts(entry: Mapping[str, Any]) -> str:
    count, next_at = entry.get("failures"), entry.get("next_attempt_at")
    noun = "1 failed attempt" if count == 1 else f"{count} failed attempts in a row"
    return f"{noun}, next {f'at {next_at}' if next_at else 'within seconds'}"
