"""The last link: may the worker's own account act as the users' accounts, so that isolation is only for show?

It is asked as the worker, by `testIamPermissions`
(https://docs.cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts/testIamPermissions), wherever the
worker has credentials of its own: of the metadata server, and of the files that the configuration names. What can't be
asked is `unknown`, never fine.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from refresher.config.loader import LoadedConfiguration
from refresher.doctor.diagnosis import Finding, State, ok, skip
from refresher.doctor.trials import THREADS, attempt
from refresher.engine.plan import Target
from refresher.errors import ExitStatus, ImpersonationError
from refresher.google.call import Call
from refresher.google.source_credentials import MetadataServer
from refresher.resources import own_principal
from refresher.suppliers.interface import Workshop
from refresher.tokens import AccessToken

LINK = "worker"
_ACTING = ("getAccessToken", "getOpenIdToken", "implicitDelegation", "signBlob", "signJwt", "actAs")
"""What lets a caller act as a service account, below `iam.serviceAccounts.`."""
_MOST_NAMES = 5


def check_rights(loaded: LoadedConfiguration, workshop: Workshop, targets: Iterable[Target]) -> Iterator[Finding]:
    """Return a finding for each of the worker's own credentials."""
    accounts = sorted(
        {
            target.impersonation.service_account
            for target in targets
            if target.impersonation.service_account and not target.impersonation.is_own
        }
    )
    if not accounts:
        yield skip(LINK, "no target has a service account that only federation should reach")
        return
    for credentials in list_credentials(loaded):
        caller = own_principal(credentials)
        own = attempt(partial(fetch_own, workshop, credentials))
        if own.result is None:
            problem = own.error.problem if own.error else ""
            yield _unknown(f"what {caller} may do is not known: {problem}")
            continue
        if credentials is None:
            server = MetadataServer(transport=workshop.transport(), origin=workshop.endpoints.metadata)
            email = attempt(server.fetch_email).result
            caller = caller if email is None else f"serviceAccount:{email}"
        yield _judge(caller, _ask(workshop, own.result, accounts), len(accounts))


def fetch_own(workshop: Workshop, credentials: Path | None) -> AccessToken:
    """Return an access token of the worker's own, of the metadata server (None) or of a file."""
    return workshop.open_credentials(credentials).access_token(datetime.now(UTC))


def list_credentials(loaded: LoadedConfiguration) -> list[Path | None]:
    """Return the worker's own credentials: the metadata server's (None), and each file of the configuration."""
    configuration = loaded.configuration
    entries = (*configuration.suppliers.values(), *configuration.identities.values())
    files = (getattr(entry, "credentials", None) for entry in entries)
    return [None, *sorted({path for path in files if isinstance(path, Path)})]


def _ask(workshop: Workshop, own: AccessToken, accounts: list[str]) -> dict[str, list[str] | str]:
    """Return the permissions that the caller has on each account, or why that is not known."""
    origin = workshop.endpoints.api_origin("iam")

    def ask(account: str) -> list[str] | str:
        call = Call(
            asked=f"testIamPermissions of {account}",
            url=f"{origin}/v1/projects/-/serviceAccounts/{account}:testIamPermissions",
            error=ImpersonationError,
            bearer=own.value,
            document={"permissions": [f"iam.serviceAccounts.{name}" for name in _ACTING]},
        )
        answer = attempt(partial(call.fetch_document, workshop.transport()))
        if answer.result is None:
            return answer.error.problem if answer.error else ""
        held = answer.result.get("permissions", [])
        return [name for name in _ACTING if isinstance(held, list) and f"iam.serviceAccounts.{name}" in held]

    with ThreadPoolExecutor(THREADS) as pool:
        return dict(zip(accounts, pool.map(ask, accounts), strict=True))


def _judge(caller: str, answers: dict[str, list[str] | str], count: int) -> Finding:
    held = {account: found for account, found in answers.items() if found and isinstance(found, list)}
    unknown = {account: found for account, found in answers.items() if isinstance(found, str)}
    if held:
        account, permissions = next(iter(held.items()))
        named = ", ".join(list(held)[:_MOST_NAMES]) + (" …" if len(held) > _MOST_NAMES else "")
        more = f" and on {len(held) - 1} more" if len(held) > 1 else ""
        return Finding.of_entry(
            LINK,
            "worker-creator",
            f"{caller} has {', '.join(permissions)} on {account}{more}",
            {"caller": caller, "account": named, "service_account": account},
            stage=ExitStatus.EXCHANGE,
        )
    if unknown:
        account, problem = next(iter(unknown.items()))
        return _unknown(f"what {caller} may do is not known for {len(unknown)} of {count} accounts: {problem}")
    return ok(LINK, f"{caller} may not act as any of {count} accounts of users")


def _unknown(evidence: str) -> Finding:
    return Finding(link=LINK, state=State.UNKNOWN, evidence=evidence)
