import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from refresher.engine.exchanges import ExchangeState
from refresher.engine.outcome import Outcome, Result
from refresher.errors import SupplyError
from refresher.metadata.plan import EndpointHealth, ListenerHealth, ListenerState
from refresher.observe.health import examine
from refresher.observe.report import as_report
from tests.unit.observe.conftest import ACCESS

if TYPE_CHECKING:
    from tests.unit.observe.conftest import Fleet

WRONG = ("targets.d/x.yaml:1:1: identity is unknown", "write a known one")


@pytest.mark.parametrize(
    ("path", "status", "begin"),
    [
        ("/livez", 200, b"live\n"),
        ("/readyz", 200, b"ready\n"),
        ("/readyz?x=y", 200, b"ready\n"),
        ("/readyz/alice", 200, b"ready\n"),
        ("/readyz/alice?artifact=absent", 404, b"target alice has no artifact absent\n"),
        ("/readyz/alice?artifact=token", 200, b"ready\n"),
        ("/readyz/alice?exchange", 503, b"not ready\nidentity alice was not tried at Google yet\n"),
        ("/readyz/nobody", 404, b"there is no target nobody\n"),
        ("/readyz/%0a%1b[31m", 404, b"there is no target \\n\\x1b[31m\n"),
        ("/readyz/../alice", 404, b"there is no target ../alice\n"),
        ("/readyz/", 404, b"there is no target \n"),
        ("/metrics", 200, b"# HELP refresher_build_info"),
        ("/status.json", 200, b'{"ready": true'),
        ("/", 200, b"<!doctype html>"),
        ("/token", 404, b"there is nothing here"),
        ("/alice/token", 404, b"there is nothing here"),
        ("//", 404, b"there is nothing here"),
    ],
)
def test_each_path_has_one_answer(fleet: "Fleet", path: str, status: int, begin: bytes) -> None:
    """A healthy fleet answers each path, and no path leads to a file."""
    fleet.adopt("alice", "bob")

    response = fleet.ask(path)

    assert (response.status, response.body[: len(begin)]) == (status, begin)


@pytest.mark.parametrize("path", ["/readyz", "/readyz/alice"])
def test_probe_shows_why_the_daemon_did_not_put_it_right(fleet: "Fleet", path: str) -> None:
    """The files show what is missing, and only the daemon knows the cause and its remedy."""
    fleet.adopt("alice", "bob")
    (fleet.targets["alice"].directory.path / "token").unlink()
    fleet.fail("alice", SupplyError("the keys directory is gone", "restore it"))

    body = fleet.ask(path).body.decode()

    assert "the token of target alice is absent: the keys directory is gone\n  remedy: restore it\n" in body


def test_harmed_target_alone_is_not_ready(fleet: "Fleet") -> None:
    """A probe of a target answers for its files at that moment, and for no other target's."""
    fleet.adopt("alice", "bob")
    (fleet.targets["alice"].directory.path / "token").unlink()

    response = fleet.ask("/readyz/alice")

    assert response.status == 503
    assert response.body.startswith(b"not ready\nthe token of target alice is absent\n  remedy: ")
    assert fleet.ask("/readyz/bob").status == 200
    assert fleet.ask("/readyz").status == 503
    fleet.publish("alice")
    assert fleet.ask("/readyz").status == 200


def test_optional_artifact_that_is_configured_counts(fleet: "Fleet") -> None:
    """A target whose access token is absent is not ready, and `?artifact=NAME` asks for that one."""
    fleet.adopt("alice", minted=(ACCESS,))

    assert fleet.ask("/readyz").status == 503
    assert b"access_token of target alice is absent" in fleet.ask("/readyz/alice").body
    assert b"access_token of target alice is absent" in fleet.ask("/readyz/alice?artifact=access_token").body
    assert fleet.ask("/readyz/alice?artifact=token").body == b"ready\n"


def test_exchange_is_asked_for_only_on_request(fleet: "Fleet") -> None:
    """What Google refuses does not turn readiness red unless the probe asks for it, with cause and remedy."""
    fleet.adopt("alice", "bob")
    fleet.exchange("alice", ExchangeState.REFUSED, "Google refuses alice")

    assert (fleet.ask("/readyz").status, fleet.ask("/readyz/alice").status) == (200, 200)
    assert fleet.ask("/readyz/alice?exchange").body == b"not ready\nGoogle refuses alice\n  remedy: grant the role\n"
    fleet.exchange("alice", ExchangeState.ACCEPTED)
    assert fleet.ask("/readyz/alice?exchange").status == 200


@pytest.mark.parametrize(
    ("plan", "status", "line"),
    [
        ({}, 503, "no targets are configured"),
        ({"is_empty_fine": True}, 200, "ready"),
        ({"is_empty_fine": True, "complaints": (WRONG,)}, 503, WRONG[0]),
        ({"is_empty_fine": True, "refusal": (WRONG,)}, 200, "ready"),
    ],
    ids=["nothing", "waits for drop-ins", "refused drop-in", "refused edit of the main file"],
)
def test_node_without_targets(fleet: "Fleet", plan: dict[str, object], status: int, line: str) -> None:
    """A node without targets is ready only if drop-ins may bring some and none of them is refused."""
    fleet.adopt(**plan)  # type: ignore[arg-type]  # attributes of a plan

    response = fleet.ask("/readyz")

    assert response.status == status
    assert line in response.body.decode()


def test_nothing_is_ready_before_the_first_plan(fleet: "Fleet") -> None:
    """Before a configuration is in force, probes fail, and the other paths answer."""
    assert [fleet.ask(path).status for path in ("/readyz", "/readyz/alice", "/metrics", "/status.json", "/")] == [
        503,
        404,
        200,
        200,
        200,
    ]


def test_targets_that_were_not_looked_at_are_not_ready(fleet: "Fleet") -> None:
    """A target that came into the plan since the last look is not reported as ready by anything."""
    fleet.adopt("alice")
    carol = fleet.target_of("carol")
    assert fleet.board.plan is not None
    fleet.board.note_plan(replace(fleet.board.plan, targets={**fleet.targets, "carol": carol}))

    report = json.loads(fleet.ask("/status.json").body)

    assert (report["ready"], report["daemon"]["targets_not_looked_at"]) == (False, 1)


def test_readyz_lists_a_bounded_number_of_targets(fleet: "Fleet") -> None:
    """The answer for many targets shows the first, and how many more there are; one cause for all is shown once."""
    fleet.adopt(*(f"t{number}" for number in range(30)), publish=False)
    root = fleet.targets["t0"].directory.root
    assert fleet.ask("/readyz").body.decode().count(f"directory_root {root} does not exist") == 1
    root.mkdir(mode=0o755)

    lines = fleet.ask("/readyz").body.decode().splitlines()

    assert lines[0] == "not ready"
    assert len(lines) == 42
    assert lines[-1] == "and 10 more: see /status.json"


def test_daemon_that_does_not_tick_is_not_live(fleet: "Fleet") -> None:
    """Without a tick for longer than thirty seconds the daemon is not live, and with the next one it is again."""
    fleet.adopt("alice")
    fleet.clock.pass_(timedelta(seconds=31))

    response = fleet.ask("/livez")

    assert response.status == 503
    assert response.body.startswith(b"not live\nthe daemon's last tick ended 31 s ago\n  remedy: ")
    fleet.board.note_tick([])
    assert fleet.ask("/livez").status == 200


def test_fault_of_the_daemon_is_in_the_status(fleet: "Fleet") -> None:
    """`/status.json` shows what the daemon can't do, with its remedy; readiness stays about the files."""
    fleet.adopt("alice")
    fleet.board.note_tick([], [("the root is read-only", "mount it writable")])

    daemon = json.loads(fleet.ask("/status.json").body)["daemon"]

    assert (daemon["problem"], daemon["remedy"]) == ("the root is read-only", "mount it writable")
    assert fleet.ask("/readyz").status == 200


def test_directories_in_retirement_are_in_the_status(fleet: "Fleet") -> None:
    """`/status.json` names what is being retired below the root in force, and nothing below a former one."""
    fleet.adopt("alice")
    root = fleet.targets["alice"].directory.root
    fleet.board.note_retiring(root, ("dave", "carol"))
    fleet.board.note_retiring(root / "former", ("erin",))

    assert json.loads(fleet.ask("/status.json").body)["retiring"] == ["carol", "dave"]


def test_status_is_that_of_the_command_and_more(fleet: "Fleet") -> None:
    """`/status.json` has every member of `status --json` with the same value, and what only the daemon knows."""
    fleet.adopt("alice", "bob", minted=(ACCESS,))
    (fleet.targets["bob"].directory.path / "token").unlink()
    fleet.look()
    fleet.clock.pass_(timedelta(minutes=3))
    fleet.look()
    fleet.fail("bob", SupplyError("the supplier is gone", "start it"))
    fleet.exchange("alice", ExchangeState.ACCEPTED)
    closed = ListenerHealth(ListenerState.OCCUPIED, "the port is taken", "choose another")
    fleet.endpoints(EndpointHealth("alice", closed, 2, {"answered": 1}))

    document = json.loads(fleet.ask("/status.json").body)

    now = fleet.clock.now()
    expected = as_report([examine(each, now) for each in fleet.targets.values()], now, is_empty_fine=False)
    known = [target.pop("daemon") for target in document["targets"]]
    assert document["targets"] == expected["targets"]
    assert document["problems"] == expected["problems"]
    assert known[0]["last_success_at"] == "2026-01-01T00:00:00Z"
    assert (known[1]["consecutive_failures"], known[1]["problem"], known[1]["remedy"]) == (
        1,
        "the supplier is gone",
        "start it",
    )
    assert {"running", "pid", "stopped", "last_refresh_at", "problem", "remedy"} < set(document["daemon"])
    assert document["daemon"]["live"] is True
    assert document["daemon"]["verdicts_as_of"] == f"{now:%FT%TZ}"
    assert [(each["identity"], each["state"]) for each in document["exchanges"]] == [("alice", "accepted")]
    assert document["endpoints"] == [
        {
            "target": "alice",
            "state": "occupied",
            "connections": 2,
            "requests": {"answered": 1},
            "problem": "the port is taken",
            "remedy": "choose another",
        }
    ]


def test_status_can_be_asked_for_without_targets(fleet: "Fleet") -> None:
    """`?targets=no` leaves the entries of targets out, and nothing else."""
    fleet.adopt("alice")

    whole, rest = (json.loads(fleet.ask(f"/status.json{query}").body) for query in ("", "?targets=no"))

    assert (len(whole["targets"]), rest["targets"]) == (1, [])
    assert {**whole, "targets": []} == rest


def test_refused_edit_is_in_the_status(fleet: "Fleet") -> None:
    """While an edit of the main file is refused, `/status.json` shows its problems and since when."""
    fleet.adopt("alice", refusal=(WRONG,))

    refused = json.loads(fleet.ask("/status.json").body)["refused"]

    assert refused == {"since": f"{fleet.clock.now():%FT%TZ}", "problems": [f"{WRONG[0]} — {WRONG[1]}"]}


def test_no_answer_holds_a_token(fleet: "Fleet") -> None:
    """No path shows a token of a target, in whatever state that is."""
    fleet.adopt("alice", "bob")
    token = (fleet.targets["alice"].directory.path / "token").read_bytes()
    fleet.note("alice", Outcome(result=Result.KEPT))

    bodies = [fleet.ask(path).body for path in ("/", "/status.json", "/metrics", "/readyz", "/readyz/alice", "/livez")]

    assert not any(part in body for body in bodies for part in token.split(b".") if len(part) > 8)
    assert token.decode() not in repr(fleet.survey.list_all())
