"""What a configuration means, target by target, and what is unwise or missing around it; changes nothing."""

import re
import shlex
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from refresher import policy
from refresher.app.refresh_faults import find_daemon_uid, list_supplier_faults
from refresher.app.targets import build_endpoints, compute_probe_intervals, get_provider, list_audiences, list_optional
from refresher.config.drop_ins import find_misnamed
from refresher.config.loader import LoadedConfiguration
from refresher.config.targets import ResolvedTarget
from refresher.durations import format_duration
from refresher.errors import ConfigurationError, PublishError, RefresherError
from refresher.google.trust import list_file_faults
from refresher.limits import USUAL_ACCESS_TOKEN_LIFE
from refresher.observe.daemon_health import find_holder
from refresher.observe.sockets import ListenError, check_address, find_occupant, is_loopback
from refresher.publishing import retirement
from refresher.publishing.artifacts import is_minted
from refresher.publishing.daemon_lock import is_daemon_running
from refresher.publishing.space import check_root
from refresher.resources import CREATOR_ROLE, Endpoints, compose_grant_command, own_principal
from refresher.settings.values import TcpSocket

_SCOPE = re.compile(
    r"https://(?:www\.googleapis\.com/auth/|mail\.google\.com/|www\.google\.com/|[a-z]+\.googleapis\.com/)"
)
"""The beginnings of all scopes that Google lists (https://developers.google.com/identity/protocols/oauth2/scopes)."""


_MOST_WATCHES = Path("/proc/sys/fs/inotify/max_user_watches")

_FEW = 3
"""Targets that a warning names."""
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
        "worker": [asdict(each) for each in list_worker_grants(loaded)],
    }


def plan_exchanges(loaded: LoadedConfiguration) -> dict[str, float]:
    """Return how many exchanges a minute are to be expected, by who makes them; of clients, one in each container.

    An identity without a pool causes none.
    """
    targets = [each for each in loaded.targets.values() if loaded.get_identity(each).via != "impersonation"]
    identities = {target.identity for target in targets}
    minting = {target.identity for target in targets if any(map(is_minted, list_optional(loaded, target)))}
    probes = compute_probe_intervals(loaded).items()
    return {
        "canary": sum(timedelta(minutes=1) / interval for name, interval in probes if name in identities),
        "artifacts": len(minting) / _ARTIFACT_RENEWAL,
        "clients": len(targets) / _CLIENT_RENEWAL,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerGrants:
    """What one of the worker's own accounts must hold, since identities without a pool are impersonated with it.

    Attributes:
        principal: The account, in words.
        find_account: The command that puts its e-mail into the variable `WORKER`.
        accounts: The service accounts that it acts as.
        commands: What grants the role on each account, and on each link of a chain of delegates.
    """

    principal: str
    find_account: str
    accounts: tuple[str, ...]
    commands: tuple[str, ...]


def list_worker_grants(loaded: LoadedConfiguration) -> Iterator[WorkerGrants]:
    """Return the grants that the worker's own accounts need, for each source of its credentials."""
    ways: dict[Path | None, dict[tuple[str, ...], None]] = {}
    for target in loaded.targets.values():
        identity = loaded.get_identity(target)
        if identity.via == "impersonation" and identity.service_account is not None:
            chains = ways.setdefault(identity.credentials, {})
            chains[(*identity.delegates, identity.service_account)] = None
    origin = build_endpoints(loaded).metadata
    for credentials, chains in ways.items():
        url = f"{origin}/computeMetadata/v1/instance/service-accounts/default/email"
        find = f"curl -s -H 'Metadata-Flavor: Google' {url}"
        if credentials is not None:
            find = f"jq -r .client_email {shlex.quote(str(credentials))}"
        links = {(member, to): None for chain in chains for member, to in pairwise(("$WORKER", *chain))}
        yield WorkerGrants(
            principal=own_principal(credentials),
            find_account=f"WORKER=$({find})",
            accounts=tuple(dict.fromkeys(chain[-1] for chain in chains)),
            commands=tuple(compose_grant_command(to, CREATOR_ROLE, f"serviceAccount:{member}") for member, to in links),
        )


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
    user = find_daemon_uid(loaded)
    for name, settings in loaded.configuration.suppliers.items():
        yield from list_supplier_faults(name, settings, user)
    yield from _list_environment_faults(loaded)
    yield from list_listen_faults(loaded)
    yield from _list_excess(loaded)
    yield from find_misnamed(loaded.configuration.targets_directory).values()
    yield from list_unrecorded(loaded)
    with suppress(OSError, ValueError):
        yield from list_unwatched(len(loaded.targets), int(_MOST_WATCHES.read_text(encoding="ascii")))


def list_unwatched(count: int, most: int) -> Iterator[RefresherError]:
    """Return a warning if the kernel allows fewer watches than there are targets (inotify(7))."""
    if count > most:
        yield ConfigurationError(
            f"{count} targets need as many watches, and {_MOST_WATCHES} allows {most}: what other processes change in "
            "their directories is noticed within seconds, not at once",
            f"sysctl fs.inotify.max_user_watches={2 * count}",
        )


def list_root_faults(loaded: LoadedConfiguration) -> Iterator[PublishError]:
    """Return why nothing could be written below the root now; a daemon that runs finds that out itself."""
    try:
        check_root(Path(loaded.configuration.directory_root))
    except PublishError as error:
        yield error


def list_unrecorded(loaded: LoadedConfiguration) -> Iterator[PublishError]:
    """Return a warning about each directory of an earlier version that belongs to no target."""
    root, reserved = Path(loaded.configuration.directory_root), loaded.reserved_names
    for name in () if reserved is None else retirement.list_unrecorded(root, reserved):
        yield PublishError(
            f"{root / name} holds credentials of an earlier version, no target record, and belongs to no target",
            f"remove it once no container uses it: rm -r {root / name}",
        )


def _list_environment_faults(loaded: LoadedConfiguration) -> Iterator[RefresherError]:
    """Return a warning about targets whose variables do not serve some clients, one for all of a kind."""
    both, unserved = [], []
    for name, target in loaded.targets.items():
        has_pool = loaded.get_identity(target).via != "impersonation"
        if target.environment == "both" and has_pool:
            both.append(name)
        elif target.environment == "files" and target.metadata is not None and not has_pool:
            unserved.append(name)
    if both:
        yield ConfigurationError(
            f"environment: both of {_name_few(both)}: object_store (obstore, polars, delta-rs, Lance) fails while "
            "GOOGLE_APPLICATION_CREDENTIALS is set",
            "set environment: metadata for containers that use it",
        )
    if unserved:
        yield ConfigurationError(
            f"env of {_name_few(unserved)} does not name the metadata endpoint, without which client libraries find "
            "no credentials",
            "set environment: metadata",
        )


def _name_few(names: list[str]) -> str:
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return f"{'target' if len(names) == 1 else 'targets'} {', '.join(names[:_FEW])}{more}"


def list_listen_faults(loaded: LoadedConfiguration) -> Iterator[RefresherError]:
    """Return why `listen` can't be listened on, and whether more than this machine reaches it."""
    address, group = loaded.configuration.listen, loaded.configuration.listen_group
    if address is None:
        return
    root = Path(loaded.configuration.directory_root)
    is_running = root.exists() and is_daemon_running(root)
    daemon = find_holder(root) if is_running else None
    try:
        check_address(address, group, is_taken=is_running is not False)
        if daemon is not None or is_running is False:
            yield from filter(None, [find_occupant(address, daemon)])
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


def _explain_target(loaded: LoadedConfiguration, target: ResolvedTarget) -> dict[str, Any]:
    identity = loaded.get_identity(target)
    supplier = loaded.get_supplier_name(identity)
    settings = None if supplier is None else loaded.configuration.suppliers[supplier]
    lifetime = runway = None
    if settings is None:
        lifetime = identity.lifetime or USUAL_ACCESS_TOKEN_LIFE
    elif settings.lifetime_range is not None and settings.configured_lifetime is not None:
        lifetime = settings.configured_lifetime
    if lifetime is not None:
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
        "kind": None if settings is None else settings.kind,
        "provider": None if settings is None else get_provider(loaded, settings).resource_name,
        "audience": None if settings is None else list_audiences(loaded, settings)[0],
        "directory": str(target.directory),
        "container_directory": target.container_directory,
        "owner": ("" if target.uid is None else str(target.uid)) + group or None,
        "mode": f"{stat.S_IMODE(target.mode):04o}",
        "artifacts": list_optional(loaded, target),
        "environment": target.environment,
        "metadata": target.metadata and target.metadata.model_dump(),
        "lifetime": lifetime and format_duration(lifetime),
        "least_runway": runway and format_duration(runway),
    }
