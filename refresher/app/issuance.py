"""One token for a script, issued according to the configuration, and written nowhere."""

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from refresher.app.plans import build_chain
from refresher.app.suppliers import DeferredSupplier, open_workshop
from refresher.app.targets import build_targets
from refresher.config.loader import LoadedConfiguration
from refresher.durations import format_duration
from refresher.errors import ImpersonationError, UsageError
from refresher.limits import LONGEST_ACCESS_TOKEN_LIFE
from refresher.resources import CLOUD_PLATFORM_SCOPE, Impersonation
from refresher.settings.values import SIGNED_RANGE
from refresher.suppliers.interface import SupplierContext, SupplierSettings
from refresher.tokens import AccessToken, SubjectToken, UnreadableTokenError, peek

_HOUR = timedelta(hours=1)
_ACCESS_TOKEN_RANGE = timedelta(seconds=1), LONGEST_ACCESS_TOKEN_LIFE
"""What generateAccessToken accepts at all; more than an hour needs an organization policy."""


class Issuance:
    """Issues tokens of the target `name`; `lifetime` is the life of one, instead of the configured life.

    Each method raises a `RefresherError`: supply, exchange or impersonation failed; or a `UsageError`: the lifetime is
    not ours to choose or out of range, or there is no service account where one is needed.
    """

    def __init__(self, loaded: LoadedConfiguration, name: str, *, lifetime: timedelta | None, now: datetime) -> None:
        self._target = build_targets(loaded)[name]
        supplier = self._target.supplier
        self._settings = None if supplier is None else loaded.configuration.suppliers[supplier]
        self._lifetime = lifetime
        self._now = now
        self._workshop = open_workshop(loaded)
        self._chain = build_chain(self._workshop)

    def subject_token(self, audience: str | None = None) -> SubjectToken:
        """Return a subject token, for another audience than the provider's if that is given."""
        if self._settings is None:
            raise UsageError(
                f"target {self._target.name} has no subject token: its identity has via: impersonation, without a pool",
                "print its access token: --kind access; or an ID token: --kind id",
            )
        self._check_lifetime(self._settings.lifetime_range)
        context = self._target.context if audience is None else replace(self._target.context, audience=audience)
        return self._supply(self._settings, context, self._lifetime)

    def access_token(self, scopes: tuple[str, ...]) -> AccessToken:
        """Return an access token of the target principal, with these scopes or the configured ones."""
        self._check_lifetime(_ACCESS_TOKEN_RANGE)
        way = self._target.impersonation
        way = replace(way, scopes=scopes or way.scopes, lifetime=self._lifetime or way.lifetime)
        return self._chain.access_token(*self._exchange(way))

    def id_token(self, audience: str, *, include_email: bool) -> SubjectToken:
        """Return a Google-signed ID token of the service account."""
        way, _ = self._require_account("an ID token")
        way, federated = self._exchange(way)
        return _read_jwt(self._chain.id_token(way, audience, federated, include_email=include_email))

    def signed_jwt(self, claims: dict[str, Any]) -> SubjectToken:
        """Return claims that the service account signed; `iat` and `exp` are added where they are missing.

        It signs as itself, with an access token of its own: `signJwt` accepts no federated token.
        """
        way, account = self._require_account("a signature")
        self._check_lifetime(SIGNED_RANGE)
        way = replace(way, scopes=(CLOUD_PLATFORM_SCOPE,), lifetime=None)
        own = self._chain.access_token(*self._exchange(way))
        api = replace(self._workshop.open_iam_credentials(own), error=ImpersonationError, caller=account)
        times = {"iat": self._now, "exp": self._now + (self._lifetime or _HOUR)}
        return _read_jwt(api.sign_jwt(account, {name: int(time.timestamp()) for name, time in times.items()} | claims))

    def _require_account(self, what: str) -> tuple[Impersonation, str]:
        way = self._target.impersonation
        if way.service_account is None:
            raise UsageError(
                f"{what} needs a service account, and identity {self._target.context.identity} has none",
                "add service_account: to the identity",
            )
        return way, way.service_account

    def _check_lifetime(self, allowed: tuple[timedelta, timedelta] | None) -> None:
        if self._lifetime is None:
            return
        if allowed is None:
            problem = f"the lifetime of tokens of supplier {self._target.supplier} cannot be chosen"
            raise UsageError(problem, "omit --lifetime")
        if not allowed[0] <= self._lifetime <= allowed[1]:
            asked, low, high = (format_duration(each) for each in (self._lifetime, *allowed))
            raise UsageError(f"--lifetime is {asked}, not between {low} and {high}", "choose another one")

    def _exchange(self, way: Impersonation) -> tuple[Impersonation, AccessToken]:
        """Return the way with the subject of the token, and what the service account is asked with."""
        if self._settings is None:
            return way, self._chain.exchange(way, "", self._now)
        token = self._supply(self._settings, self._target.context)
        if token.unverified_claims is not None:
            way = way.for_subject(token.unverified_claims.subject)
        return way, self._chain.exchange(way, token.value, self._now)

    def _supply(
        self, settings: SupplierSettings, context: SupplierContext, lifetime: timedelta | None = None
    ) -> SubjectToken:
        if lifetime is not None:
            settings = settings.model_copy(update={"lifetime": lifetime})
        return DeferredSupplier(partial(settings.build, self._workshop)).supply(context, self._now)


def _read_jwt(text: str) -> SubjectToken:
    try:
        return peek(text)
    except UnreadableTokenError as error:
        problem = f"IAM Credentials returned a token whose life can't be read: {error}"
        raise ImpersonationError(problem, "make `iat` and `exp` numbers of seconds, where --claims has them") from error
