"""How each artifact of the table comes about: what builds a static one, and what mints one through the chain.

`refresher.publishing.artifacts` lists the artifacts in the order of writing. A new one is a row
there, a row here, and a key of the configuration; a test holds the three together.
"""

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Generic, NamedTuple, TypeVar

from refresher import adc, environment
from refresher.durations import format_time
from refresher.engine.plan import Chain, MintedArtifact, Target
from refresher.errors import ImpersonationError
from refresher.publishing.artifacts import ACCESS_TOKEN, ARTIFACTS, BOTO, CREDENTIALS, ENVIRONMENT, ID_TOKENS, get_row
from refresher.publishing.contents import Description, describe
from refresher.resources import Impersonation
from refresher.tokens import MAXIMUM_SIZE, AccessToken, SubjectToken, UnreadableTokenError, peek

T = TypeVar("T")

_USUAL_LIFE = timedelta(hours=1)
"""Of access tokens if no lifetime is asked for."""
_CLOCK_AHEAD = "clock-ahead"
_CHECK_ADDRESS = "check that this address really is Google's API (proxy, DNS, `google.endpoints`)"


class TargetFacts(NamedTuple):
    """What static artifacts are built from.

    Attributes:
        document: The ADC document; None without a pool.
        variables: The lines of `env`, by name.
        container_directory: Where the container mounts its credentials directory.
    """

    document: Mapping[str, object] | None
    variables: Mapping[str, str]
    container_directory: str


_KEY = re.compile(r"[A-Za-z_][\w.]{0,127}", re.ASCII)
"""A name that may be shown: a file that another process wrote can hold anything."""

STATIC: Mapping[str, Callable[[TargetFacts], bytes]] = {
    CREDENTIALS: lambda facts: adc.render(dict(facts.document or {})),
    BOTO: lambda facts: environment.boto(facts.container_directory),
    ENVIRONMENT: lambda facts: environment.render(facts.variables).encode(),
}
"""What builds each static artifact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MintedToken:
    """What a minted artifact is to hold: a secret, so it is in no repr, and its life in UTC."""

    content: bytes = field(repr=False)
    issued_at: datetime
    expires_at: datetime


class Minting(NamedTuple):
    """What an artifact is minted with: the calls, the way to the service account, a federated token, and the time."""

    chain: Chain
    way: Impersonation
    federated: AccessToken
    now: datetime


def _mint_access_token(minting: Minting, _options: Mapping[str, object]) -> MintedToken:
    """Mint an access token, which ends by Google's clock: of one that is ahead no life is left, or it seems shorter.

    By a clock that is behind it would seem to live longer than it does, and would be replaced after its end.
    """
    grant = minting.chain.access_token(minting.way, minting.federated)
    if grant.expires_at <= minting.now:
        from refresher.catalogue.entries import get_remedy  # noqa: PLC0415 - `status` mints nothing, and is quick

        error = ImpersonationError(
            f"the access token of {minting.way.service_account} was minted just now, and expired at "
            f"{format_time(grant.expires_at)} by this machine's clock, which is ahead of Google's",
            get_remedy(_CLOCK_AHEAD),
            retryable=True,
        )
        error.entry = _CLOCK_AHEAD
        raise error
    most = minting.now + (minting.way.lifetime or _USUAL_LIFE)
    return MintedToken(content=grant.value.encode(), issued_at=minting.now, expires_at=min(grant.expires_at, most))


def _mint_id_token(minting: Minting, options: Mapping[str, object]) -> MintedToken:
    token = minting.chain.id_token(
        minting.way, str(options["audience"]), minting.federated, include_email=bool(options["include_email"])
    )
    try:
        read = peek(token)
    except UnreadableTokenError as error:
        raise ImpersonationError(
            f"the ID token of {minting.way.service_account} is not a JWT: {error}",
            _CHECK_ADDRESS,
            retryable=True,
        ) from error
    return MintedToken(content=token.encode(), issued_at=read.issued_at, expires_at=read.expires_at)


MINTED: Mapping[str, Callable[[Minting, Mapping[str, object]], MintedToken]] = {
    ACCESS_TOKEN: _mint_access_token,
    ID_TOKENS: _mint_id_token,
}
"""What mints each minted artifact; each raises an `ImpersonationError`."""


class StaticArtifacts(Mapping[str, bytes], Generic[T]):
    """The bytes of every static artifact of a target, in the order of writing, each built when it is asked for.

    Of a large fleet they would be megabytes, and a target's are compared with its files twice an hour.

    Args:
        names: The optional artifacts that it has.
        has_pool: Whether it has a workload identity pool.
        collect: Returns what they are built from; one function for many targets.
        target: What it is called with.
    """

    __slots__ = ("_collect", "_names", "_target")

    def __init__(
        self, names: Collection[str], collect: Callable[[T], TargetFacts], target: T, *, has_pool: bool
    ) -> None:
        self._names = _list_static(frozenset(names), has_pool=has_pool)
        self._collect = collect
        self._target = target

    def __getitem__(self, name: str) -> bytes:
        if name not in self._names:
            raise KeyError(name)
        return STATIC[name](self._collect(self._target))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@lru_cache  # few differ
def _list_static(wanted: frozenset[str], *, has_pool: bool) -> tuple[str, ...]:
    return tuple(
        row.name
        for row in ARTIFACTS
        if row.origin == "static" and (not row.is_optional or row.name in wanted) and (not row.needs_pool or has_pool)
    )


def build_static(names: Collection[str], facts: TargetFacts) -> dict[str, bytes]:
    """Return the static artifacts of a target with these optional artifacts; see `StaticArtifacts`."""
    return dict(StaticArtifacts(names, lambda each: each, facts, has_pool=facts.document is not None))


def mint(artifact: MintedArtifact, minting: Minting) -> MintedToken:
    """Mint what one artifact is to hold.

    Raises:
        ImpersonationError: IAM Credentials refused, did not answer, or returned what could not be read back.
    """
    minted = MINTED[get_row(artifact.name).name](minting, artifact.options)
    if len(minted.content) > MAXIMUM_SIZE:
        raise ImpersonationError(
            f"{artifact.name} of {minting.way.service_account} has {len(minted.content)} bytes, "
            f"more than {MAXIMUM_SIZE}",
            _CHECK_ADDRESS,
            retryable=True,
        )
    return minted


_UNASKED = ("token_path", "quota_project")
"""Facts of the way that change nothing that is minted: they are for remedies, and for what clients send."""


def compute_request(artifact: MintedArtifact, way: Impersonation) -> str:
    """Return what differs for anything else that could be asked for, 16 hex digits."""
    facts = {name: value for name, value in asdict(way).items() if name not in _UNASKED}
    asked = json.dumps([artifact.name, dict(artifact.options), facts], default=str, sort_keys=True)
    return hashlib.sha256(asked.encode()).hexdigest()[:16]


LEADING_ACCESS_TOKEN = MintedArtifact(name=ACCESS_TOKEN)
"""The access token of a target without a pool, which leads its directory."""


def select_descriptions(
    target: Target, present: Mapping[str, Description], token: SubjectToken
) -> dict[str, Description]:
    """Return the entries that `artifacts.json` is to have next to a token, of those that are `present`.

    They are those of optional artifacts that are still asked for, and one of the token if it does not show its life.
    """
    minted, way = {artifact.name for artifact in target.minted}, target.impersonation
    wanted = {name: entry for name, entry in present.items() if name in minted}
    if token.unverified_claims is None:
        request = compute_request(LEADING_ACCESS_TOKEN, way) if way.is_own else None
        life = token.issued_at, token.expires_at
        wanted[target.leading] = describe(token.value.encode(), *life, request, leads=way.is_own)
    return wanted


def name_variables(names: Iterable[str]) -> dict[str, str]:
    """Return the variables of `env` that hold the paths of optional artifacts, each with the artifact's name."""
    found = {}
    for name in names:
        row = get_row(name)
        suffix = re.sub("[^A-Z0-9]", "_", name.partition("/")[2].upper()) if row.is_folder else ""
        found[row.variable + suffix] = name
    return found


def list_changed_keys(former: bytes, present: bytes) -> tuple[str, ...]:
    """Return the keys whose values differ in two contents of a static artifact, sorted; names and never values.

    A key is a variable of `env`, an option of `boto`, or one of `credentials.json`, such as `credential_source.file`.
    """
    before, now = _read_values(former), _read_values(present)
    return tuple(
        sorted(key for key in before.keys() | now.keys() if _KEY.fullmatch(key) and before.get(key) != now.get(key))
    )


def _read_values(content: bytes) -> dict[str, str]:
    """Return the values of a document, or of lines of names and values, as texts; of any other content nothing."""
    text = content.decode(errors="replace")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        lines = (line.partition("=") for line in text.splitlines())
        return {name.strip(): value for name, sign, value in lines if sign}
    found: dict[str, str] = {}
    for key, value in document.items():
        inner = value if isinstance(value, dict) else {"": value}
        found |= {f"{key}.{name}" if name else key: repr(each) for name, each in inner.items()}
    return found
