from __future__ import annotations

import socket
import traceback
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, get_args

import pytest

import refresher.suppliers
from refresher.app.suppliers import DeferredSupplier
from refresher.config.loader import load
from refresher.errors import SupplyError
from refresher.suppliers.interface import KINDS, SupplierSettings, load_kind
from refresher.tokens import peek
from tests.contract.cases import CASES, REMOTE, read_cases
from tests.contract.conftest import SECRETS, build
from tests.tokens import AUDIENCE, make_jwt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from refresher.suppliers.interface import SupplierContext
    from tests.contract.conftest import Case

    MakeCase = Callable[..., Case]


ASKED_WITHOUT_SECRETS = {"google_id_token-metadata", "google_access_token"}
"""The metadata server asks for no secret."""


def catch_failure(case: Case) -> SupplyError:
    """Return the failure of a supply, having checked that it has problem and remedy and shows no secret anywhere."""
    with pytest.raises(SupplyError) as caught:
        case.supply()
    error = caught.value
    shown = "".join(traceback.format_exception(error)) + repr(error) + str(error)
    assert error.problem
    assert error.remedy
    assert not any(secret in shown for secret in SECRETS)
    return error


def _list_kinds() -> Iterator[type[SupplierSettings]]:
    for module in iter_modules(refresher.suppliers.__path__):
        members = vars(import_module(f"refresher.suppliers.{module.name}")).values()
        for member in members:
            if (
                isinstance(member, type)
                and issubclass(member, SupplierSettings)
                and "kind" in vars(member).get("__annotations__", {})
            ):
                yield member


def test_every_kind_is_registered() -> None:
    """Each settings model of a kind is in the registry, under the name of its module and of its `kind`."""
    written = {member for member in _list_kinds() if member is not SupplierSettings}

    assert {load_kind(kind) for kind in KINDS} == written
    for kind, settings in ((kind, load_kind(kind)) for kind in KINDS):
        assert settings.__module__ == f"refresher.suppliers.{kind}"
        assert get_args(settings.model_fields["kind"].annotation) == (kind,)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_case(kind: str) -> None:
    """Each kind declares in `tests/unit/suppliers/test_KIND.py` how this suite is to ask it."""
    assert read_cases(kind), f"tests/unit/suppliers/test_{kind}.py has no CONTRACT"


def test_kind_declares_its_tokens(case: Case) -> None:
    """A token that the kind supplies is what its settings expect, and only local kinds supply without a server."""
    token = case.supply()

    if case.settings is not None:
        subject = case.subject.format(user="user-1") if case.settings.needs_subject else None
        expected = case.settings.expect_claims(subject, frozenset({AUDIENCE}), None)
        assert expected.mismatches(token) == ()
        assert case.settings.configured_lifetime in (None, token.lifetime)
        assert not (case.settings.is_local and case.server.calls)


def test_kind_declares_who_chooses_the_subject(case: Case) -> None:
    """A kind that supplies one token to every identity declares what chooses its subject, the others do not."""
    if case.settings is not None:
        source = case.settings.subject_source()
        assert (source is None) is case.chooses_subject
        assert source is None or source[0] == case.settings.kind


def vary(settings: SupplierSettings, key: str) -> list[SupplierSettings]:
    """Return the same settings with other values of a key, each of the shape that the key has."""
    value, options = getattr(settings, key), get_args(type(settings).model_fields[key].annotation)
    others: list[object] = [option for option in options if isinstance(option, str) and option != value]
    match value:
        case _ if others:
            pass
        case bool():
            others = [not value]
        case str():
            others = [f"{value}x"]
        case Path():
            others = [value / "x"]
        case tuple():
            others = [(*value, "x")]
        case timedelta():
            others = [value * 2]
        case Mapping():
            others = [{**value, "x": "y"}]
        case _:
            others = ["/x"]
    return [settings.model_copy(update={key: other}) for other in others]


@pytest.mark.parametrize("name", CASES)
def test_kind_declares_each_key_that_chooses_the_subject(make_case: MakeCase, name: str) -> None:
    """Where the supplier alone knows the subject, each key of the kind is known to choose it or not.

    One that chooses it and is forgotten leaves the former subject's token to the identity.
    """
    declared, case = CASES[name], make_case(CASES[name])
    settings = case.settings
    assert settings is not None
    if case.chooses_subject:
        assert not declared.subject_keys | declared.other_keys
        return

    keys = set(type(settings).model_fields) - {"kind", "provider"}
    moving = {
        key for key in keys if all(other.subject_source() != settings.subject_source() for other in vary(settings, key))
    }

    assert declared.subject_keys | declared.other_keys == keys
    assert not declared.subject_keys & declared.other_keys
    assert moving == declared.subject_keys


def test_kind_declares_its_files(case: Case) -> None:
    """The files that a kind declares are in the configuration, by absolute paths that exist."""
    if case.settings is not None:
        for key, path in case.settings.file_paths():
            assert key in case.settings.model_fields_set
            assert path.is_absolute()
            assert path.exists()


def test_token_is_what_was_asked_for(case: Case) -> None:
    """A token lives now, for the audience asked for, and for the subject where the supplier may choose it."""
    token = case.supply()

    assert token.issued_at <= case.now + timedelta(seconds=2)
    assert token.expires_at > case.now + timedelta(minutes=5)
    assert token.issued_at.utcoffset() == token.expires_at.utcoffset() == timedelta(0)
    assert (token.unverified_claims is not None) is case.is_jwt
    if token.unverified_claims is not None:
        assert token.unverified_claims.audience == (AUDIENCE,)
        assert token.unverified_claims.subject == case.subject.format(user="user-1") or not case.chooses_subject


def test_supplier_reports_what_a_reader_finds(case: Case) -> None:
    """Life and claims next to a JWT are those that a reader finds in it."""
    token = case.supply()

    if case.is_jwt:
        read = peek(token.value)
        assert (token.issued_at, token.expires_at) == (read.issued_at, read.expires_at)
        assert token.unverified_claims == read.unverified_claims


def test_no_text_shows_the_token(case: Case) -> None:
    """Neither the token's repr nor the supplier's holds the secret."""
    token = case.supply()

    for text in (repr(token), str(token), repr(case.supplier), str(vars(case.supplier))):
        assert token.value not in text
        assert not any(secret in text for secret in SECRETS)


def test_subjects_get_tokens_of_their_own(case: Case) -> None:
    """Two identities never get the same token from a supplier that may choose the subject."""
    one, two = case.supply("user-1"), case.supply("user-2")

    if case.chooses_subject:
        assert one.value != two.value
        assert one.unverified_claims != two.unverified_claims


def test_eight_threads_are_served_at_once(case: Case) -> None:
    """Eight threads each get their own subject's token, from one supplier that was not used before."""
    users = [f"user-{number}" for number in range(40)]

    with ThreadPoolExecutor(8) as pool:
        tokens = list(pool.map(case.supply, users))

    found = [token.unverified_claims.subject if token.unverified_claims else None for token in tokens]
    if case.chooses_subject:
        assert found == [case.subject.format(user=user) for user in users]
    else:
        assert len(set(found)) == 1


@pytest.mark.parametrize("name", REMOTE)
@pytest.mark.parametrize(
    ("status", "retryable"),
    [(400, False), (401, False), (403, False), (404, False), (408, True), (429, True), (500, True)],
)
def test_only_some_refusals_are_retryable(make_case: MakeCase, name: str, status: int, retryable: bool) -> None:  # noqa: FBT001 - a table's column
    """A refusal that may pass is retryable, every other one has to be fixed first."""
    case = make_case(CASES[name])
    case.server.fail(status, b'{"error": {"message": "No: ya29.source, eyJhbGciOi.eyJzdWIi.c2VjcmV0"}}')

    assert catch_failure(case).retryable is retryable


@pytest.mark.parametrize("name", sorted(set(REMOTE) - ASKED_WITHOUT_SECRETS))
def test_request_that_is_repeated_shows_no_secret(make_case: MakeCase, name: str) -> None:
    """A server that refuses a request in the request's own words reveals nothing that authorises."""
    case = make_case(CASES[name])
    case.server.repeat()

    shown = str(catch_failure(case))

    assert case.server.repeated
    assert not [secret for secret in case.server.repeated if secret in shown]


@pytest.mark.parametrize("name", REMOTE)
@pytest.mark.parametrize(
    "body",
    [b"", b"rubbish", b"[]", b"{}", b"\xff\xfe", b"[" * 50_000],
    ids=["empty", "text", "list", "{}", "bin", "deep"],
)
def test_rubbish_is_a_failure(make_case: MakeCase, name: str, body: bytes) -> None:
    """An answer that holds no token is a failure of supply, never a crash."""
    case = make_case(CASES[name])
    case.server.fail(200, body)

    assert catch_failure(case).retryable


@pytest.mark.parametrize("name", REMOTE)
def test_unreachable_server_may_come_back(make_case: MakeCase, name: str) -> None:
    """A refused connection is a retryable failure."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    case = make_case(CASES[name], origin=f"http://127.0.0.1:{port}")

    assert catch_failure(case).retryable


@pytest.mark.parametrize("name", REMOTE)
def test_supplier_recovers(make_case: MakeCase, name: str) -> None:
    """After a failure the same supplier serves again."""
    case = make_case(CASES[name])
    case.server.fail(503)
    catch_failure(case)

    case.server.recover()

    assert case.supply().expires_at > case.now


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.is_remote])
def test_absent_files_are_a_failure_of_supply(make_case: MakeCase, name: str) -> None:
    """Without its files a supplier is configured all the same, and reports what it lacks when it is asked."""
    case = make_case(CASES[name], prepare=False)

    assert catch_failure(case).remedy


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.is_remote])
def test_spoilt_files_are_a_failure_of_supply(make_case: MakeCase, name: str) -> None:
    """Files that hold something else are reported, and not quoted."""
    case = make_case(CASES[name])
    secret = b'{"type": "authorized_user", "refresh_token": "1//refresh-token", "client_secret": "shh-client"'
    for path in case.directory.rglob("*"):
        if path.is_file() and path.name != "refresher.yaml":
            path.unlink()
            path.write_bytes(secret)
            path.chmod(0o400)

    catch_failure(case)


@pytest.mark.parametrize("content", [None, b"{", b'{"type": "authorized_user", "client_secret": "shh-client"'])
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.takes_credentials])
def test_unusable_credentials_are_a_failure_of_supply(make_case: MakeCase, name: str, content: bytes | None) -> None:
    """A credentials file that is absent or holds something else is reported by its path, and not quoted."""
    case = make_case(CASES[name], supplier=CASES[name].supplier[:-1] + ", credentials: credentials.json}")
    if content is not None:
        (case.directory / "credentials.json").write_bytes(content)

    assert str(case.directory / "credentials.json") in catch_failure(case).problem


def test_key_that_is_created_later_is_found(make_case: MakeCase) -> None:
    """A supplier that could not be built is built when what it lacked is there."""
    case = make_case(CASES["self_issued"], prepare=False)
    catch_failure(case)

    CASES["self_issued"].prepare(case.directory)

    assert case.supply().expires_at > case.now


def test_unusable_trust_is_a_failure_of_supply(make_case: MakeCase) -> None:
    """An unusable `ca_file` fails the supply with the key to fix, not the process."""
    case = make_case(CASES["google_id_token-metadata"])
    path = case.directory / "refresher.yaml"
    path.write_text(path.read_text().replace("emulator: true", "emulator: true, ca_file: absent.pem"))

    case.supplier = build(load(path))

    assert "google.ca_file" in catch_failure(case).remedy


def test_bug_in_a_supplier_is_a_failure_of_supply(make_case: MakeCase) -> None:
    """An unforeseen exception is reported by its type alone: its text may quote a token."""

    class Broken:
        def supply(self, context: SupplierContext, now: object) -> None:
            raise ZeroDivisionError(make_jwt())

    case = make_case(CASES["self_issued"])
    case.supplier = DeferredSupplier(Broken)  # type: ignore[arg-type]  # broken on purpose

    assert "ZeroDivisionError" in catch_failure(case).problem
