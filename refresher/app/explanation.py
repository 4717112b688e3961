"""What a configuration means, target by target, and what is unwise or missing around it; changes nothing."""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from refresher import policy
from refresher.app.targets import build_endpoints, compute_probe_intervals, get_provider, list_audiences, read_options
from refresher.config.drop_ins import SUFFIX
from refresher.config.loader import LoadedConfiguration
from refresher.config.targets import ResolvedTarget
from refresher.durations import format_duration
from refresher.errors import ConfigurationError, KeysError, PublishError, RefresherError, SupplyError
from refresher.files import read_state
from refresher.google.trust import TRUST, list_file_faults
from refresher.keys import registry
from refresher.observe.sockets import ListenError, check_address, is_loopback
from refresher.publishing import retirement
from refresher.publishing.artifacts import is_minted
from refresher.publishing.lock import is_daemon_running
from refresher.publishing.walk import LOCK
from refresher.resources import Endpoints
from refresher.settings.values import TcpSocket
from refresher.suppliers.interface import SupplierSettings

_SCOPE = re.compile(
    r"https://(?:www\.googleapis\.com/auth/|mail\.google\.com/|www\.google\.com/|[a-z]+\.googleapis\.com/)"
)
"""The beginnings of all scopes that Google lists (https://developers.google.com/identity/protocols/oauth2/scopes)."""


_MOST_WATCHES = Path("/proc/sys/fs/inotify/max_user_watches")

_QUOTA = 6_000
"""Exchanges a minute that STS allows a project (https://docs.cloud.google.com/iam/quotas)."""
_SHARE = 0.1
"""Of the quota, for one daemon: others share it."""
_CLIENT_RENEWAL, _ARTIFACT_RENEWAL = 55, 30
"""Minutes between two exchanges of a client that keeps its access token, and of an identity's artifacts of an hour."""


def explain(loaded: LoadedConfiguration) -> dict[str, Any]:
    """Return what each target is and has, where Google's services are, and where the daemon is to answer HTTP."""
    listen = loaded.configuration.listen
    address = f"{listen.host}:{listen.port}" if isinstance(listen, TcpSocket) else listen and f"unix:{listen.path}"
    return {
        "targets": [_explain_target(loaded, target) for target in loaded.targets.values()],
        "google": asdict(build_endpoints(loaded)),
        "listen": address,
        "canary": {name: format_duration(each) for name, each in compute_probe_intervals(loaded).items()},
        "exchanges_per_minute": {name: round(each, 2) for name, each in plan_exchanges(loaded).items()},
    }


def plan_exchanges(loaded: LoadedConfiguration) -> dict[str, float]:
    """Return how many exchanges a minute are to be expected, by who makes them; of clients, one in each container."""
    minting = {target.identity for target in loaded.targets.values() if any(map(is_minted, read_options(target)))}
    return {
        "canary": sum(timedelta(minutes=1) / interval for interval in compute_probe_intervals(loaded).values()),
        "artifacts": len(minting) / _ARTIFACT_RENEWAL,
        "clients": len(loaded.targets) / _CLIENT_RENEWAL,
    }


def list_faults(loaded: LoadedConfiguration) -> Iterator[RefresherError]:
    """Return what is unwise about Google's endpoints, and what is wrong with files that the configuration names.

    Without those files the daemon fails to supply: see `keeps_from_renewing`. Keys are judged as its user would, also
    by root. The command `check` prints them, and the daemon logs them.
    """
    google = loaded.configuration.google
    if google.emulator:
        usual, used = asdict(Endpoints.of_universe(google.universe_domain)), asdict(build_endpoints(loaded))
        places = ", ".join(f"{name} is {used[name]}" for name in used if used[name] != usual[name]) or "none is set"
        yield ConfigurationError(
            f"google.emulator is true: endpoints may be other servers than Google's ({places})",
            "delete google.emulator and these endpoints on a machine that uses the real Google",
        )
    yield from list_file_faults(google.ca_file, "google.ca_file")
    for name, identity in loaded.configuration.identities.items():
        for scope in identity.scopes:
            if "//" in scope and not _SCOPE.match(scope):
                yield ConfigurationError(
                    f"identities.{name}.scopes: {scope} is not a scope of Google's",
                    f"delete it; for a service there, publish an ID token: id_tokens: {{NAME: {{audience: {scope}}}}}",
                )
    lock = read_state(Path(loaded.configuration.directory_root) / LOCK)  # its owner is the daemon's user
    for name, settings in loaded.configuration.suppliers.items():
        yield from list_supplier_faults(name, settings, None if lock is None else lock.uid)
    yield from _list_listen_faults(loaded)
    yield from _list_excess(loaded)
    yield from find_misnamed(loaded.configuration.targets_directory).values()
    yield from list_unrecorded(loaded)
    with suppress(OSError, ValueError):
        yield from list_unwatched(len(loaded.targets), int(_MOST_WATCHES.read_text(encoding="ascii")))


def keeps_from_renewing(fault: RefresherError) -> bool:
    """Return whether the daemon, while there is this fault of `list_faults`, fails to supply or can't call Google."""
    return isinstance(fault, (KeysError, SupplyError)) or fault.entry == TRUST


def list_supplier_faults(name: str, settings: SupplierSettings, user: int | None) -> Iterator[RefresherError]:
    """Return what is wrong with the files of a supplier, of this name; `user` is the daemon's, None for this one."""
    if settings.keys_directory is not None:
        yield from registry.list_faults(settings.keys_directory, user)
    for key, path in settings.file_paths():
        if not os.path.lexists(path):
            yield SupplyError(f"suppliers.{name}.{key}: {path} does not exist", "create it, or correct the path")


def list_unwatched(count: int, most: int) -> Iterator[RefresherError]:
    """Return a warning if the kernel allows fewer watches than there are targets (inotify(7))."""
    if count > most:
        yield ConfigurationError(
            f"{count} targets need as many watches, and {_MOST_WATCHES} allows {most}: what other processes change in "
            "their directories is noticed within seconds, not at once",
            f"sysctl fs.inotify.max_user_watches={2 * count}",
        )


def list_unrecorded(loaded: LoadedConfiguration) -> Iterator[PublishError]:
    """Return a warning about each directory of an earlier version that belongs to no target."""
    root, reserved = Path(loaded.configuration.directory_root), loaded.reserved_names
    for name in () if reserved is None else retirement.list_unrecorded(root, reserved):
        yield PublishError(
            f"{root / name} holds credentials of an earlier version, no target record, and belongs to no target",
            f"remove it once no container uses it: rm -r {root / name}",
        )


def _list_listen_faults(loaded: LoadedConfiguration) -> Iterator[RefresherError]:
    """Return why `listen` can't be listened on, and whether more than this machine reaches it."""
    address, group = loaded.configuration.listen, loaded.configuration.listen_group
    if address is None:
        return
    root = Path(loaded.configuration.directory_root)
    is_taken = root.exists() and is_daemon_running(root) is not False
    try:
        check_address(address, group, is_taken=is_taken)
    except ListenError as error:
        yield error
    if isinstance(address, TcpSocket) and not is_loopback(address.host):
        yield ConfigurationError(
            f"listen: {address.host}:{address.port} answers other machines too: names of targets, accounts and paths",
            "use a unix socket, or allow this port in the firewall to the monitoring alone",
        )


def _list_excess(loaded: LoadedConfiguration) -> Iterator[RefresherError]:
    planned = sum(plan_exchanges(loaded).values())
    if planned > _SHARE * _QUOTA:
        yield ConfigurationError(
            f"{planned:.0f} exchanges a minute are to be expected, and STS allows all machines of a project {_QUOTA}",
            "spread the identities over pools in several projects, or set canary: off or a longer time",
        )


def find_misnamed(directory: Path | None) -> dict[str, RefresherError]:
    """Return a warning about each file in the drop-in directory that is not read for its ending, by its other part."""
    try:
        paths = [] if directory is None else sorted(directory.iterdir())
    except OSError:
        return {}
    return {
        path.stem: ConfigurationError(
            f"{path} is not read: drop-ins are named NAME{SUFFIX}", f"rename it to {path.with_suffix(SUFFIX).name}"
        )
        for path in paths
        if path.suffix.lower() in (".yml", ".json") and not path.name.startswith(".")
    }


def _explain_target(loaded: LoadedConfiguration, target: ResolvedTarget) -> dict[str, Any]:
    identity = loaded.get_identity(target)
    supplier = loaded.get_supplier_name(identity)
    settings = loaded.configuration.suppliers[supplier]
    lifetime = runway = None
    if settings.lifetime_range is not None and settings.configured_lifetime is not None:
        lifetime = settings.configured_lifetime
        # the life left when a token becomes due: so long clients work if the issuer stops
        runway = lifetime / 2 + policy.spread(target.name, lifetime)
    group = "" if target.gid is None else f":{target.gid}"
    return {
        "name": target.name,
        "identity": target.identity,
        "service_account": identity.service_account,
        "subject": identity.subject,
        "via": identity.via,
        "supplier": supplier,
        "kind": settings.kind,
        "provider": get_provider(loaded, settings).resource_name,
        "audience": list_audiences(loaded, settings)[0],
        "directory": str(target.directory),
        "container_directory": target.container_directory,
        "owner": ("" if target.uid is None else str(target.uid)) + group or None,
        "mode": f"{stat.S_IMODE(target.mode):04o}",
        "artifacts": list(read_options(target)),
        "lifetime": lifetime and format_duration(lifetime),
        "least_runway": runway and format_duration(runway),
    }
