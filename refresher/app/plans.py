"""The plan follows the configuration: loaded again when a file that it came from changes.

A changed configuration that cannot be used is refused once, and the former plan holds. Suppliers are kept as long as
their settings and keys are, so that an added target reads no key again and shares tokens as before.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from refresher import __version__
from refresher.app.explanation import list_faults
from refresher.app.keys import list_trials
from refresher.app.refresh_faults import keeps_from_renewing, list_refresh_faults
from refresher.app.suppliers import Once, build_suppliers, open_workshop
from refresher.app.targets import SharedFacts, build_targets, compute_probe_intervals
from refresher.config.drop_ins import SUFFIX
from refresher.config.loader import LoadedConfiguration, load, read_signature, rescan
from refresher.engine.plan import Plan, Probe, Target
from refresher.engine.watcher import Watched
from refresher.files import read_state
from refresher.keys.registry import REGISTRY
from refresher.observe.sockets import ListenError
from refresher.resources import Impersonation
from refresher.settings.places import InvalidConfigurationError, Problem
from refresher.settings.values import Listen
from refresher.suppliers.interface import Supplier, Workshop

if TYPE_CHECKING:
    from refresher.google.call import Response, Transport
    from refresher.google.chain import GoogleChain

_LOCAL_THREADS = 4
"""For suppliers without calls: more threads only wait for each other (the interpreter's lock, the disk's journal)."""
_REMOTE_THREADS = 16
"""For suppliers that wait for an answer most of the time."""

CANARY_AGENT = f"wif-refresher/{__version__} (canary)"
"""The User-Agent of probes, by which a filter of audit logs leaves them out."""
_PROBE_SCOPE = "https://www.googleapis.com/auth/userinfo.email"
_PROBE_LIFETIME = timedelta(seconds=1)
"""The shortest life of an access token that IAM Credentials grants."""
_QUOTA_SCOPE = "https://www.googleapis.com/auth/iam"
_QUOTA_LIFETIME = timedelta(minutes=1)


def build_plan(
    loaded: LoadedConfiguration,
    workshop: Workshop,
    suppliers: Mapping[str, Supplier],
    problems: tuple[Problem, ...] = (),
    *,
    targets: Mapping[str, Target] | None = None,
    is_reloaded: bool = True,
) -> Plan:
    """Return the plan of a configuration with its suppliers by name.

    The workshop is for what mints optional artifacts and tries keys; `problems` keep the main file from being used;
    `targets` are those of the configuration if they are built already.
    """
    kinds = loaded.configuration.suppliers
    local = frozenset(name for name, each in kinds.items() if each.is_local)
    return Plan(
        root=Path(loaded.configuration.directory_root),
        targets=build_targets(loaded) if targets is None else targets,
        suppliers=suppliers,
        chain=Once(partial(build_chain, workshop)).get,
        trials=tuple(list_trials(loaded, workshop)),
        probe=build_probe(workshop),
        probe_intervals=compute_probe_intervals(loaded),
        threads={name: _LOCAL_THREADS if name in local else _REMOTE_THREADS for name in kinds},
        local=local,
        reserved=loaded.reserved_names,
        identities=frozenset(loaded.configuration.identities),
        complaints=_describe(loaded.drop_in_problems),
        list_warnings=partial(_list_warnings, loaded),
        list_threats=partial(list_refresh_faults, loaded),
        is_reloaded=is_reloaded and not problems,
        refusal=_describe(problems),
        is_empty_fine=loaded.configuration.targets_directory is not None,
    )


def _list_warnings(loaded: LoadedConfiguration) -> tuple[tuple[str, str], ...]:
    """Return what is unwise; what keeps suppliers from renewing is looked for again and again, by `list_threats`."""
    reported = (each for each in list_faults(loaded) if not keeps_from_renewing(each))
    faults = (each for each in reported if not isinstance(each, ListenError))  # the server reports its own
    return _describe(loaded.warnings) + tuple((each.problem, each.remedy) for each in faults)


def _describe(problems: Iterable[Problem]) -> tuple[tuple[str, str], ...]:
    return tuple((f"{found.location}: {found.problem}", found.remedy) for found in problems)


class _NamedTransport:
    """A transport whose calls have a User-Agent of their own."""

    def __init__(self, create: Callable[[], "Transport"], agent: str) -> None:
        self._transport = create()
        self._agent = agent

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> "Response":
        """Make one call as the transport does."""
        return self._transport.request(method, url, headers={**(headers or {}), "User-Agent": self._agent}, body=body)


def build_chain(workshop: Workshop, transport: Callable[[], "Transport"] | None = None) -> "GoogleChain":
    """Return what mints optional artifacts; with a transport of its own, what asks as a client would."""
    from refresher.google.chain import GoogleChain
    from refresher.google.source_credentials import fetch_member

    return GoogleChain(
        transport=transport or workshop.transport,
        endpoints=workshop.endpoints,
        own=lambda credentials, now: workshop.open_credentials(credentials).access_token(now),
        names_quota_project=transport is not None,
        worker=lambda path: fetch_member(path, workshop.transport(), metadata=workshop.endpoints.metadata),
    )


def build_probe(workshop: Workshop) -> Probe:
    """Return what the canary asks with: the usual chain under a name of its own; what it mints is worth nothing."""
    named = Once(partial(_NamedTransport, workshop.transport, CANARY_AGENT)).get
    chain = Once(partial(build_chain, workshop, named)).get

    def probe(way: Impersonation, subject_token: str, now: datetime) -> None:
        narrow = replace(way, scopes=(_PROBE_SCOPE,), lifetime=_PROBE_LIFETIME)
        if way.quota_project is not None:  # the call that proves it needs a scope, and a token that still lives
            narrow = replace(way, scopes=(_PROBE_SCOPE, _QUOTA_SCOPE), lifetime=_QUOTA_LIFETIME)
        granted = chain().access_token(narrow, chain().exchange(narrow, subject_token, now))
        chain().prove_quota_project(narrow, granted)

    return probe


class _Look(NamedTuple):
    """What changes with everything that a plan comes from."""

    keys: Mapping[str, object]
    main: object
    drop_ins: Mapping[str, object]


class ConfiguredPlans:
    """The plans of one configuration file; asked by one thread."""

    def __init__(self, path: Path, loaded: LoadedConfiguration) -> None:
        self._path = path
        self._loaded = loaded
        self._refused: InvalidConfigurationError | None = None
        self._workshop = open_workshop(loaded)
        self._suppliers: Mapping[str, Supplier] | None = None
        self._targets: Mapping[str, Target] = {}
        self._facts: SharedFacts | None = None
        self._seen = self._look()
        self._keys: object = None

    @property
    def listen(self) -> tuple[Listen, str | None]:
        """Where the configuration in force wants HTTP answered, and the group that may ask there."""
        return self._loaded.configuration.listen, self._loaded.configuration.listen_group

    def poll(self, *, force: bool, changed: Collection[str] | None = None) -> Plan | None:
        """Return the plan if it is the first, if anything changed, or in any case with `force`; else None.

        If only drop-ins of the names `changed` may have changed since the last poll, nothing else is looked at.
        """
        former, was_refused = self._loaded, self._refused is not None
        if changed is not None and self._suppliers is not None and not force:
            self._loaded = rescan(former, changed)
            if self._loaded.scanned.states == former.scanned.states:
                return None
            self._seen = self._seen._replace(drop_ins=self._loaded.scanned.states)
        else:
            # at the first poll too: a while may have passed since the configuration was loaded
            look = self._look()
            if self._suppliers is not None and not force and look == self._seen:
                return None
            self._load_until_still(look)
        keys = _read_key_states(self._loaded)
        was, now = former.configuration, self._loaded.configuration
        is_same = keys == self._keys and (was.suppliers, was.google) == (now.suppliers, now.google)
        if self._suppliers is None or force or not is_same:
            self._workshop = open_workshop(self._loaded)
            self._suppliers = build_suppliers(self._loaded, self._workshop)
        if self._facts is None or force or was is not now or keys != self._keys:
            self._facts = SharedFacts(self._loaded)
        kept = former if self._targets and keys == self._keys else None
        self._targets = build_targets(self._loaded, kept, self._targets, self._facts)
        self._keys = keys
        problems = self._refused.problems if self._refused else ()
        is_other = (was is not now and was != now) or not _has_same_bodies(former, self._loaded)
        is_reloaded = force or is_other or was_refused
        return build_plan(
            self._loaded, self._workshop, self._suppliers, problems, targets=self._targets, is_reloaded=is_reloaded
        )

    @property
    def watched(self) -> dict[Path, Watched]:
        """The directories of everything that the present plan comes from, and what matters there."""
        files = [*self._loaded.files, *(self._refused.files if self._refused else ())]
        for directory in _list_keys_directories(self._loaded).values():
            files += [directory / REGISTRY, *_list_key_files(directory)]
        names: dict[Path, set[str]] = {}
        for file in files:
            names.setdefault(file.parent, set()).add(file.name)
        drop_ins = self._loaded.configuration.targets_directory
        if drop_ins is not None:
            names.setdefault(Path(drop_ins), set())
        suffix = {str(drop_ins): SUFFIX}
        return {path: Watched(frozenset(each), suffix.get(str(path))) for path, each in names.items()}

    @property
    def directories(self) -> tuple[Path, AbstractSet[str]]:
        """The directory root, and the names of the directories in it."""
        return Path(self._loaded.configuration.directory_root), self._loaded.targets.keys()

    def _load_until_still(self, look: _Look) -> None:
        """Load and remember how all looked before: what changes under the reading shows as a difference later."""
        for _ in range(2):  # the second load knows the files that the first one found included
            self._seen = look
            try:
                self._loaded, self._refused = load(self._path, previous=self._loaded), None
            except InvalidConfigurationError as error:
                # the former main file holds, with the drop-ins as they are
                self._loaded, self._refused = rescan(self._loaded), error
            if (look := self._look()) == self._seen:
                return

    def _look(self) -> _Look:
        also = self._refused.files if self._refused else ()
        return _Look(_read_key_states(self._loaded), *read_signature(self._loaded, also))


def _has_same_bodies(former: LoadedConfiguration, loaded: LoadedConfiguration) -> bool:
    """Return whether each target is what it was, wherever it is written."""
    if former.targets.keys() != loaded.targets.keys():
        return False
    pairs = ((former.targets[name], target) for name, target in loaded.targets.items())
    return all(was is now or was._replace(location="") == now._replace(location="") for was, now in pairs)


def _read_key_states(loaded: LoadedConfiguration) -> dict[str, object]:
    """Return what changes with the keys of each self-issuing supplier, and with who may read their directory."""
    found: dict[str, object] = {}
    for name, directory in _list_keys_directories(loaded).items():
        state = read_state(directory)
        about = None if state is None else (state.mode, state.uid)
        found[name] = read_state(directory / REGISTRY), about, tuple(map(read_state, _list_key_files(directory)))
    return found


def _list_key_files(directory: Path) -> list[Path]:
    """Return the files of keys, whose mode and owner decide whether they may be used; none where they can't be seen."""
    try:
        return sorted(path for path in directory.iterdir() if path.suffix == ".pem")
    except OSError:
        return []


def _list_keys_directories(loaded: LoadedConfiguration) -> dict[str, Path]:
    """Return the keys directories of self-issuing suppliers, by supplier."""
    suppliers = loaded.configuration.suppliers.items()
    return {name: each.keys_directory for name, each in suppliers if each.keys_directory is not None}
