"""From the configuration to suppliers, each built when its first token is wanted.

The only place where a kind of supplier becomes an object; the match is exhaustive. What cannot be built (a key that is
missing, credentials that do not load) is a failure of supply: its targets keep what they have and are tried again.
"""

from __future__ import annotations

import os
import secrets
from functools import partial
from typing import TYPE_CHECKING

from refresher.app.connections import Once
from refresher.app.targets import endpoints_of
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
from refresher.errors import RefresherError, SupplyError, UsageError
from refresher.resources import own_principal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime
    from pathlib import Path

    from refresher.app.connections import Connections
    from refresher.config.loading import LoadedConfiguration
    from refresher.config.supplier_models import SupplierSettings
    from refresher.google.cloud_kms import KmsKey
    from refresher.google.source_credentials import SourceCredential
    from refresher.google.transport import Transport
    from refresher.resources import Endpoints
    from refresher.suppliers.claims import ClaimsTemplate
    from refresher.suppliers.interface import Supplier, SupplierContext
    from refresher.tokens import SubjectToken


_LOCAL_THREADS = 3
"""For suppliers that ask nobody: more of them only wait for each other (the interpreter's lock, the disk's journal)."""

_REMOTE_THREADS = 16
"""For suppliers that wait for an answer most of the time."""


def threads_of(settings: SupplierSettings) -> int:
    """Give how many targets of a supplier are worked on at a time."""
    is_local = isinstance(settings, FileSettings) or (isinstance(settings, SelfIssuedSettings) and not settings.signer)
    return _LOCAL_THREADS if is_local else _REMOTE_THREADS


def suppliers_of(loaded: LoadedConfiguration, connections: Connections) -> dict[str, Supplier]:
    """Give the suppliers of a configuration, by name; none is built yet."""
    endpoints = endpoints_of(loaded)
    return {
        name: supplier_of(settings, endpoints, connections) for name, settings in loaded.configuration.suppliers.items()
    }


def supplier_of(settings: SupplierSettings, endpoints: Endpoints, connections: Connections) -> DeferredSupplier:
    """Give one supplier, not built yet."""
    return DeferredSupplier(partial(_build, settings, endpoints, connections))


class DeferredSupplier:
    """A supplier that is built when its first token is wanted, and again as long as that fails."""

    def __init__(self, build: Callable[[], Supplier]) -> None:
        self._built = Once(build)

    def supply(self, context: SupplierContext, now: datetime) -> SubjectToken:
        """Supply as the supplier does.

        Raises:
            SupplyError: As the supplier does, because it cannot be built, or for a bug in it.
        """
        try:
            return self._built.get().supply(context, now)
        except SupplyError:
            raise
        except RefresherError as error:
            raise SupplyError(error.problem, error.remedy) from error
        except Exception as bug:  # noqa: BLE001 - around one target's supply: its bug must not take the others down
            # no cause: the text of a foreign exception may quote a token
            raise SupplyError(
                f"identity {context.identity}: the supplier failed unexpectedly ({type(bug).__name__})",
                "report this as a bug, with the configuration of the supplier",
            ) from None


def _build(  # noqa: PLR0911 - one for each kind
    settings: SupplierSettings, endpoints: Endpoints, connections: Connections
) -> Supplier:
    match settings:
        case SelfIssuedSettings():
            return _self_issued(settings, endpoints, connections)
        case GoogleIdTokenSettings():
            return _google_id_token(settings, endpoints, connections())
        case GoogleAccessTokenSettings():
            from refresher.suppliers.google_access_token import GoogleAccessTokenSupplier

            return GoogleAccessTokenSupplier(source=source_of(settings.credentials, endpoints, connections()))
        case FileSettings():
            from refresher.suppliers.file import FileSupplier

            return FileSupplier(path=settings.path)
        case CommandSettings():
            from refresher.suppliers.command import CommandSupplier

            return CommandSupplier(
                argv=settings.argv, timeout=settings.timeout, environment=_handed_on(settings.environment)
            )
        case SignJwtSettings():
            return _sign_jwt(settings, endpoints, connections())
        case ClientCredentialsSettings():
            return _client_credentials(settings, connections())
        case KubernetesSettings():
            return _kubernetes(settings, connections)
        case _:
            raise NotImplementedError(settings.kind)


def _self_issued(settings: SelfIssuedSettings, endpoints: Endpoints, connections: Connections) -> Supplier:
    if settings.keys is None:
        from refresher.suppliers.kms_signed import KmsSignedSupplier

        key, source = kms_key_of(settings, endpoints, connections())
        return KmsSignedSupplier(key=key, source=source, claims=claims_of(settings))
    from refresher.keys.directory import load_signing_key
    from refresher.suppliers.self_issued import SelfIssuedSupplier

    return SelfIssuedSupplier(key=load_signing_key(settings.keys), claims=claims_of(settings))


def kms_key_of(
    settings: SelfIssuedSettings, endpoints: Endpoints, transport: Transport
) -> tuple[KmsKey, SourceCredential]:
    """Give the key in Cloud KMS that a supplier signs with, and whose credentials ask for it.

    Raises:
        UsageError: It signs with keys of its own.
    """
    from refresher.google.cloud_kms import KmsKey

    if settings.signer is None:
        raise UsageError("this supplier signs with keys of its own", "name one with signer: {kms: …}")
    key = KmsKey(
        version=settings.signer.kms,
        transport=transport,
        endpoints=endpoints,
        caller=own_principal(settings.credentials),
    )
    return key, source_of(settings.credentials, endpoints, transport)


def _sign_jwt(settings: SignJwtSettings, endpoints: Endpoints, transport: Transport) -> Supplier:
    from refresher.suppliers.sign_jwt import SignJwtSupplier

    return SignJwtSupplier(
        transport=transport,
        endpoints=endpoints,
        source=source_of(settings.credentials, endpoints, transport),
        service_account=settings.service_account,
        claims=claims_of(settings),
    )


def _client_credentials(settings: ClientCredentialsSettings, transport: Transport) -> Supplier:
    from refresher.suppliers.client_credentials import (
        Client,
        ClientCredentialsSupplier,
        secret_of_file,
        secret_of_variable,
    )

    secret = (
        partial(secret_of_variable, settings.secret_variable or "", os.environ)
        if settings.secret_file is None
        else partial(secret_of_file, settings.secret_file)
    )
    return ClientCredentialsSupplier(
        transport=transport,
        issuer=settings.issuer,
        token_url=settings.token_url,
        client=Client(
            client_id=settings.client_id,
            authentication=settings.authentication,
            secret=secret,
            key_id=settings.key_id,
            parameters=settings.parameters,
        ),
        random=partial(secrets.token_urlsafe, 16),
    )


def _kubernetes(settings: KubernetesSettings, connections: Connections) -> Supplier:
    from refresher.suppliers.kubernetes import KubernetesSupplier

    # a pool of its own: the cluster's authority is to be trusted for nothing else
    is_secure = settings.api_server.startswith("https:")
    return KubernetesSupplier(
        transport=connections.trusting(settings.ca_file, "the supplier's ca_file") if is_secure else connections(),
        api_server=settings.api_server,
        token_path=settings.token_file,
        lifetime=settings.lifetime,
    )


def claims_of(settings: SelfIssuedSettings | SignJwtSettings) -> ClaimsTemplate:
    """Give what makes the claims of a minting supplier's tokens."""
    from refresher.suppliers.claims import ClaimsTemplate

    return ClaimsTemplate(
        issuer=settings.issuer,
        lifetime=settings.lifetime,
        constant=settings.claims,
        random=partial(secrets.token_urlsafe, 16),
    )


def _google_id_token(settings: GoogleIdTokenSettings, endpoints: Endpoints, transport: Transport) -> Supplier:
    from refresher.suppliers.google_id_token import GeneratedIdTokenSupplier, MetadataIdTokenSupplier

    if settings.via == "metadata_server":
        return MetadataIdTokenSupplier(transport=transport, origin=endpoints.metadata)
    source = source_of(settings.credentials, endpoints, transport)
    return GeneratedIdTokenSupplier(transport=transport, endpoints=endpoints, source=source)


def _handed_on(names: Iterable[str]) -> dict[str, str]:
    """Give the daemon's own variables of these names, and those that every program needs."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", *names) if name in os.environ}


def source_of(credentials: Path | None, endpoints: Endpoints, transport: Transport) -> SourceCredential:
    """Give the worker's own credentials: of a file, or of the metadata server."""
    from refresher.google.source_credentials import FileCredential, MetadataCredential

    if credentials is None:
        return MetadataCredential(transport=transport, origin=endpoints.metadata)
    return FileCredential(path=credentials, transport=transport)
