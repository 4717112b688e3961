"""From the configuration to the engine's targets: what to publish where, and which tokens belong there.

Reads no file but the list of published key ids. Suppliers are put together elsewhere (`refresher.app.suppliers`), so
that commands which mint nothing import none of them.
"""

import os
import shlex
from collections.abc import Hashable, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar, cast

from refresher import adc, environment, policy
from refresher.config.drop_ins import NOTHING
from refresher.config.loader import LoadedConfiguration
from refresher.config.targets import ResolvedTarget
from refresher.engine.artifacts import StaticArtifacts, TargetFacts, name_variables
from refresher.engine.plan import MintedArtifact, Target
from refresher.errors import KeysError
from refresher.keys.registry import published_key_ids
from refresher.publishing.artifacts import ACCESS_TOKEN, ARTIFACTS, DESCRIPTIONS, TOKEN, get_row, sort_for_writing
from refresher.publishing.atomic import Ownership
from refresher.publishing.directory import CredentialsDirectory, TargetRecord, compute_fingerprint
from refresher.resources import CLOUD_PLATFORM_SCOPE, Endpoints, Impersonation, WorkloadIdentityProvider
from refresher.suppliers.interface import SupplierContext, SupplierSettings
from refresher.tokens import JWT_TYPE, ExpectedClaims

H = TypeVar("H", bound=Hashable)
_NO_TARGETS: Mapping[str, ResolvedTarget] = {}
_OPAQUE = ExpectedClaims(is_jwt=False)
"""Of the access token that leads a directory without a pool."""


def build_endpoints(loaded: LoadedConfiguration) -> Endpoints:
    """Return where Google's services are for a configuration."""
    google = loaded.configuration.google
    return Endpoints.of_universe(google.universe_domain, **google.endpoints.model_dump())


def build_variables(loaded: LoadedConfiguration, target: ResolvedTarget) -> dict[str, str]:
    """Return the environment variables of one target."""
    identity = loaded.get_identity(target)
    return environment.variables(
        container_directory=target.container_directory,
        project=loaded.configuration.project,
        quota_project=identity.quota_project,
        files=name_variables(list_optional(loaded, target)),
        is_chain=bool(identity.delegates) or identity.via == "impersonation",
        has_document=identity.via != "impersonation",
        mode=target.environment,
        port=None if target.metadata is None else target.metadata.port,
    )


def list_optional(loaded: LoadedConfiguration, target: ResolvedTarget) -> list[str]:
    """Return the names of a target's optional artifacts, and of the access token that leads without a pool."""
    leading = [ACCESS_TOKEN] if loaded.get_identity(target).via == "impersonation" else []
    return sort_for_writing({*read_options(target), *leading})


def read_options(target: ResolvedTarget) -> dict[str, dict[str, object]]:
    """Return what a target asks for of each optional artifact, by its name, in the order of writing.

    A key of `artifacts` has the name of its row in the table; a map asks for one file of a folder for each of its keys.
    """
    found: dict[str, dict[str, object]] = {}
    for row in ARTIFACTS:
        wanted = getattr(target.artifacts, row.name) if row.is_optional else None
        if row.is_folder and wanted:
            found |= {f"{row.name}/{name}": options.model_dump() for name, options in wanted.items()}
        elif wanted:
            found[row.name] = {}
    return {name: found[name] for name in sort_for_writing(found)}


def build_targets(
    loaded: LoadedConfiguration,
    former: LoadedConfiguration | None = None,
    built: Mapping[str, Target] | None = None,
    facts: "SharedFacts | None" = None,
) -> dict[str, Target]:
    """Return the engine's targets of a configuration, by name; of the world it reads only the published key ids.

    Args:
        loaded: The configuration.
        former: An earlier load, after which no keys directory has changed.
        built: Its targets; those that are configured by the same objects are not built again.
        facts: What the targets of that load have in common, if its configuration is the same.
    """
    facts, is_shared, former_targets = facts or SharedFacts(loaded), _has_several_identities(loaded), _NO_TARGETS
    is_like = former is not None and former.configuration is loaded.configuration
    if former is not None and is_like and _has_several_identities(former) is is_shared:
        former_targets = former.targets
    return {
        name: built[name]
        if built and former_targets.get(name) is target and name in built
        else _build_target(loaded, target, facts, is_root_shared=is_shared)
        for name, target in loaded.targets.items()
    }


def _has_several_identities(loaded: LoadedConfiguration) -> bool:
    first = next(iter(loaded.targets.values()), None)
    return any(first is not None and target.identity != first.identity for target in loaded.targets.values())


class _SupplierFacts(NamedTuple):
    """What all targets of one supplier have in common."""

    settings: SupplierSettings
    provider: WorkloadIdentityProvider
    audience: str
    audiences: frozenset[str]
    key_ids: frozenset[str] | None
    jwks_command: str | None


class SharedFacts:
    """What many targets have in common, each worked out once: ten thousand copies would fill memory.

    It holds as long as the configuration is the same and no key has changed.
    """

    def __init__(self, loaded: LoadedConfiguration) -> None:
        self._values: dict[Hashable, Hashable] = {}
        self.loaded = loaded._replace(own={}, scanned=NOTHING, targets={}, warnings=())
        self.endpoints = build_endpoints(loaded)
        self.root = Path(loaded.configuration.directory_root)
        self.suppliers = {
            name: self._collect(loaded, name, settings) for name, settings in loaded.configuration.suppliers.items()
        }
        found = (None, *self.suppliers)  # None for targets without a pool
        self.collectors = {each: partial(_collect_facts, self, self.suppliers.get(each or "")) for each in found}

    def share(self, value: H) -> H:
        """Return an equal value of another target, if one has it."""
        return cast("H", self._values.setdefault(value, value))

    @staticmethod
    def _collect(loaded: LoadedConfiguration, name: str, settings: SupplierSettings) -> _SupplierFacts:
        audiences, directory = list_audiences(loaded, settings), settings.keys_directory
        return _SupplierFacts(
            settings=settings,
            provider=get_provider(loaded, settings),
            audience=audiences[0],
            audiences=frozenset(audiences),
            key_ids=None if directory is None else _read_key_ids(directory),
            jwks_command=compose_jwks_command(loaded, name),
        )


def _build_target(
    loaded: LoadedConfiguration, target: ResolvedTarget, facts: SharedFacts, *, is_root_shared: bool
) -> Target:
    identity = loaded.get_identity(target)
    name = loaded.get_supplier_name(identity)
    supplier = None if name is None else facts.suppliers[name]
    provider = None if supplier is None else supplier.provider
    token_type = JWT_TYPE if supplier is None else supplier.settings.token_type
    leading = ACCESS_TOKEN if supplier is None else TOKEN
    options = {artifact: asked for artifact, asked in read_options(target).items() if artifact != leading}
    static = StaticArtifacts(options, facts.collectors[name], target, has_pool=supplier is not None)
    expected, source = _OPAQUE, None
    if supplier is not None:
        expected = supplier.settings.expect_claims(identity.subject, supplier.audiences, supplier.key_ids)
        chosen = supplier.settings.subject_source(has_subject=identity.subject is not None)
        source = supplier.settings.kind, chosen, identity.source_service_account
    fingerprint = compute_fingerprint(
        subject=identity.subject, service_account=identity.service_account, via=identity.via, subject_source=source
    )
    way = Impersonation(
        provider=provider,
        subject=identity.subject,
        subject_token_type=token_type,
        service_account=identity.service_account,
        delegates=identity.delegates,
        scopes=facts.share(identity.scopes or (CLOUD_PLATFORM_SCOPE,)),
        lifetime=identity.lifetime,
        credentials=identity.credentials,
        quota_project=identity.quota_project,
        token_path=None if supplier is None else str(target.directory / TOKEN),
        jwks_command=None if supplier is None else supplier.jwks_command,
    )
    endpoint = None
    if target.metadata is not None:
        from refresher.app.endpoint_plans import build_endpoint

        endpoint = build_endpoint(loaded, target, way, fingerprint)
    return Target(
        name=target.name,
        supplier=name,
        context=SupplierContext(
            identity=target.identity,
            subject=identity.subject,
            audience="" if supplier is None else supplier.audience,
            source_service_account=identity.source_service_account,
        ),
        expected=expected,
        directory=CredentialsDirectory(
            root=facts.root,
            name=target.name,
            ownership=facts.share(Ownership(uid=target.uid, gid=target.gid, mode=target.mode)),
            random_name=_random_name,
            artifacts=facts.share(tuple(sort_for_writing({*static, DESCRIPTIONS, leading, *options}))),
            is_root_shared=is_root_shared,
        ),
        record=TargetRecord(target.name, target.identity, fingerprint),
        static=static,
        impersonation=way,
        minted=tuple(
            MintedArtifact(name=artifact, options=asked)
            for artifact, asked in options.items()
            if get_row(artifact).origin == "minted"
        ),
        metadata=endpoint,
    )


def _collect_facts(facts: SharedFacts, supplier: _SupplierFacts | None, target: ResolvedTarget) -> TargetFacts:
    """Return what the static artifacts of a target are built from."""
    document, identity = None, facts.loaded.get_identity(target)
    if supplier is not None:
        document = adc.adc_document(
            provider=supplier.provider,
            token_path=f"{target.container_directory.rstrip('/')}/{TOKEN}",
            service_account=identity.service_account,
            lifetime=identity.lifetime,
            quota_project=identity.quota_project,
            endpoints=facts.endpoints,
            subject_token_type=supplier.settings.token_type,
        )
    return TargetFacts(document, build_variables(facts.loaded, target), target.container_directory)


def compose_jwks_command(loaded: LoadedConfiguration, supplier: str) -> str | None:
    """Return the command that prints the keys that a supplier's provider needs; None if none are uploaded."""
    if not loaded.configuration.suppliers[supplier].uploads_keys:
        return None
    return f"refresher keys jwks --config {shlex.quote(str(loaded.path.absolute()))} --supplier {supplier} > jwks.json"


def compute_probe_intervals(loaded: LoadedConfiguration) -> dict[str, timedelta]:
    """Return how often the canary asks for each identity that has a target, by name; one that is off is left out."""
    usual, identities = loaded.configuration.canary, loaded.configuration.identities
    wanted: dict[str, timedelta] = {}
    for name in dict.fromkeys(target.identity for target in loaded.targets.values()):
        if interval := usual if (own := identities[name].canary) is None else own:
            wanted[name] = interval
    intervals = {each: policy.probe_interval(each, len(wanted)) for each in {*wanted.values()}}  # few differ
    return {name: intervals[interval] for name, interval in wanted.items()}


def get_provider(loaded: LoadedConfiguration, settings: SupplierSettings) -> WorkloadIdentityProvider:
    """Return the name of the provider that accepts a supplier's tokens."""
    provider = loaded.get_provider(settings)
    name = settings.provider or next(iter(loaded.configuration.providers))
    return WorkloadIdentityProvider(
        project_number=provider.project_number, pool=provider.pool, provider=provider.provider, name=name
    )


def list_audiences(loaded: LoadedConfiguration, settings: SupplierSettings) -> tuple[str, ...]:
    """Return the token audiences that the provider accepts, the one to ask for first."""
    allowed = loaded.get_provider(settings).audience
    provider = get_provider(loaded, settings)
    return (allowed,) if allowed is not None else (provider.token_audience, provider.sts_audience)


def _random_name() -> str:
    """Return 16 hex digits; one function for all, so that equal targets of two plans are equal."""
    return os.urandom(8).hex()


def _read_key_ids(directory: Path) -> frozenset[str] | None:
    """Return the published key ids; None if they cannot be read, so that no token counts as foreign for that."""
    try:
        return published_key_ids(directory)
    except KeysError:
        return None
