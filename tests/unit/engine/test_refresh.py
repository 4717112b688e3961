from __future__ import annotations

import fcntl
import os
import signal
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from refresher.engine.judgement import judge
from refresher.engine.refresh import Outcome, Refresher, Result
from refresher.engine.sharing import SharedSupplies
from refresher.engine.target import IdTokenRequest, MintedArtifact
from refresher.errors import PublishError, SupplyError, TokenRejectedError
from refresher.policy import State
from refresher.tokens import SubjectToken
from tests.tokens import NOW, jwt_of, make_jwt

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from refresher.engine.target import Target
    from refresher.suppliers.interface import SupplierContext
    from tests.fakes import FakeClock, FakeSupplier

    MakeTarget = Callable[..., Target]


def refresh(target: Target, supplier: object, clock: FakeClock, *, force: bool = False) -> Outcome:
    """Refresh a target once, as a process that was never there before."""
    supplies = SharedSupplies({"worker": supplier})  # type: ignore[dict-item]  # fakes of several shapes
    return Refresher(supplies=supplies, clock=clock).refresh(target, force=force, first=True)


def files_of(target: Target) -> dict[str, bytes]:
    """Give every file of a target's directory."""
    return {entry.name: entry.read_bytes() for entry in target.directory.path.iterdir()}


def test_first_refresh_publishes_everything(target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock) -> None:
    """From nothing, a refresh publishes token, ADC document and variables, and tells what the token is."""
    target = target_of()

    outcome = refresh(target, supplier, clock)

    assert outcome.result is Result.PUBLISHED
    assert outcome.token is not None
    assert outcome.token.subject == "user-1"
    assert files_of(target) == {
        "token": make_jwt().encode(),
        "credentials.json": target.credentials,
        "env": target.environment,
    }


def test_order_of_publication(target_of: MakeTarget, clock: FakeClock) -> None:
    """The ADC document is there before the token, and the variables only after it."""
    target = target_of()
    seen: list[list[str]] = []

    class Looking:
        def supply(self, context: object, now: object) -> SubjectToken:
            seen.append(sorted(os.listdir(target.directory.path)))
            raise SupplyError("no", "wait", retryable=True)

    outcome = refresh(target, Looking(), clock)

    assert seen == [["credentials.json"]]
    assert outcome.result is Result.FAILED
    assert sorted(os.listdir(target.directory.path)) == ["credentials.json"]


def test_rejected_token_is_believed_in_nothing(target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock) -> None:
    """Where only the supplier knows the subject, a token that is refused anyway takes no directory over."""
    target = target_of()
    target = replace(target, expected=replace(target.expected, subject=None))
    refresh(target, supplier, clock)
    before = files_of(target)
    supplier.fixed = make_jwt(subject="user-2", audience="https://wrong.example")

    outcome = refresh(target, supplier, clock, force=True)

    assert isinstance(outcome.error, TokenRejectedError)
    assert files_of(target) == before


def test_foreign_pair_stays_together_until_there_is_a_token(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock
) -> None:
    """While the supplier fails, the document of another audience stays beside the token that it was made for."""
    target = target_of()
    refresh(target, supplier, clock)
    before = files_of(target)
    changed = replace(
        target,
        credentials=target.credentials.replace(b"/providers/refresher", b"/providers/another"),
        expected=replace(target.expected, audiences=frozenset({"https://other"})),
        context=replace(target.context, audience="https://other"),
    )
    supplier.failure = SupplyError("no", "wait", retryable=True)

    failed = refresh(changed, supplier, clock)
    assert failed.result is Result.FAILED
    assert files_of(target) == before
    supplier.failure = None
    assert refresh(changed, supplier, clock).result is Result.PUBLISHED
    assert files_of(target)["credentials.json"] == changed.credentials


def test_fresh_token_is_kept(target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock) -> None:
    """A fresh token is neither replaced nor supplied again, and no file changes."""
    target = target_of()
    refresh(target, supplier, clock)
    before = target.directory.sign()

    outcome = refresh(target, supplier, clock)

    assert outcome.result is Result.KEPT
    assert len(supplier.contexts) == 1
    assert target.directory.sign() == before


def test_due_token_is_replaced(target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock) -> None:
    """At half its life a token is replaced by one that lives longer."""
    target = target_of()
    refresh(target, supplier, clock)
    clock.pass_(timedelta(minutes=30))

    outcome = refresh(target, supplier, clock)

    assert outcome.result is Result.PUBLISHED
    assert outcome.token is not None
    assert outcome.token.expires_at == NOW + timedelta(minutes=90)


def test_force_replaces_a_fresh_token(target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock) -> None:
    """Asked to, a refresh replaces a token that is still fresh."""
    target = target_of()
    refresh(target, supplier, clock)
    clock.pass_(timedelta(seconds=1))

    assert refresh(target, supplier, clock, force=True).result is Result.PUBLISHED


@pytest.mark.parametrize("age", [30, 55, 61], ids=["due", "overdue", "expired"])
def test_failure_leaves_every_byte(target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock, age: int) -> None:
    """When the supplier fails, files stay as they were, however old the token is."""
    target = target_of()
    refresh(target, supplier, clock)
    before = target.directory.sign()
    supplier.failure = SupplyError("the issuer is gone", "bring it back")
    clock.pass_(timedelta(minutes=age))

    outcome = refresh(target, supplier, clock)

    assert outcome.error is supplier.failure
    assert target.directory.sign() == before


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        pytest.param({"subject": "user-2"}, "sub is", id="subject"),
        pytest.param({"issuer": "https://evil.example.com"}, "iss is", id="issuer"),
        pytest.param({"audience": "https://evil.example.com"}, "aud is", id="audience"),
        pytest.param({"kid": "key-9"}, "not published", id="key"),
        pytest.param({"issued_at": NOW + timedelta(minutes=40)}, "iat is ahead", id="future"),
        pytest.param({"issued_at": NOW - timedelta(minutes=30)}, "minimum validity", id="nearly-over"),
        pytest.param({"issued_at": NOW - timedelta(hours=2)}, "minimum validity", id="expired"),
    ],
)
def test_unworthy_token_is_not_published(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock, claims: dict[str, object], reason: str
) -> None:
    """A token with wrong claims or too little life is refused, and the present one stays."""
    target = target_of()
    refresh(target, supplier, clock)
    before = target.directory.sign()
    clock.pass_(timedelta(minutes=29))
    supplier.fixed = make_jwt(**claims)  # type: ignore[arg-type]  # arguments by name

    outcome = refresh(target, supplier, clock, force=True)

    assert isinstance(outcome.error, TokenRejectedError)
    assert reason in outcome.error.problem
    assert target.directory.sign() == before


def test_token_that_ends_sooner_is_not_published(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock
) -> None:
    """A token that ends before the present one never replaces it."""
    target = target_of()
    refresh(target, supplier, clock)
    clock.pass_(timedelta(minutes=30))
    supplier.lifetime = timedelta(minutes=20)

    outcome = refresh(target, supplier, clock)

    assert isinstance(outcome.error, TokenRejectedError)
    assert files_of(target)["token"] == make_jwt().encode()


def test_same_token_again_is_unchanged_until_overdue(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock
) -> None:
    """A supplier that repeats itself has not failed, until the token is overdue."""
    target = target_of()
    supplier.fixed = make_jwt()
    refresh(target, supplier, clock)
    clock.pass_(timedelta(minutes=40))
    due = refresh(target, supplier, clock)
    clock.pass_(timedelta(minutes=15))
    overdue = refresh(target, supplier, clock)

    assert (due.result, due.error) == (Result.UNCHANGED, None)
    assert isinstance(overdue.error, SupplyError)
    assert files_of(target)["token"] == make_jwt().encode()


def test_longer_life_than_configured_is_superseded(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock
) -> None:
    """When the configured lifetime shrinks, a token of the former one is replaced though it would live longer."""
    target = target_of()
    refresh(target, supplier, clock)
    supplier.lifetime = timedelta(minutes=20)
    shorter = replace(target, expected=replace(target.expected, maximum_lifetime=timedelta(minutes=20)))

    outcome = refresh(shorter, supplier, clock)

    assert outcome.result is Result.PUBLISHED
    assert outcome.token is not None
    assert outcome.token.expires_at == NOW + timedelta(minutes=20)


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
    assert files_of(target)["token"] == make_jwt().encode()


@pytest.mark.parametrize(
    "change",
    [{"subject": "user-2"}, {"account": "bob@p.iam.gserviceaccount.com"}],
    ids=["another-subject", "another-service-account"],
)
def test_another_identity_takes_a_directory_over(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock, change: dict[str, str]
) -> None:
    """Variables, then token of the former identity go before anything of the new one comes, even if supply fails."""
    refresh(target_of(path="shared"), supplier, clock)
    bob = target_of("bob", path="shared", **change)
    seen: list[list[str]] = []

    class Looking:
        def supply(self, context: object, now: object) -> SubjectToken:
            seen.append(sorted(os.listdir(bob.directory.path)))
            raise SupplyError("no", "wait", retryable=True)

    failed = refresh(bob, Looking(), clock)
    done = refresh(bob, supplier, clock)

    assert seen == [["credentials.json"]]
    assert failed.result is Result.FAILED
    assert done.result is Result.PUBLISHED
    assert files_of(bob)["credentials.json"] == bob.credentials
    assert files_of(bob)["env"] == bob.environment


@pytest.mark.parametrize("name", ["token", "credentials.json", "env"])
def test_drift_is_repaired(target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock, name: str) -> None:
    """A changed mode, content or a lost file is put right without another token being minted for the documents."""
    target = target_of()
    refresh(target, supplier, clock)
    before = files_of(target)
    path = target.directory.path / name

    path.chmod(0o444)
    outcome = refresh(target, supplier, clock)

    assert outcome.repaired == (name,)
    assert path.stat().st_mode & 0o777 == 0o400
    assert files_of(target) == before
    path.unlink()
    refresh(target, supplier, clock)
    assert files_of(target).keys() == before.keys()


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff\xfe", b"{}"], ids=["empty", "text", "binary", "json"])
def test_ruined_token_is_replaced(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock, content: bytes
) -> None:
    """A token file with anything else in it gets a new token at once."""
    target = target_of()
    refresh(target, supplier, clock)
    token = target.directory.path / "token"
    token.chmod(0o600)
    token.write_bytes(content)

    outcome = refresh(target, supplier, clock)

    assert outcome.result is Result.PUBLISHED
    assert files_of(target)["token"] == make_jwt().encode()


def test_token_from_the_future_is_replaced(target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock) -> None:
    """After the clock went back, a token issued later than now is replaced though it would end later."""
    target = target_of()
    refresh(target, supplier, clock)
    clock.wall -= timedelta(hours=1)

    outcome = refresh(target, supplier, clock)

    assert outcome.result is Result.PUBLISHED
    assert outcome.token is not None
    assert outcome.token.issued_at == NOW - timedelta(hours=1)


def test_opaque_token_is_described(target_of: MakeTarget, clock: FakeClock) -> None:
    """The life of an opaque token is told beside it, and such a token is kept while it is fresh."""
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
    assert b"ya29" not in files_of(target)["artifacts.json"]


def test_unwritable_directory_is_a_publish_error(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock
) -> None:
    """A directory that cannot be trusted is told as such, and nothing is supplied for it."""
    target = target_of()
    target.directory.path.mkdir(parents=True)
    target.directory.path.chmod(0o777)

    outcome = refresh(target, supplier, clock)

    assert isinstance(outcome.error, PublishError)
    assert supplier.contexts == []


def test_targets_of_one_identity_share_a_supply(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock
) -> None:
    """Two directories of one identity are served by one supply; another identity gets its own."""
    first = target_of("one")
    second = replace(target_of("two"), context=first.context)
    third = target_of("three", subject="user-3")
    refresher = Refresher(supplies=SharedSupplies({"worker": supplier}), clock=clock)

    for target in (first, second, third):
        refresher.refresh(target)

    assert [context.subject for context in supplier.contexts] == ["user-1", "user-3"]
    assert files_of(first)["token"] == files_of(second)["token"]


def test_nothing_secret_in_an_outcome(target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock) -> None:
    """Neither a success nor a rejection shows the token."""
    target = target_of()
    published = refresh(target, supplier, clock)
    supplier.fixed = jwt_of({"iss": "x", "sub": "user-1", "aud": "y", "iat": 1, "exp": 2})
    clock.pass_(timedelta(minutes=31))
    rejected = refresh(target, supplier, clock)

    for text in (repr(published), repr(rejected), str(rejected.error)):
        assert "eyJ" not in text


def unnamed(target: Target, request: str = "file of alice") -> Target:
    """Give the same target with a subject that only the supplier knows."""
    return replace(
        target,
        expected=replace(target.expected, subject=None),
        context=replace(target.context, subject=None),
        token_request=request,
    )


@pytest.mark.parametrize("gone", [(), ("env",)], ids=["whole", "without env"])
def test_unnamed_token_is_kept_while_it_is_what_was_asked_for(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock, gone: tuple[str, ...]
) -> None:
    """Where no subject is configured, the description says whose a token is, and no supplier needs to be asked."""
    target = unnamed(target_of())
    refresh(target, supplier, clock)
    token = files_of(target)["token"]
    for name in gone:
        (target.directory.path / name).unlink()
    supplier.failure = SupplyError("p", "r", retryable=True)

    assert refresh(target, supplier, clock).result is Result.KEPT
    assert set(files_of(target)) == {"artifacts.json", "credentials.json", "env", "token"}
    assert files_of(target)["token"] == token


@pytest.mark.parametrize("how", ["another request", "no description"])
def test_unnamed_token_does_not_survive_a_hand_over(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock, how: str
) -> None:
    """A token that was supplied for something else goes, with `env`, even if the new supplier fails."""
    target = unnamed(target_of())
    refresh(target, supplier, clock)
    supplier.failure = SupplyError("p", "r", retryable=True)
    if how == "no description":
        (target.directory.path / "artifacts.json").unlink()
    else:
        target = unnamed(target, "file of bob")
    contents = target.directory.read()

    assert judge(target, contents, clock.now()).state is State.FOREIGN
    assert refresh(target, supplier, clock).result is Result.FAILED
    assert set(files_of(target)) == {"credentials.json"}


@pytest.mark.parametrize("steps", range(5))
def test_unnamed_token_is_described_wherever_publishing_is_cut_short(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock, steps: int
) -> None:
    """No token is ever there without the description that says what it was supplied for."""
    target = unnamed(target_of())
    names = iter([f"{step:016x}" for step in range(steps)])
    torn = replace(target, directory=replace(target.directory, random_name=lambda: next(names)))

    with suppress(StopIteration):
        refresh(torn, supplier, clock)

    assert judge(target, target.directory.read(), clock.now()).state in (State.ABSENT, State.FRESH)


@pytest.mark.parametrize("unnamed_too", [False, True], ids=["by its subject", "by its request"])
def test_directory_that_changes_hands_during_a_supply_is_left_alone(
    target_of: MakeTarget,
    supplier: FakeSupplier,
    clock: FakeClock,
    unnamed_too: bool,  # noqa: FBT001 - a parameter
) -> None:
    """Another process may give the directory to bob while alice's token is supplied: hers is then not published."""
    alice, bob = target_of(), target_of("bob", subject="user-2", path="alice")
    if unnamed_too:
        alice, bob = unnamed(alice, "file of alice"), unnamed(bob, "file of bob")
    theirs: list[dict[str, bytes]] = []

    class Overtaken:
        def supply(self, context: SupplierContext, now: datetime) -> SubjectToken:
            assert refresh(bob, supplier, clock).result is Result.PUBLISHED
            theirs.append(files_of(bob))
            return supplier.supply(context, now)

    outcome = refresh(alice, Overtaken(), clock)

    assert isinstance(outcome.error, PublishError)
    assert outcome.token is None
    assert files_of(alice) == theirs[0]


def test_better_token_of_another_process_is_kept(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock
) -> None:
    """What another process published meanwhile for the same identity is compared, not overwritten."""
    target = target_of()

    class Overtaken:
        def supply(self, context: SupplierContext, now: datetime) -> SubjectToken:
            early = supplier.supply(context, now)
            clock.pass_(timedelta(minutes=1))
            assert refresh(target, supplier, clock).result is Result.PUBLISHED
            return early

    outcome = refresh(target, Overtaken(), clock)

    assert isinstance(outcome.error, TokenRejectedError)
    assert outcome.token is not None
    assert outcome.token.issued_at == NOW + timedelta(minutes=1)


def test_takeover_that_is_cut_short_is_taken_up_again(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock
) -> None:
    """While an artifact of alice's cannot be taken away, bob's token is not published beside it; then all goes."""
    alice, bob = unnamed(target_of(), "file of alice"), unnamed(target_of(), "file of bob")
    refresh(alice, supplier, clock)
    (alice.directory.path / "boto").write_bytes(b"of alice")
    obstacle = alice.directory.path / "access_token"
    obstacle.mkdir()

    outcomes = [refresh(bob, supplier, clock) for _ in range(2)]
    there = sorted(path.name for path in obstacle.parent.iterdir())
    obstacle.rmdir()
    last = refresh(bob, supplier, clock)

    assert [type(outcome.error) for outcome in outcomes] == [PublishError, PublishError]
    assert "env" not in there
    assert last.result is Result.PUBLISHED
    assert set(files_of(bob)) == {"artifacts.json", "credentials.json", "env", "token"}


def test_what_cannot_be_read_is_taken_over(target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock) -> None:
    """The files' owner can keep us from reading them (a lease): nothing of his outlives that, not even half a file."""
    alice = target_of()
    bob = target_of("bob", subject="user-2", account="bob@p.iam.gserviceaccount.com", path="alice")
    refresh(alice, supplier, clock)
    directory = alice.directory.path
    for left in ("access_token", ".token.0123456789abcdef.tmp", "artifacts.json"):
        (directory / left).write_bytes(b"{}")
    leases = [os.open(directory / name, os.O_RDWR) for name in ("token", "credentials.json", "artifacts.json")]
    for lease in leases:
        fcntl.fcntl(lease, fcntl.F_SETSIG, signal.SIGURG)  # whose default is to be ignored
        fcntl.fcntl(lease, fcntl.F_SETLEASE, fcntl.F_WRLCK)

    Refresher(supplies=SharedSupplies({"worker": supplier}), clock=clock).refresh(bob, first=False)
    for lease in leases:
        os.close(lease)

    files = files_of(bob)
    assert set(files) == {"credentials.json", "env", "token"}
    assert (files["credentials.json"], files["env"]) == (bob.credentials, bob.environment)


def test_takeover_of_a_named_token_is_taken_up_again(
    target_of: MakeTarget, supplier: FakeSupplier, clock: FakeClock
) -> None:
    """The former token goes after what was minted with it: it alone tells whose that is, if both act as one account."""
    web = MintedArtifact(name="id_tokens/web", request=IdTokenRequest(audience="web", include_email=False))
    alice, bob = target_of(), target_of("bob", subject="user-2", path="alice", minted=(web,))
    refresh(alice, supplier, clock)
    folder, obstacle = alice.directory.path / "id_tokens", alice.directory.path / "access_token"
    folder.mkdir(mode=0o711)
    (folder / "web").write_bytes(b"of alice")
    obstacle.mkdir()

    cut_short = refresh(bob, supplier, clock)
    obstacle.rmdir()
    last = refresh(bob, supplier, clock)

    assert (cut_short.result, last.result) == (Result.FAILED, Result.PUBLISHED)
    assert list(folder.iterdir()) == []
