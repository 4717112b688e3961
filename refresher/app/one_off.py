"""One token for a script, supplied or minted on the spot as the configuration says, and written nowhere."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from refresher.app.connections import connections_of
from refresher.app.plans import chain_of
from refresher.app.suppliers import supplier_of
from refresher.app.targets import endpoints_of, targets_of
from refresher.config.supplier_models import SelfIssuedSettings, SignJwtSettings
from refresher.durations import format_duration
from refresher.errors import UsageError
from refresher.google import iam_credentials
from refresher.google.answers import IMPERSONATION
from refresher.resources import CLOUD_PLATFORM_SCOPE
from refresher.settings.values import SIGNED_RANGE, SUPPLIED_RANGE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from refresher.config.loading import LoadedConfiguration
    from refresher.suppliers.interface import SupplierContext

_HOUR = timedelta(hours=1)
_ACCESS_TOKEN_RANGE = timedelta(seconds=1), timedelta(hours=12)
"""What generateAccessToken takes at all; more than an hour needs an organization policy."""


class OneOff:
    """Tokens of one target.

    Args:
        loaded: The configuration.
        name: Of the target.
        lifetime: Of the subject token, access token or JWT, instead of the configured one.
        now: The wall clock's time.
    """

    def __init__(self, loaded: LoadedConfiguration, name: str, *, lifetime: timedelta | None, now: datetime) -> None:
        self._loaded = loaded
        self._target = targets_of(loaded)[name]
        self._lifetime = lifetime
        self._now = now
        self._transport = connections_of(loaded)
        self._endpoints = endpoints_of(loaded)
        self._chain = chain_of(loaded, self._transport)

    def subject_token(self, audience: str | None = None) -> str:
        """Give a subject token, for another audience than the provider's if that is given.

        Raises:
            SupplyError: The supplier has none.
            UsageError: Its lifetime is not ours to choose, or out of range.
        """
        name = self._target.supplier
        settings = self._loaded.configuration.suppliers[name]
        if self._lifetime is not None:
            match settings:
                case SelfIssuedSettings():
                    self._require_lifetime(SUPPLIED_RANGE)
                case SignJwtSettings():
                    self._require_lifetime(SIGNED_RANGE)
                case _:
                    clause = f"the lifetime of tokens of supplier {name} is its own affair"
                    raise UsageError(clause, "leave --lifetime away")
        context = self._target.context if audience is None else replace(self._target.context, audience=audience)
        return self._supply(context, self._lifetime)

    def access_token(self, scopes: tuple[str, ...]) -> str:
        """Give an access token of the target principal, with these scopes or the configured ones.

        Raises:
            RefresherError: Supply, exchange or impersonation failed.
        """
        self._require_lifetime(_ACCESS_TOKEN_RANGE)
        way = self._target.impersonation
        way = replace(way, scopes=scopes or way.scopes, lifetime=self._lifetime or way.lifetime)
        federated = self._chain.exchange(way, self._supply(self._target.context), self._now)
        return self._chain.access_token(way, federated).value

    def id_token(self, audience: str, *, include_email: bool) -> str:
        """Give a Google-signed ID token of the service account.

        Raises:
            RefresherError: Supply, exchange or impersonation failed, or there is no service account.
        """
        way = self._target.impersonation
        if way.service_account is None:
            raise UsageError("there is no service account that an ID token could be of", "name one in the identity")
        federated = self._chain.exchange(way, self._supply(self._target.context), self._now)
        return self._chain.id_token(way, audience, federated, include_email=include_email)

    def signed_jwt(self, claims: Mapping[str, Any]) -> str:
        """Have the service account sign claims; `iat` and `exp` are added where they are missing.

        It signs as itself, with an access token of its own: `signJwt` takes no federated token.

        Raises:
            RefresherError: Supply, exchange or impersonation failed, or there is no service account.
        """
        way = self._target.impersonation
        account = way.service_account
        if account is None:
            raise UsageError("there is no service account that could sign", "name one in the identity")
        self._require_lifetime(SIGNED_RANGE)
        way = replace(way, scopes=(CLOUD_PLATFORM_SCOPE,), lifetime=None)
        federated = self._chain.exchange(way, self._supply(self._target.context), self._now)
        own = self._chain.access_token(way, federated)
        issued_at = int(self._now.timestamp())
        life = int((self._lifetime or _HOUR).total_seconds())
        return iam_credentials.sign_jwt(
            self._transport(),
            self._endpoints,
            service_account=account,
            claims={"iat": issued_at, "exp": issued_at + life, **claims},
            access_token=own.value,
            kinds=IMPERSONATION,
        )

    def _require_lifetime(self, allowed: tuple[timedelta, timedelta]) -> None:
        least, most = allowed
        if self._lifetime is not None and not least <= self._lifetime <= most:
            asked, low, high = (format_duration(each) for each in (self._lifetime, least, most))
            raise UsageError(f"--lifetime is {asked}, not between {low} and {high}", "ask for another one")

    def _supply(self, context: SupplierContext, lifetime: timedelta | None = None) -> str:
        name = self._target.supplier
        settings = self._loaded.configuration.suppliers[name]
        if lifetime is not None:
            settings = settings.model_copy(update={"lifetime": lifetime})
        return supplier_of(settings, self._endpoints, self._transport).supply(context, self._now).value
