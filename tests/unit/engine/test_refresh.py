from __future__ import annotations

import fcntl
import os
import signal
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from refresher import adc, environment
from refresher.engine.artifacts import TargetFacts, build_static, list_changed_keys
from refresher.engine.assessment import assess_token
from refresher.engine.outcome import Outcome, Result
from refresher.engine.refresh import Refresher
from refresher.errors import PublishError, SupplyError, TokenRejectedError
from refresher.policy import State
from refresher.publishing.artifacts import CREDENTIALS, DESCRIPTIONS, ENVIRONMENT, RECORD, TOKEN
from refresher.publishing.directory import compute_fingerprint
from refresher.resources import Endpoints
from refresher.tokens import MAXIMUM_SIZE, SubjectToken
from tests.fakes import FakeChain, FakeClock
from tests.tokens import NOW, jwt_of, make_jwt
from tests.unit.engine.conftest import PROVIDER

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from refresher.engine.plan import Target
    from refresher.suppliers.interface import SupplierContext
    from tests.fakes import FakeSupplier

    MakeTarget = Callable[..., Target]


class Intruder(FakeClock):
    """A clock that is asked right after files were read, and then lets another process act, once."""

    def __init__(self, act: Callable[[], object]) -> None:
        super().__init__()
        self._acts = [act]

    def now(self) -> datetime:
        """Act, and return the time."""
        while self._acts:
            self._acts.pop()()
        return super().now()


def refresh(
    target: Target, supplier: object, clock: FakeClock, *, force: bool = False, may_take_over: bool = True
) -> Outcome:
    """Refresh a target once, like a new process."""
    suppliers: dict[str, Any] = {"worker": supplier}  # fakes of several shapes
    refresher = Refresher(
        suppliers=suppliers, chain=lambda: FakeChain(clock), clock=clock, may_take_over=lambda: may_take_over
    )
    return refresher.refresh(target, force=force, first=True)


def read_files(target: Target) -> dict[str, bytes]:
    """Return every file of a target's directory except its record."""
    return {entry.name: entry.read_bytes() for entry in target.directory.path.iterdir() if entry.name != RECORD}


def test_first_refresh_publishes_everything(target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock) -> None:
    """From nothing, a refresh publishes token, ADC document and variables, and describes the token."""
    target = target_of()

    outcome = refresh(target, supplier, clock)

    assert outcome.result is Result.PUBLISHED
    assert outcome.life is not None
    assert outcome.life.subject == "user-1"
    assert read_files(target) == {
        "token": make_jwt().encode(),
        "credentials.json": target.static[CREDENTIALS],
        "env": target.static[ENVIRONMENT],
    }


def test_order_of_publication(target_of: MakeTarget, clock: FakeClock) -> None:
    """The record and the ADC document exist before the token, and the variables only after it."""
    target = target_of()
    seen: list[list[str]] = []

    class Looking:
        def supply(self, context: object, now: object) -> SubjectToken:
            seen.append(sorted(os.listdir(target.directory.path)))
            raise SupplyError("no", "wait", retryable=True)

    outcome = refresh(target, Looking(), clock)

    assert seen == [[RECORD, "credentials.json"]]
    assert outcome.result is Result.FAILED
    assert sorted(os.listdir(target.directory.path)) == [RECORD, "credentials.json"]


def test_rejected_token_is_believed_in_nothing(target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock) -> None:
    """If only the supplier knows the subject, a rejected token does not take over a directory."""
    target = target_of()
    target = replace(target, expected=replace(target.expected, subject=None))
    refresh(target, supplier, clock)
    before = read_files(target)
    supplier.fixed = make_jwt(subject="user-2", audience="https://wrong.example")

    outcome = refresh(target, supplier, clock, force=True)

    assert isinstance(outcome.error, TokenRejectedError)
    assert read_files(target) == before


def test_foreign_pair_stays_together_until_there_is_a_token(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock
) -> None:
    """While the supplier fails, the document of the earlier audience stays with the token that belongs to it."""
    target = target_of()
    refresh(target, supplier, clock)
    before = read_files(target)
    changed = replace(
        target,
        static={
            **target.static,
            CREDENTIALS: target.static[CREDENTIALS].replace(b"/providers/refresher", b"/providers/another"),
        },
        expected=replace(target.expected, audiences=frozenset({"https://other"})),
        context=replace(target.context, audience="https://other"),
    )
    supplier.failure = SupplyError("no", "wait", retryable=True)

    failed = refresh(changed, supplier, clock)
    assert failed.result is Result.FAILED
    assert read_files(target) == before
    supplier.failure = None
    assert refresh(changed, supplier, clock).result is Result.PUBLISHED
    assert read_files(target)["credentials.json"] == changed.static[CREDENTIALS]


def test_fresh_token_is_kept(target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock) -> None:
    """A fresh token is neither replaced nor supplied again, and no file changes."""
    target = target_of()
    refresh(target, supplier, clock)
    before = target.directory.read_state()

    outcome = refresh(target, supplier, clock)

    assert outcome.result is Result.KEPT
    assert len(supplier.contexts) == 1
    assert target.directory.read_state() == before


def test_due_token_is_replaced(target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock) -> None:
    """At half its lifetime a token is replaced by one that lives longer."""
    target = target_of()
    refresh(target, supplier, clock)
    clock.pass_(timedelta(minutes=30))

    outcome = refresh(target, supplier, clock)

    assert outcome.result is Result.PUBLISHED
    assert outcome.life is not None
    assert outcome.life.expires_at == NOW + timedelta(minutes=90)


def test_force_replaces_a_fresh_token(target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock) -> None:
    """On request, a refresh replaces a fresh token."""
    target = target_of()
    refresh(target, supplier, clock)
    clock.pass_(timedelta(seconds=1))

    assert refresh(target, supplier, clock, force=True).result is Result.PUBLISHED


@pytest.mark.parametrize("age", [30, 55, 61], ids=["due", "overdue", "expired"])
def test_failure_leaves_every_byte(target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock, age: int) -> None:
    """If the supplier fails, all files stay as they were, at any age of the token."""
    target = target_of()
    refresh(target, supplier, clock)
    before = target.directory.read_state()
    supplier.failure = SupplyError("the issuer is gone", "bring it back")
    clock.pass_(timedelta(minutes=age))

    outcome = refresh(target, supplier, clock)

    assert outcome.error is supplier.failure
    assert target.directory.read_state() == before


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        pytest.param({"subject": "user-2"}, "sub is", id="subject"),
        pytest.param({"issuer": "https://evil.example.com"}, "iss is", id="issuer"),
        pytest.param({"audience": "https://evil.example.com"}, "aud is", id="audience"),
        pytest.param({"kid": "key-9"}, "not published", id="key"),
        pytest.param({"issued_at": NOW + timedelta(minutes=40)}, "iat is in the future", id="future"),
        pytest.param({"issued_at": NOW - timedelta(minutes=30)}, "minimum validity", id="nearly-over"),
        pytest.param({"issued_at": NOW - timedelta(hours=2)}, "it expired at", id="expired"),
    ],
)
def test_unworthy_token_is_not_published(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock, claims: dict[str, object], reason: str
) -> None:
    """A token with wrong claims or too short a lifetime is refused, and the present one stays."""
    target = target_of()
    refresh(target, supplier, clock)
    before = target.directory.read_state()
    clock.pass_(timedelta(minutes=29))
    supplier.fixed = make_jwt(**claims)  # type: ignore[arg-type]  # arguments by name

    outcome = refresh(target, supplier, clock, force=True)

    assert isinstance(outcome.error, TokenRejectedError)
    assert reason in outcome.error.problem
    assert target.directory.read_state() == before


@pytest.mark.parametrize("force", [False, True])
def test_token_that_was_issued_before_and_ends_sooner_is_not_published(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock, *, force: bool
) -> None:
    """A token that was issued no later than the present one and expires before it never replaces it."""
    target = target_of()
    refresh(target, supplier, clock)
    clock.pass_(timedelta(minutes=30))
    supplier.fixed = make_jwt(issued_at=NOW, lifetime=timedelta(minutes=50))

    outcome = refresh(target, supplier, clock, force=force)

    assert isinstance(outcome.error, TokenRejectedError)
    assert read_files(target)["token"] == make_jwt().encode()


@pytest.mark.parametrize(("passed", "force"), [(1, True), (30, False), (55, False)], ids=["forced", "due", "overdue"])
def test_token_that_was_issued_later_wins_though_it_ends_sooner(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock, *, passed: int, force: bool
) -> None:
    """When the present token is due, or with force, a later-issued one replaces it: the issuer's policy was cut."""
    target = target_of()
    supplier.lifetime = timedelta(hours=1)
    refresh(target, supplier, clock)
    clock.pass_(timedelta(minutes=passed))
    supplier.lifetime = timedelta(minutes=20) if passed < 55 else timedelta(minutes=4)

    outcome = refresh(target, supplier, clock, force=force)

    assert (outcome.result, outcome.error) == (Result.PUBLISHED, None)
    assert outcome.life is not None
    assert outcome.life.issued_at == NOW + timedelta(minutes=passed)


def test_token_of_a_year_is_worth_a_day(target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock) -> None:
    """A token that claims a year ends for us 24 h after its issue, is due after 12, and a new one follows then."""
    target = target_of()
    target = replace(target, expected=replace(target.expected, maximum_lifetime=None))
    supplier.fixed = make_jwt(lifetime=timedelta(days=365))
    first = refresh(target, supplier, clock)
    clock.pass_(timedelta(hours=12))
    supplier.fixed = make_jwt(issued_at=clock.now())
    second = refresh(target, supplier, clock)
    supplier.fixed = make_jwt(issued_at=NOW, lifetime=timedelta(days=365))
    clock.pass_(timedelta(hours=13))
    late = refresh(target, supplier, clock)

    assert first.life is not None
    assert first.life.expires_at == NOW + timedelta(hours=24)
    assert second.result is Result.PUBLISHED
    assert isinstance(late.error, TokenRejectedError)
    assert "it expired at" in late.error.problem


def test_same_token_again_is_unchanged_until_overdue(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock
) -> None:
    """A supplier that returns the same token again has not failed, until the token is overdue."""
    target = target_of()
    supplier.fixed = make_jwt()
    refresh(target, supplier, clock)
    clock.pass_(timedelta(minutes=40))
    due = refresh(target, supplier, clock)
    clock.pass_(timedelta(minutes=15))
    overdue = refresh(target, supplier, clock)

    assert (due.result, due.error) == (Result.UNCHANGED, None)
    assert isinstance(overdue.error, SupplyError)
    assert read_files(target)["token"] == make_jwt().encode()


def test_longer_life_than_configured_is_superseded(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock
) -> None:
    """If the configured lifetime shrinks, a longer-lived token of the earlier configuration is replaced."""
    target = target_of()
    refresh(target, supplier, clock)
    supplier.lifetime = timedelta(minutes=20)
    shorter = replace(target, expected=replace(target.expected, maximum_lifetime=timedelta(minutes=20)))

    outcome = refresh(shorter, supplier, clock)

    assert outcome.result is Result.PUBLISHED
    assert outcome.life is not None
    assert outcome.life.expires_at == NOW + timedelta(minutes=20)


@pytest.mark.parametrize("problem", ["key withdrawn", "issuer changed", "audience changed"])
def test_token_that_would_not_be_minted_any_more_is_superseded(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock, problem: str
) -> None:
    """A fresh token of a withdrawn key, another issuer or audience is replaced at once, and stays if that fails."""
    target = target_of()
    refresh(target, supplier, clock)
    changes = {
        "key withdrawn": {"key_ids": frozenset({"key-2"})},
        "issuer changed": {"issuer": "https://new.example.com"},
        "audience changed": {"audiences": frozenset({"https://new.example.com"})},
    }[problem]
    changed = replace(target, expected=replace(target.expected, **changes))  # type: ignore[arg-type]  # by name
    supplier.failure = SupplyError("not yet", "wait")

    outcome = refresh(changed, supplier, clock)

    assert len(supplier.contexts) == 2
    assert outcome.error is supplier.failure
    assert read_files(target)["token"] == make_jwt().encode()


OTHERS = {
    "another-identity": {"identity": "bob", "subject": "user-2", "account": "bob@p.iam.gserviceaccount.com"},
    "another-subject": {"subject": "user-2"},
    "another-account": {"account": "bob@p.iam.gserviceaccount.com"},
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=list(OTHERS))
def test_everything_is_withdrawn_when_the_record_is_another_identitys(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock, change: dict[str, str]
) -> None:
    """All files of the former identity are withdrawn before anything new is written, even if the supply fails."""
    former = target_of()
    refresh(former, supplier, clock)
    (former.directory.path / "boto").write_bytes(b"of alice")
    (former.directory.path / "id_tokens").mkdir(mode=0o711)
    (former.directory.path / "id_tokens" / "web").write_bytes(b"of alice")
    present = target_of(**change)
    seen: list[dict[str, bytes]] = []

    class Looking:
        def supply(self, context: object, now: object) -> SubjectToken:
            seen.append(read_files(present))
            raise SupplyError("no", "wait", retryable=True)

    failed = refresh(present, Looking(), clock)
    done = refresh(present, supplier, clock)

    assert seen == [{"credentials.json": present.static[CREDENTIALS]}]
    assert failed.result is Result.FAILED
    assert done.result is Result.PUBLISHED
    assert read_files(present)["env"] == present.static[ENVIRONMENT]
    assert present.directory.read_record() == present.record


@pytest.mark.parametrize(
    ("change", "is_replaced"), list(zip(OTHERS.values(), [True, False, False], strict=True)), ids=list(OTHERS)
)
def test_directory_itself_is_replaced_when_the_identity_has_another_name(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock, change: dict[str, str], *, is_replaced: bool
) -> None:
    """A container with the former directory sees it empty; an edit of an identity keeps the directory."""
    former = target_of()
    refresh(former, supplier, clock)
    held = os.open(former.directory.path, os.O_RDONLY | os.O_DIRECTORY)

    outcome = refresh(target_of(**change), supplier, clock)
    seen = sorted(os.listdir(held))
    os.close(held)

    assert outcome.is_recreated is is_replaced
    assert seen == ([] if is_replaced else [RECORD, "credentials.json", "env", "token"])
    assert sorted(path.name for path in former.directory.root.iterdir()) == [".lock", "alice"]


def test_once_leaves_another_identitys_directory_to_the_daemon(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock
) -> None:
    """While a daemon runs, `once` with another configuration withdraws nothing and reports that."""
    refresh(target_of(), supplier, clock)
    before = read_files(target_of())

    outcome = refresh(target_of(identity="bob", subject="user-2"), supplier, clock, may_take_over=False)

    assert isinstance(outcome.error, PublishError)
    assert "belongs to identity alice" in outcome.error.problem
    assert "same configuration" in outcome.error.remedy
    assert read_files(target_of()) == before


def test_forged_files_keep_nothing_when_the_directory_gets_another_identity(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock
) -> None:
    """Everything is withdrawn, even if the files' owner forges the next identity's document and a description."""
    alice, bob = target_of(), target_of(identity="bob", subject="user-2", account="bob@p.iam.gserviceaccount.com")
    refresh(alice, supplier, clock)
    place = alice.directory.path
    forged = {
        "credentials.json": bob.static[CREDENTIALS],
        "access_token": b"ya29.alice",
        "artifacts.json": b'{"access_token": {"sha256": "00", "issued_at": "2026-01-01T00:00:00Z", '
        b'"expires_at": "2027-01-01T00:00:00Z", "request": "00"}}',
        "token": make_jwt(subject="user-2").encode(),
    }
    for name, content in forged.items():
        (place / name).unlink(missing_ok=True)
        (place / name).write_bytes(content)
    supplier.failure = SupplyError("no", "wait", retryable=True)

    refresh(bob, supplier, clock)

    assert read_files(bob) == {"credentials.json": bob.static[CREDENTIALS]}


def make_earlier_directory(target: Target) -> dict[str, bytes]:
    """Write the files of a version without records into a target's directory, and return them."""
    target.directory.path.mkdir(parents=True, mode=0o711)
    files = {"token": make_jwt().encode(), **target.static}
    for name, content in files.items():
        (target.directory.path / name).write_bytes(content)
        (target.directory.path / name).chmod(0o400)
    return dict(files)


def test_directory_of_an_earlier_version_is_taken_over_once_there_is_a_token(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock
) -> None:
    """Without a record nothing is withdrawn while the supplier fails; with a token the directory becomes ours."""
    target = target_of()
    before = make_earlier_directory(target)
    supplier.failure = SupplyError("no", "wait", retryable=True)

    failed = refresh(target, supplier, clock)
    after_failure = read_files(target)
    supplier.failure = None
    done = refresh(target, supplier, clock)

    assert failed.result is Result.FAILED
    assert after_failure == before
    assert done.result is Result.PUBLISHED
    assert target.directory.read_record() == target.record


@pytest.mark.parametrize("content", [b"", b"{", b'{"version": 1}', b"[]"], ids=["empty", "torn", "incomplete", "list"])
def test_malformed_record_is_no_record(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock, content: bytes
) -> None:
    """If the record was read completely and is malformed, the token is supplied first and the takeover follows."""
    target = target_of()
    refresh(target, supplier, clock)
    before = read_files(target)
    (target.directory.path / RECORD).write_bytes(content)
    supplier.failure = SupplyError("no", "wait", retryable=True)

    refresh(target, supplier, clock)
    after_failure = read_files(target)
    supplier.failure = None
    clock.pass_(timedelta(seconds=1))
    done = refresh(target, supplier, clock)

    assert after_failure == before
    assert done.result is Result.PUBLISHED
    assert target.directory.read_record() == target.record


def test_newer_record_is_an_error_and_never_a_takeover(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock
) -> None:
    """A record of a later version stops the refresh with a remedy; every file stays."""
    target = target_of()
    refresh(target, supplier, clock)
    before = read_files(target)
    record = target.record.render().replace(b'"version": 1', b'"version": 2')
    (target.directory.path / RECORD).write_bytes(record)

    outcome = refresh(target, supplier, clock, force=True)

    assert isinstance(outcome.error, PublishError)
    assert "later version" in outcome.error.problem
    assert read_files(target) == before


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]"])
def test_lost_record_is_noticed(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock, content: bytes | None
) -> None:
    """A record that was removed, or is garbage, is distinguished from a new directory, and from a complete one."""
    target, record = target_of(), target_of().directory.path / RECORD
    found = [refresh(target, supplier, clock).lacked_record, refresh(target, supplier, clock).lacked_record]
    record.unlink()
    if content is not None:
        record.write_bytes(content)

    assert [*found, refresh(target, supplier, clock).lacked_record] == [False, False, True]


def test_file_of_another_owner_or_mode_is_kept_apart_from_one_of_another_content(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock
) -> None:
    """What has the configured content is not damaged: the outcome lists it apart."""
    target = target_of()
    refresh(target, supplier, clock)
    (target.directory.path / TOKEN).chmod(0o600)
    (target.directory.path / "credentials.json").write_text("{}")

    outcome = refresh(target, supplier, clock)

    assert set(outcome.repaired) == {TOKEN, "credentials.json"}
    assert outcome.owned == (TOKEN,)


@pytest.mark.parametrize("mode", [0o000, 0o700, 0o755])
def test_mode_of_the_directory_is_repaired_and_noticed(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock, mode: int
) -> None:
    """A directory with another mode gets its own back, and the outcome has the former."""
    target = target_of()
    found = [refresh(target, supplier, clock).found_mode, refresh(target, supplier, clock).found_mode]
    target.directory.path.chmod(mode)

    assert [*found, refresh(target, supplier, clock).found_mode] == [None, None, mode]
    assert target.directory.path.stat().st_mode & 0o777 == 0o711


@pytest.mark.parametrize("entry", ["notes", ".lock", "data"])
def test_unrecorded_directory_with_another_entry_is_an_error(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock, entry: str
) -> None:
    """A directory without a record but with other files stays as it is, and the remedy lists what to move."""
    target = target_of()
    before = make_earlier_directory(target)
    (target.directory.path / entry).write_text("x")

    outcome = refresh(target, supplier, clock)

    assert isinstance(outcome.error, PublishError)
    assert entry in outcome.error.problem
    assert f"move {entry} away" in outcome.error.remedy
    assert read_files(target) == before | {entry: b"x"}
    assert supplier.contexts == []


def test_empty_directory_is_used_in_place(target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock) -> None:
    """An empty directory of the daemon keeps its inode: a container may have mounted it before the daemon started."""
    target = target_of()
    target.directory.path.mkdir(parents=True, mode=0o755)
    inode = target.directory.path.stat().st_ino

    assert refresh(target, supplier, clock).result is Result.PUBLISHED
    assert target.directory.path.stat().st_ino == inode


@pytest.mark.parametrize("name", ["token", "credentials.json", "env"])
def test_change_during_a_visit_is_a_difference_at_the_next_look(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock, name: str
) -> None:
    """A file that changes after it was judged counts as it was judged: the next look finds what it is now."""
    target = target_of()
    refresher = Refresher(suppliers={"worker": supplier}, chain=lambda: FakeChain(clock), clock=clock)
    refresher.refresh(target, first=True)
    intruder = Intruder(lambda: (target.directory.path / name).chmod(0))
    visited = Refresher(suppliers={"worker": supplier}, chain=lambda: FakeChain(clock), clock=intruder)

    outcome = visited.refresh(target)

    assert outcome.error is None
    assert outcome.state != target.directory.read_state()
    repaired = refresher.refresh(target)
    assert repaired.repaired == (name,)
    assert repaired.state == target.directory.read_state()


@pytest.mark.parametrize("name", ["token", "credentials.json", "env"])
def test_drift_is_repaired(target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock, name: str) -> None:
    """A changed mode, changed content or a lost file is repaired, and no new token is minted for the documents."""
    target = target_of()
    refresh(target, supplier, clock)
    before = read_files(target)
    path = target.directory.path / name

    path.chmod(0o444)
    outcome = refresh(target, supplier, clock)

    assert outcome.repaired == (name,)
    assert path.stat().st_mode & 0o777 == 0o400
    assert read_files(target) == before
    path.unlink()
    refresh(target, supplier, clock)
    assert read_files(target).keys() == before.keys()


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff\xfe", b"{}"], ids=["empty", "text", "binary", "json"])
def test_ruined_token_is_replaced(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock, content: bytes
) -> None:
    """A token file with any other content is replaced at once."""
    target = target_of()
    refresh(target, supplier, clock)
    token = target.directory.path / "token"
    token.chmod(0o600)
    token.write_bytes(content)

    outcome = refresh(target, supplier, clock)

    assert outcome.result is Result.PUBLISHED
    assert read_files(target)["token"] == make_jwt().encode()


def test_token_from_the_future_is_replaced(target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock) -> None:
    """After the clock moves back, a token issued later than now is replaced, though it would expire later."""
    target = target_of()
    refresh(target, supplier, clock)
    clock.wall -= timedelta(hours=1)

    outcome = refresh(target, supplier, clock)

    assert outcome.result is Result.PUBLISHED
    assert outcome.life is not None
    assert outcome.life.issued_at == NOW - timedelta(hours=1)


def test_opaque_token_is_described(target_of: MakeTarget, clock: FakeClock) -> None:
    """The lifetime of an opaque token is in its description, and the token stays while it is fresh."""
    target = target_of()
    target = replace(target, expected=replace(target.expected, is_jwt=False))

    class Opaque:
        def supply(self, context: object, now: object) -> SubjectToken:
            return SubjectToken(
                value="ya29.opaque", issued_at=NOW, expires_at=NOW + timedelta(hours=1), unverified_claims=None
            )

    first = refresh(target, Opaque(), clock)
    second = refresh(target, Opaque(), clock)

    assert (first.result, second.result) == (Result.PUBLISHED, Result.KEPT)
    assert b"ya29" not in read_files(target)["artifacts.json"]


@pytest.mark.parametrize("name", ["env", "credentials.json"])
def test_removed_file_is_written_again_and_reported(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock, name: str
) -> None:
    """A static file that is removed under a running daemon is in the outcome; one that is new is not."""
    target = target_of()
    refresher = Refresher(suppliers={"worker": supplier}, chain=lambda: FakeChain(clock), clock=clock)
    supplier.failure = SupplyError("p", "r")
    assert refresher.refresh(target, first=True).repaired == ()
    supplier.failure = None
    assert refresher.refresh(target).repaired == ()
    (target.directory.path / name).unlink()

    assert refresher.refresh(target).repaired == (name,)


@pytest.mark.parametrize(
    ("documents", "variables", "changed"),
    [
        pytest.param({"token_path": "/b/token"}, {}, {"credentials.json": ("credential_source.file",)}, id="path"),
        pytest.param(
            {"quota_project": "q"},
            {"quota_project": "q"},
            {
                "credentials.json": ("quota_project_id",),
                "env": ("CLOUDSDK_BILLING_QUOTA_PROJECT", "GOOGLE_CLOUD_QUOTA_PROJECT"),
            },
            id="quota-project",
        ),
        pytest.param(
            {},
            {"project": "other"},
            {"env": ("CLOUDSDK_CORE_PROJECT", "GCLOUD_PROJECT", "GOOGLE_CLOUD_PROJECT")},
            id="project",
        ),
        pytest.param(
            {"endpoints": Endpoints.of_universe("example.com")},
            {},
            {"credentials.json": ("service_account_impersonation_url", "token_url", "universe_domain")},
            id="universe",
        ),
        pytest.param({}, {}, {}, id="nothing"),
    ],
)
def test_keys_that_an_edit_changed_are_named(
    target_of: MakeTarget,
    supplier: FakeSupplier,
    clock: FakeClock,
    documents: dict[str, Any],
    variables: dict[str, Any],
    changed: dict[str, tuple[str, ...]],
) -> None:
    """The keys of files that running containers have read are in the outcome if their values differ."""

    def build(documents: dict[str, Any], variables: dict[str, Any]) -> Target:
        usual = {"token_path": "/a/token", "quota_project": None, "endpoints": Endpoints.of_universe()}
        document = adc.adc_document(provider=PROVIDER, service_account="a@p", lifetime=None, **usual | documents)
        values = environment.variables(
            **{"container_directory": "/a", "project": "p", "quota_project": None} | variables
        )
        return replace(target_of(), static=build_static([], TargetFacts(document, values, "/a")))

    refresh(build({}, {}), supplier, clock)

    outcome = refresh(build(documents, variables), supplier, clock)

    assert outcome.changed == changed


def test_keys_are_named_after_an_edit_that_withdraws(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock
) -> None:
    """The same identity with another service account: its former files are withdrawn, and still compared."""
    refresh(target_of(), supplier, clock)

    outcome = refresh(target_of(account="bob@p.iam.gserviceaccount.com"), supplier, clock)

    assert "service_account_impersonation_url" in outcome.changed["credentials.json"]


@pytest.mark.parametrize("former", [b"", b"\xff=\xff\n", b"[1]", b"{" * 9000, b"eyJhbGciOi.secret\n", b'{"a b\\n": 1}'])
def test_names_come_from_no_file_of_another_shape(former: bytes) -> None:
    """A former file can hold anything: only names of the usual shape are shown."""
    assert list_changed_keys(former, b"A=b\n") == ("A",)


@pytest.mark.parametrize(("size", "result"), [(MAXIMUM_SIZE, Result.KEPT), (MAXIMUM_SIZE + 1, Result.FAILED)])
def test_limit_of_a_token_is_one_on_both_sides(
    target_of: MakeTarget, clock: FakeClock, size: int, result: Result
) -> None:
    """The largest token that may be supplied is published and read back; a larger one is refused and not written."""
    target = target_of()
    target = replace(target, expected=replace(target.expected, is_jwt=False))
    life = {"issued_at": NOW, "expires_at": NOW + timedelta(hours=1)}

    class Opaque:
        def supply(self, context: object, now: object) -> SubjectToken:
            return SubjectToken(value="a" * size, unverified_claims=None, **life)

    refresh(target, Opaque(), clock)
    again = refresh(target, Opaque(), clock)

    assert again.result is result
    assert again.error is None or "more than 65536" in again.error.problem
    assert (target.directory.path / "token").exists() is (result is Result.KEPT)


def test_static_file_of_any_size_is_read_back(target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock) -> None:
    """An `env` with hundreds of ID tokens is larger than a token may be; it is written once and not again and again."""
    target = target_of()
    target = replace(target, static={**target.static, ENVIRONMENT: b"A=b\n" * 50_000})
    refresh(target, supplier, clock)

    assert refresh(target, supplier, clock).repaired == ()


def test_unwritable_directory_is_a_publish_error(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock
) -> None:
    """An unsafe directory is reported as such, and no token is supplied for it."""
    target = target_of()
    target.directory.path.mkdir(parents=True)
    target.directory.path.chmod(0o777)

    outcome = refresh(target, supplier, clock)

    assert isinstance(outcome.error, PublishError)
    assert supplier.contexts == []


def test_every_file_is_written_once_when_there_was_none(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock
) -> None:
    """A first refresh writes the directory in one step; what a remote supplier delays has a step of its own."""
    target, drawn = target_of(), list[str]()

    def draw() -> str:
        drawn.append(f"{len(drawn):016x}")
        return drawn[-1]

    refresh(replace(target, directory=replace(target.directory, random_name=draw)), supplier, clock)

    assert len(drawn) == len(["the directory with record and ADC document", "token", "env"])


def test_targets_of_one_identity_share_a_supply(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock
) -> None:
    """Two directories of one identity use one supply; another identity has its own."""
    first = target_of("one")
    second = replace(target_of("two"), context=first.context)
    third = target_of("three", subject="user-3")
    refresher = Refresher(suppliers={"worker": supplier}, chain=lambda: FakeChain(clock), clock=clock)

    for target in (first, second, third):
        refresher.refresh(target)

    assert [context.subject for context in supplier.contexts] == ["user-1", "user-3"]
    assert read_files(first)["token"] == read_files(second)["token"]


def test_nothing_secret_in_an_outcome(target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock) -> None:
    """Neither a success nor a rejection shows the token."""
    target = target_of()
    published = refresh(target, supplier, clock)
    supplier.fixed = jwt_of({"iss": "x", "sub": "user-1", "aud": "y", "iat": 1, "exp": 2})
    clock.pass_(timedelta(minutes=31))
    rejected = refresh(target, supplier, clock)

    for text in (repr(published), repr(rejected), str(rejected.error)):
        assert "eyJ" not in text


def unnamed(target: Target, source: str = "file of alice") -> Target:
    """Return the same target with a subject that only the supplier knows."""
    fingerprint = compute_fingerprint(
        subject=None, service_account="shared@p.iam.gserviceaccount.com", via="federation", subject_source=(source,)
    )
    return replace(
        target,
        expected=replace(target.expected, subject=None),
        context=replace(target.context, subject=None),
        record=target.record._replace(fingerprint=fingerprint),
    )


def test_token_is_withdrawn_when_its_source_is_another(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock
) -> None:
    """Without a configured subject, a token from another source is withdrawn with `env`, even if the supply fails."""
    refresh(unnamed(target_of()), supplier, clock)
    supplier.failure = SupplyError("p", "r", retryable=True)

    assert refresh(unnamed(target_of()), supplier, clock).result is Result.KEPT
    assert refresh(unnamed(target_of(), "file of bob"), supplier, clock).result is Result.FAILED
    assert set(read_files(target_of())) == {"credentials.json"}


@pytest.mark.parametrize("steps", range(6))
def test_next_run_continues_wherever_publishing_is_cut_short(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock, steps: int
) -> None:
    """A takeover that stops after any write leaves nothing of the former identity, and the next run completes it."""
    alice, bob = target_of(), target_of(identity="bob", subject="user-2")
    refresh(alice, supplier, clock)
    names = [f"{step:016x}" for step in range(steps)]  # the IndexError at the end stands for a crash
    torn = replace(bob, directory=replace(bob.directory, random_name=names.pop))

    with suppress(IndexError):
        refresh(torn, supplier, clock)
    between = read_files(bob) if bob.directory.path.exists() else {}
    done = refresh(bob, supplier, clock)

    assert between.get("token") in (None, make_jwt(subject="user-2").encode())
    assert done.error is None
    assert read_files(bob)["token"] == make_jwt(subject="user-2").encode()
    assert read_files(bob)["env"] == bob.static[ENVIRONMENT]


@pytest.mark.parametrize("change", OTHERS.values(), ids=list(OTHERS))
def test_directory_that_another_process_takes_over_meanwhile_is_left_alone(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock, change: dict[str, str]
) -> None:
    """If another process changes the directory's identity to bob during a supply, alice's token is not published."""
    alice, bob = target_of(), target_of(**change)
    theirs: list[dict[str, bytes]] = []

    class Overtaken:
        def supply(self, context: SupplierContext, now: datetime) -> SubjectToken:
            assert refresh(bob, supplier, clock).result is Result.PUBLISHED
            theirs.append(read_files(bob))
            return supplier.supply(context, now)

    outcome = refresh(alice, Overtaken(), clock)

    assert isinstance(outcome.error, PublishError)
    assert outcome.life is None
    assert read_files(alice) == theirs[0]


@pytest.mark.parametrize("force", [False, True], ids=["due", "forced"])
def test_better_token_of_another_process_is_kept(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock, *, force: bool
) -> None:
    """A newer token that another process published in the meantime is neither overwritten nor a failure."""
    target = target_of()

    class Overtaken:
        def supply(self, context: SupplierContext, now: datetime) -> SubjectToken:
            early = supplier.supply(context, now)
            clock.pass_(timedelta(minutes=1))
            assert refresh(target, supplier, clock, force=force).result is Result.PUBLISHED
            return early

    outcome = refresh(target, Overtaken(), clock, force=force)

    assert (outcome.result, outcome.error) == (Result.KEPT, None)
    assert outcome.life is not None
    assert outcome.life.issued_at == NOW + timedelta(minutes=1)


def test_takeover_goes_on_after_a_file_that_cannot_be_removed(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock
) -> None:
    """While an artifact of alice cannot be removed, all others are withdrawn, and nothing of bob is published."""
    alice, bob = target_of(), target_of(identity="bob", subject="user-2")
    refresh(alice, supplier, clock)
    (alice.directory.path / "boto").write_bytes(b"of alice")
    obstacle = alice.directory.path / "access_token"
    obstacle.mkdir()

    outcomes = [refresh(bob, supplier, clock) for _ in range(2)]
    there = sorted(os.listdir(alice.directory.path))
    obstacle.rmdir()
    last = refresh(bob, supplier, clock)

    assert [type(outcome.error) for outcome in outcomes] == [PublishError, PublishError]
    assert there == [RECORD, "access_token"]
    assert last.result is Result.PUBLISHED
    assert set(read_files(bob)) == {"credentials.json", "env", "token"}


def test_files_that_cannot_be_read_are_withdrawn_from_another_identity(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock
) -> None:
    """The files' owner can prevent us from reading them (a lease); all his files are withdrawn nevertheless."""
    alice, bob = target_of(), target_of(identity="bob", subject="user-2", account="bob@p.iam.gserviceaccount.com")
    refresh(alice, supplier, clock)
    directory = alice.directory.path
    for left in ("access_token", ".token.0123456789abcdef.tmp", "artifacts.json"):
        (directory / left).write_bytes(b"{}")
    leases = [os.open(directory / name, os.O_RDWR) for name in ("token", "credentials.json", "artifacts.json")]
    for lease in leases:
        fcntl.fcntl(lease, fcntl.F_SETSIG, signal.SIGURG)  # whose default is to be ignored
        fcntl.fcntl(lease, fcntl.F_SETLEASE, fcntl.F_WRLCK)

    Refresher(suppliers={"worker": supplier}, chain=lambda: FakeChain(clock), clock=clock).refresh(bob, first=False)
    for lease in leases:
        os.close(lease)

    files = read_files(bob)
    assert set(files) == {"credentials.json", "env", "token"}
    assert (files["credentials.json"], files["env"]) == (bob.static[CREDENTIALS], bob.static[ENVIRONMENT])


def test_leased_files_of_the_same_identity_are_replaced(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock
) -> None:
    """A lease prevents us from reading a token, but not from replacing it with a new one."""
    target = target_of()
    refresh(target, supplier, clock)
    lease = os.open(target.directory.path / TOKEN, os.O_RDWR)
    fcntl.fcntl(lease, fcntl.F_SETSIG, signal.SIGURG)  # whose default is to be ignored
    fcntl.fcntl(lease, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    clock.pass_(timedelta(seconds=1))

    outcome = refresh(target, supplier, clock)
    os.close(lease)

    assert outcome.result is Result.PUBLISHED
    assert assess_token(target, target.directory.read((TOKEN, DESCRIPTIONS)), clock.now()).state is State.FRESH


def test_short_lived_token_is_better_than_none(target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock) -> None:
    """If no better token is in the file, a token within its minimum validity is published."""
    supplier.fixed = make_jwt(issued_at=NOW - timedelta(minutes=58))

    assert refresh(target_of(), supplier, clock).result is Result.PUBLISHED
