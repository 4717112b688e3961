"""Acts: supplies, exchanges and impersonates once per identity, many at a time, and remembers what came of it."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from refresher.app.plans import build_chain
from refresher.app.refresh_faults import list_supplier_faults
from refresher.app.suppliers import build_suppliers
from refresher.config.loader import LoadedConfiguration
from refresher.doctor.facts import Attempt, Trial
from refresher.engine.plan import MintedArtifact, Target
from refresher.errors import PublishError, RefresherError, SupplyError
from refresher.keys.registry import KeyState, list_keys
from refresher.publishing.artifacts import DESCRIPTIONS, ID_TOKENS, TOKEN
from refresher.publishing.contents import extract_token
from refresher.resources import Impersonation
from refresher.suppliers.interface import SupplierSettings, Workshop
from refresher.tokens import AccessToken, SubjectToken, UnreadableTokenError
from refresher.users import DaemonUser

T = TypeVar("T")

THREADS = 16
OFFLINE = "not tried: --offline"
_KEYS = ("E10", "E11", "E19")
"""Refusals after which it helps to see what the issuer publishes."""


def find_command(daemon: DaemonUser) -> str:
    """Return the command that runs this as the daemon's user; empty if this user is that, or none is known.

    Keys and credentials are the daemon's: another user may not read them, and what a supplier's program leaves behind
    as root would be in the daemon's way.
    """
    return "" if daemon.uid in (None, os.geteuid()) else daemon.compose("doctor")


class Trials:
    """Tries the ways of identities; `now` returns the wall clock's time, UTC."""

    def __init__(
        self,
        loaded: LoadedConfiguration,
        workshop: Workshop,
        daemon: DaemonUser,
        *,
        is_offline: bool,
        now: Callable[[], datetime],
    ) -> None:
        self._settings = loaded.configuration.suppliers
        self._workshop = workshop
        self._suppliers = build_suppliers(loaded, workshop)
        self._chain = build_chain(workshop, workshop.transport)  # names the quota project, as clients do
        self._minting = build_chain(workshop)
        self._is_offline = is_offline
        self._now = now
        self._command = find_command(daemon)
        self._user = daemon.uid

    def run(self, targets: Iterable[Target], report: Callable[[int], None]) -> Mapping[str, Trial]:
        """Return what came of each target's way, by name; `report` is called with how many targets are done so far."""
        groups: dict[object, list[Target]] = {}
        for target in targets:
            groups.setdefault((target.supply_key, target.impersonation), []).append(target)
        found: dict[str, Trial] = {}
        pool = ThreadPoolExecutor(THREADS)
        try:
            waiting = {pool.submit(self._try, sharing): sharing for sharing in groups.values()}
            for done in as_completed(waiting):
                found |= dict.fromkeys((target.name for target in waiting[done]), done.result())
                report(len(found))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # who interrupts this waits for no further call
        return found

    def mint(
        self, wanted: Iterable[tuple[Target, MintedArtifact, AccessToken]]
    ) -> Mapping[tuple[str, str], Attempt[None]]:
        """Return what comes of minting artifacts with the tokens of their targets' exchanges, by target and name."""

        def work(target: Target, artifact: MintedArtifact, federated: AccessToken) -> None:
            way, audience = target.impersonation, artifact.options.get("audience")
            if artifact.name.startswith(ID_TOKENS):
                is_named = artifact.options.get("include_email") is True
                self._minting.id_token(way, str(audience), federated, include_email=is_named)
            else:
                self._minting.access_token(way, federated)

        with ThreadPoolExecutor(THREADS) as pool:
            jobs = {(each[0].name, each[1].name): pool.submit(attempt, partial(work, *each)) for each in wanted}
            return {key: job.result() for key, job in jobs.items()}

    def _try(self, sharing: list[Target]) -> Trial:
        target, now = sharing[0], self._now()
        way, name = target.impersonation, target.supplier
        settings = None if name is None else self._settings[name]
        if settings is None or name is None:
            supplied: Attempt[SubjectToken] = Attempt(reason="the identity has no pool")
        elif self._is_offline and not settings.is_local:
            supplied = Attempt(reason=OFFLINE)
        elif self._command:
            faults = list_supplier_faults(name, settings, self._user) if os.geteuid() == 0 else iter(())
            fault = next(faults, None)  # what another user may not read shows nothing
            error = None if fault is None else SupplyError(fault.problem, fault.remedy)
            supplied = Attempt(error=error, reason="this user is not the daemon's")
        else:
            supplied = attempt(lambda: self._suppliers[name].supply(target.context, now))
        token = supplied.result
        if settings is not None and token is None:
            token = next(filter(None, map(_read_published, sharing)), None)
        trial = Trial(
            supplied=supplied,
            command="" if way.is_own else self._command,
            token=token,
            is_new=supplied.result is not None,
            exchange=Attempt(reason=OFFLINE),
            impersonation=Attempt(reason=OFFLINE),
        )
        if self._is_offline:
            return trial
        if token is None and not way.is_own:
            reason = "because there is no token to exchange: see supplier and file"
            return replace(trial, exchange=Attempt(reason=reason), impersonation=Attempt(reason=reason))
        value = "" if token is None else token.value
        trial = replace(trial, exchange=attempt(lambda: self._chain.exchange(way, value, now)))
        trial = replace(trial, impersonation=self._impersonate(target, trial), keys=self._find_keys(settings, trial))
        return replace(trial, quota=self._try_quota_project(way, trial))

    def _impersonate(self, target: Target, trial: Trial) -> Attempt[AccessToken]:
        way, federated = target.impersonation, trial.exchange.result
        if federated is None:
            return Attempt(reason="because the exchange failed")
        if way.service_account is None:
            return Attempt(reason="the identity has no service account (direct access)")
        return attempt(lambda: self._chain.access_token(way, federated))

    def _try_quota_project(self, way: Impersonation, trial: Trial) -> Attempt[None]:
        """Check, by a call that needs nothing else, whether the account (or principal) may use the quota project."""
        granted = trial.exchange.result if way.service_account is None else trial.impersonation.result
        if way.quota_project is None or granted is None:
            return Attempt()
        return Attempt(error=attempt(partial(self._chain.use_quota_project, way, granted)).error)

    def _find_keys(self, settings: SupplierSettings | None, trial: Trial) -> Attempt[tuple[str, ...]]:
        """Look up which keys are published, in the keys directory or by the issuer, if STS complains about them."""
        from refresher.google.openid import fetch_keys  # noqa: PLC0415 - only after a refusal

        error, claims = trial.exchange.error, trial.token.unverified_claims if trial.token else None
        if settings is None or error is None or error.entry not in _KEYS or claims is None or claims.issuer is None:
            return Attempt()
        issuer, directory = claims.issuer, settings.keys_directory
        if directory is not None:
            return attempt(lambda: tuple(_list_published(directory)))
        return attempt(lambda: tuple(str(key.get("kid")) for key in fetch_keys(self._workshop.transport(), issuer)))


def attempt(act: Callable[[], T]) -> Attempt[T]:
    """Do something, and return what came of it and how long it took."""
    began = time.monotonic()
    try:
        result = act()
    except RefresherError as error:
        return Attempt(error=error)
    return Attempt(result=result, milliseconds=round((time.monotonic() - began) * 1000))


def _read_published(target: Target) -> SubjectToken | None:
    try:
        return extract_token(target.directory.read((TOKEN, DESCRIPTIONS)))
    except (PublishError, UnreadableTokenError):
        return None


def _list_published(directory: Path) -> Iterator[str]:
    """Return id and state of each key of a directory that has to be uploaded."""
    return (f"{each.kid} ({each.state})" for each in list_keys(directory) if each.state is not KeyState.GONE)
