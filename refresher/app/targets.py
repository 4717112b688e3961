"""From the configuration to the engine's targets: what to publish where, and which tokens belong there.

Reads no file but the list of published key ids. Suppliers are put together elsewhere (`refresher.app.suppliers`), so
that commands which mint nothing import none of them.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from refresher import adc, environment
from refresher.config.supplier_models import (
    ClientCredentialsSettings,
    CommandSettings,
    FileSettings,
    GoogleAccessTokenSettings,
    GoogleIdTokenSettings,
    KubernetesSettings,
    SelfIssuedSettings,
    SignJwtSettings,
)
from refresher.engine.target import AccessTokenRequest, IdTokenRequest, MintedArtifact, Target
from refresher.errors import KeysError
from refresher.keys.registry import published_key_ids
from refresher.publishing.directory import CredentialsDirectory
from refresher.publishing.further import ACCESS_TOKEN, BOTO, ID_TOKENS
from refresher.publishing.ownership import Ownership
from refresher.resources import CLOUD_PLATFORM_SCOPE, Endpoints, Impersonation, WorkloadIdentityProvider
from refresher.suppliers.interface import SupplierContext
from refresher.tokens import ExpectedClaims

if TYPE_CHECKING:
    from collections.abc import Mapping

    from refresher.config.loading import LoadedConfiguration
    from refresher.config.models import IdentitySettings
    from refresher.config.supplier_models import SupplierSettings
    from refresher.config.targets import ResolvedTarget

GOOGLE_ISSUER = "https://accounts.google.com"

_NEVER_WHOSE = {"timeout", "lifetime"}
"""Keys of suppliers that say nothing of whose tokens they supply."""


def endpoints_of(loaded: LoadedConfiguration) -> Endpoints:
    """Give where Google's services are for a configuration."""
    google = loaded.configuration.google
    return Endpoints.of_universe(
        google.universe_domain,
        sts=google.endpoints.sts,
        iam_credentials=google.endpoints.iam_credentials,
        cloud_kms=google.endpoints.cloud_kms,
        metadata=google.endpoints.metadata,
    )


def document_of(loaded: LoadedConfiguration, target: ResolvedTarget, endpoints: Endpoints) -> dict[str, object]:
    """Give the ADC document of one target."""
    identity = loaded.identity_of(target)
    supplier = _supplier_settings(loaded, identity)
    return adc.adc_document(
        provider=provider_of(loaded, supplier),
        token_path=f"{target.container_directory.rstrip('/')}/token",
        service_account=identity.service_account,
        lifetime=identity.lifetime,
        quota_project=identity.quota_project,
        endpoints=endpoints,
        subject_token_type=_token_type(supplier),
    )


def variables_of(loaded: LoadedConfiguration, target: ResolvedTarget) -> dict[str, str]:
    """Give the environment variables of one target."""
    identity = loaded.identity_of(target)
    return environment.variables(
        container_directory=target.container_directory,
        project=loaded.configuration.project,
        quota_project=identity.quota_project,
        further=further_of(target),
        is_chain=bool(identity.delegates) or identity.via == "impersonation",
    )


def further_of(target: ResolvedTarget) -> tuple[str, ...]:
    """Name the further artifacts of a target."""
    return (*(artifact.name for artifact in _minted(target)), *([BOTO] if target.artifacts.boto else []))


def targets_of(loaded: LoadedConfiguration) -> dict[str, Target]:
    """Give the engine's targets of a configuration, by name; of the world it reads only the published key ids."""
    endpoints = endpoints_of(loaded)
    keys = {
        name: _published(settings.keys)
        for name, settings in loaded.configuration.suppliers.items()
        if isinstance(settings, SelfIssuedSettings) and settings.keys is not None
    }
    return {name: _target(loaded, target, endpoints, keys) for name, target in loaded.targets.items()}


def _target(
    loaded: LoadedConfiguration,
    target: ResolvedTarget,
    endpoints: Endpoints,
    keys: Mapping[str, frozenset[str] | None],
) -> Target:
    identity = loaded.identity_of(target)
    supplier_name = loaded.supplier_name_of(identity)
    settings = _supplier_settings(loaded, identity)
    audiences = audiences_of(loaded, settings)
    expected = _expected(settings, identity, frozenset(audiences), keys.get(supplier_name))
    context = SupplierContext(
        identity=target.identity,
        subject=identity.subject,
        audience=audiences[0],
        source_service_account=identity.source_service_account,
    )
    return Target(
        name=target.name,
        supplier=supplier_name,
        context=context,
        expected=expected,
        directory=CredentialsDirectory(
            root=Path(loaded.configuration.directory_root),
            path=target.directory,
            ownership=Ownership(uid=target.uid, gid=target.gid, mode=target.mode),
            random_name=_random_name,
            further=further_of(target),
        ),
        credentials=adc.render(document_of(loaded, target, endpoints)),
        environment=environment.render(variables_of(loaded, target)).encode(),
        impersonation=_impersonation(loaded, identity, settings),
        token_request=_token_request(settings, context) if expected.subject is None else None,
        boto=environment.boto(target.container_directory) if target.artifacts.boto else None,
        minted=_minted(target),
    )


def _impersonation(
    loaded: LoadedConfiguration, identity: IdentitySettings, settings: SupplierSettings
) -> Impersonation:
    return Impersonation(
        provider=provider_of(loaded, settings),
        subject=identity.subject,
        subject_token_type=_token_type(settings),
        service_account=identity.service_account,
        delegates=identity.delegates,
        scopes=identity.scopes or (CLOUD_PLATFORM_SCOPE,),
        lifetime=identity.lifetime,
        is_own=identity.via == "impersonation",
        credentials=identity.credentials,
    )


def _token_request(settings: SupplierSettings, context: SupplierContext) -> str:
    """Give what differs for any other source of tokens, or anybody else's, 16 hex digits."""
    source = settings.model_dump(mode="json", exclude=_NEVER_WHOSE)
    asked = json.dumps([source, asdict(context)], sort_keys=True)
    return hashlib.sha256(asked.encode()).hexdigest()[:16]


def _minted(target: ResolvedTarget) -> tuple[MintedArtifact, ...]:
    wanted = [MintedArtifact(name=ACCESS_TOKEN, request=AccessTokenRequest())] if target.artifacts.access_token else []
    for name, settings in target.artifacts.id_tokens.items():
        request = IdTokenRequest(audience=settings.audience, include_email=settings.include_email)
        wanted.append(MintedArtifact(name=f"{ID_TOKENS}/{name}", request=request))
    return tuple(wanted)


def _token_type(settings: SupplierSettings) -> str:
    return adc.ACCESS_TOKEN_TYPE if isinstance(settings, GoogleAccessTokenSettings) else adc.JWT_TYPE


def _expected(
    settings: SupplierSettings, identity: IdentitySettings, audiences: frozenset[str], key_ids: frozenset[str] | None
) -> ExpectedClaims:
    """Say which claims a supplier's tokens must have; what somebody else mints is held to what is configured."""
    match settings:
        case SelfIssuedSettings():
            return ExpectedClaims(
                issuer=settings.issuer,
                subject=identity.subject,
                audiences=audiences,
                key_ids=key_ids,
                maximum_lifetime=settings.lifetime,
            )
        case GoogleIdTokenSettings():
            return ExpectedClaims(issuer=GOOGLE_ISSUER, subject=identity.subject, audiences=audiences)
        case GoogleAccessTokenSettings():
            return ExpectedClaims(is_jwt=False)
        case SignJwtSettings():
            return ExpectedClaims(
                issuer=settings.issuer,
                subject=identity.subject,
                audiences=audiences,
                maximum_lifetime=settings.lifetime,
            )
        case FileSettings() | CommandSettings() | ClientCredentialsSettings() | KubernetesSettings():
            return ExpectedClaims(issuer=settings.issuer, subject=identity.subject, audiences=audiences)
        case _:
            raise NotImplementedError(settings.kind)


def _supplier_settings(loaded: LoadedConfiguration, identity: IdentitySettings) -> SupplierSettings:
    return loaded.configuration.suppliers[loaded.supplier_name_of(identity)]


def provider_of(loaded: LoadedConfiguration, settings: SupplierSettings) -> WorkloadIdentityProvider:
    """Give the name of the provider that accepts a supplier's tokens."""
    provider = loaded.provider_of(settings)
    return WorkloadIdentityProvider(
        project_number=provider.project_number, pool=provider.pool, provider=provider.provider
    )


def audiences_of(loaded: LoadedConfiguration, settings: SupplierSettings) -> tuple[str, ...]:
    """Give the token audiences that the provider accepts, the one to ask for first."""
    allowed = loaded.provider_of(settings).audience
    provider = provider_of(loaded, settings)
    return (allowed,) if allowed is not None else (provider.token_audience, provider.sts_audience)


def _random_name() -> str:
    """Give 16 hex digits; one function for all, so that equal targets of two plans are equal."""
    return secrets.token_hex(8)


def _published(directory: Path) -> frozenset[str] | None:
    """Give the published key ids; None if they cannot be told, so that no token is called foreign for that."""
    try:
        return published_key_ids(directory)
    except KeysError:
        return None
