from datetime import timedelta

import pytest

from refresher.engine.causes import AGAIN
from refresher.engine.exchanges import ExchangeState
from refresher.engine.plan import MintedArtifact
from refresher.errors import ImpersonationError, PublishError, SupplyError
from refresher.observe.causes import Finding, Weight, list_findings
from tests.fakes import build_refusal
from tests.unit.observe.conftest import ACCESS, Fleet

DOWN = SupplyError("the issuer answered HTTP 503", "wait for it")


def find(fleet: Fleet) -> list[Finding]:
    """Return what is wrong with a fleet now."""
    return list_findings(fleet.board, fleet.survey.list_all(), fleet.clock.now())


def test_healthy_fleet_has_no_findings(fleet: Fleet) -> None:
    """A fleet in which everything is served, accepted and refreshed shows nothing."""
    fleet.adopt("alice", "bob")
    fleet.exchange("alice", ExchangeState.ACCEPTED)

    assert find(fleet) == []


def test_cause_takes_the_place_of_its_effect(fleet: Fleet) -> None:
    """Why a target can't be refreshed is the problem; what its files lack is a fact next to it."""
    fleet.adopt("alice")
    (fleet.targets["alice"].directory.path / "token").unlink()
    fleet.look()
    fleet.fail("alice", DOWN, failures=3)

    (finding,) = find(fleet)

    assert (finding.weight, finding.effect) == (Weight.FAILING, "Containers fail: there is no token")
    assert (finding.problem, finding.remedy, finding.targets) == (DOWN.problem, DOWN.remedy, ["alice"])
    assert finding.facts == (
        "3 failed attempts in a row",
        "next attempt in 25 min",
        "last success 0 s ago",
        "the token of target alice is absent",
    )


def test_one_cause_is_one_finding(fleet: Fleet) -> None:
    """Targets that fail for the same reason are one finding, though their names are in the messages."""
    fleet.adopt("alice", "bob", "carol")
    for name in ("alice", "bob"):
        fleet.fail(name, SupplyError(f"target {name}: the issuer is down", "wait"))
    fleet.fail("carol", SupplyError("target carol: no key", "create one"))

    findings = find(fleet)

    assert [(each.weight, each.targets) for each in findings] == [
        (Weight.THREATENED, ["alice", "bob"]),
        (Weight.THREATENED, ["carol"]),
    ]


def test_finding_shows_the_shortest_time_that_is_left(fleet: Fleet) -> None:
    """While files still serve, a finding shows how long that of the target lasts which expires first."""
    fleet.adopt("alice", "bob")
    fleet.clock.pass_(timedelta(minutes=31))
    fleet.publish("bob")
    fleet.look()
    fleet.board.note_tick([])
    for name in ("alice", "bob"):
        fleet.fail(name, DOWN)

    (finding,) = find(fleet)

    assert finding.effect == "Refreshing fails; containers work for another 29 min"
    assert finding.targets == ["alice", "bob"]
    assert "last success 31 min ago" in finding.facts


def test_fault_of_the_daemon_is_a_finding(fleet: Fleet) -> None:
    """What the daemon can't do is shown while it lasts, though every target is ready."""
    fleet.adopt("alice")
    fleet.board.note_tick([], [("the root is read-only", "mount it writable")])

    (finding,) = find(fleet)
    assert (finding.weight, finding.problem, finding.remedy) == (
        Weight.THREATENED,
        "the root is read-only",
        "mount it writable",
    )

    fleet.board.note_tick([])
    assert find(fleet) == []


def test_fault_that_fails_a_target_already_is_one_finding(fleet: Fleet) -> None:
    """What the daemon can't do is not shown next to the targets that fail for it."""
    fleet.adopt("alice", publish=False)
    fleet.fail("alice", DOWN)
    fleet.board.note_tick([], [(DOWN.problem, DOWN.remedy)])

    (finding,) = find(fleet)

    assert finding.targets == ["alice"]


def test_root_that_is_full_is_the_finding_of_the_targets_that_fail_for_it(fleet: Fleet) -> None:
    """The root and a file below it get one answer of the system: that is one cause, and the targets are named."""
    fleet.adopt("alice")
    fleet.fail("alice", PublishError("/r/alice/token can't be written: no space", "free space"))
    fleet.board.note_tick([], [("nothing can be renewed: /r can't be written: no space", "free space")])

    (finding,) = find(fleet)

    assert finding.targets == ["alice"]


def test_optional_artifact_is_named(fleet: Fleet) -> None:
    """An access token that is absent is a finding of its own."""
    fleet.adopt("alice", minted=(ACCESS,))

    (finding,) = find(fleet)

    assert (finding.weight, finding.effect) == (Weight.FAILING, "Programs that read access_token fail")


def test_refusal_of_google_names_identity_and_targets(fleet: Fleet) -> None:
    """What Google refuses comes first; what it does not answer is weaker."""
    fleet.adopt("alice", "bob")
    fleet.exchange("alice", ExchangeState.REFUSED, "permission denied")
    (refused,) = find(fleet)
    fleet.exchange("alice", ExchangeState.UNANSWERED, "HTTP 503")
    (unanswered,) = find(fleet)

    assert (refused.weight, refused.effect) == (Weight.FAILING, "Google refuses identity alice")
    assert (refused.problem, refused.remedy, refused.targets) == ("permission denied", "grant the role", ["alice"])
    assert (unanswered.weight, unanswered.effect) == (Weight.THREATENED, "Google does not answer identity alice")


def test_what_this_machine_cannot_ask_is_no_refusal(fleet: Fleet) -> None:
    """A proxy that can't be used is on this machine: the finding shows that, and is weaker than a refusal."""
    fleet.adopt("alice")
    fleet.exchange("alice", ExchangeState.UNANSWERED, "HTTPS_PROXY does not name an HTTP proxy", is_local=True)
    (found,) = find(fleet)

    assert (found.weight, found.effect) == (Weight.THREATENED, "This machine can't ask Google about identity alice")


@pytest.mark.parametrize(
    ("entry", "remedy"),
    [
        ("D4", "gcloud services enable iamcredentials.googleapis.com --project=p"),
        ("E8", "set the clock; the token was issued at 2026-11-30T10:0{}:00Z, 1 h {} min before the time here"),
    ],
    ids=["API off", "clock"],
)
def test_one_cause_of_many_identities_is_one_finding(fleet: Fleet, entry: str, remedy: str) -> None:
    """Google's words hold the account or the time of the token; entry and remedy show that the cause is one."""
    names = ["alice", "bob", "carol"]
    fleet.adopt(*names)
    fleet.exchange_all(
        *(
            fleet.build_exchange(
                name,
                ExchangeState.REFUSED,
                f"impersonating app-{number}@p.iam was refused: at 10:0{number}",
                entry=entry,
                remedy=remedy.format(number, number),
            )
            for number, name in enumerate(names)
        )
    )

    (found,) = find(fleet)

    assert found.targets == names
    assert found.effect == "Google refuses 3 identities: alice, bob, carol"


def test_unknown_refusals_stay_apart(fleet: Fleet) -> None:
    """What the catalogue does not know is kept apart by Google's words: its remedy is the same for all."""
    fleet.adopt("alice", "bob")
    refused = ExchangeState.REFUSED
    fleet.exchange_all(
        fleet.build_exchange("alice", refused, "HTTP 400: this", entry="unknown"),
        fleet.build_exchange("bob", refused, "HTTP 400: that", entry="unknown"),
    )

    assert len(find(fleet)) == 2


def test_one_cause_of_many_artifacts_is_one_finding(fleet: Fleet) -> None:
    """An API that is disabled keeps every access token from being minted, each with its account in the message."""
    fleet.adopt("alice", "bob", minted=(ACCESS,))
    for number, name in enumerate(("alice", "bob")):
        error = build_refusal(ImpersonationError, f"generateAccessToken of app-{number}@p.iam was refused", "enable it")
        error.entry = "D4"
        fleet.fail(name, error, artifact=ACCESS)

    (found,) = find(fleet)

    assert found.targets == ["alice", "bob"]


def test_cause_of_an_identity_and_of_its_artifacts_is_one_finding(fleet: Fleet) -> None:
    """What the canary and the jobs of two artifacts meet is one finding with all targets and what fails of them."""
    id_token = MintedArtifact(name="id_tokens/api")
    fleet.adopt("alice", "bob", minted=(ACCESS, id_token))
    remedy = "gcloud services enable iamcredentials.googleapis.com --project=p"
    fleet.exchange_all(
        *(
            fleet.build_exchange(
                name, ExchangeState.REFUSED, f"getAccessToken of {name}@p", entry="disabled", remedy=remedy
            )
            for name in ("alice", "bob")
        )
    )
    for name in ("alice", "bob"):
        for artifact in (ACCESS, id_token):
            error = build_refusal(ImpersonationError, f"mint {artifact.name} of {name}@p was refused", remedy)
            error.entry = "disabled"
            fleet.fail(name, error, artifact=artifact)

    (found,) = find(fleet)

    assert (found.effect, found.targets) == ("Google refuses 2 identities: alice, bob", ["alice", "bob"])
    assert found.facts[-2:] == (
        "Programs that read access_token fail (alice, bob)",
        "Programs that read id_tokens/api fail (alice, bob)",
    )


def test_silence_is_one_finding_for_identities_and_artifacts(fleet: Fleet) -> None:
    """The canary's remedy also shows that it asks again; that makes no other cause."""
    fleet.adopt("alice", minted=(ACCESS,))
    fleet.exchange("alice", ExchangeState.UNANSWERED, "HTTP 503", entry="server", remedy=f"wait; {AGAIN}")
    error = ImpersonationError("generateAccessToken: HTTP 503", "wait", retryable=True)
    error.entry = "server"
    fleet.fail("alice", error, artifact=ACCESS)

    (found,) = find(fleet)

    assert (found.weight, found.effect) == (Weight.FAILING, "Programs that read access_token fail")
    assert "Google does not answer (alice)" in found.facts


def test_full_disk_is_one_finding_for_tokens_and_artifacts(fleet: Fleet) -> None:
    """Which file could not be written makes no difference; the target that fails already leads, others are a fact."""
    fleet.adopt("alice", "bob", minted=(ACCESS,))
    (fleet.targets["alice"].directory.path / "token").unlink()
    fleet.look()
    for name in ("alice", "bob"):
        fleet.fail(name, PublishError(f"/r/{name}/token can't be written: no space", "free space"))
        fleet.fail(
            name, PublishError(f"/r/{name}/access_token can't be written: no space", "free space"), artifact=ACCESS
        )

    (found,) = find(fleet)

    assert (found.weight, found.effect) == (Weight.FAILING, "Containers fail: there is no token")
    assert found.targets == ["alice", "bob"]
    assert "refreshing the token fails, and the present one still serves (bob)" in found.facts


def test_daemon_and_configuration_are_judged(fleet: Fleet) -> None:
    """A tick that is late, an edit that is refused and a drop-in that is refused are findings, the worst first."""
    assert [each.problem for each in find(fleet)] == ["no configuration is in force yet"]
    fleet.adopt(refusal=(("refresher.yaml:1:1: bad", "fix it"),), complaints=(("x.yaml:1:1: bad", "fix that"),))
    fleet.clock.pass_(timedelta(minutes=2))

    assert [(each.weight, each.problem) for each in find(fleet)] == [
        (Weight.FAILING, "the daemon's last tick ended 2 min ago"),
        (Weight.THREATENED, "refresher.yaml:1:1: bad"),
        (Weight.THREATENED, "x.yaml:1:1: bad"),
        (Weight.NOTABLE, "no targets are configured"),
    ]
