from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

from refresher.emulator.expressions import BINDING, ExpressionError, check, is_quick
from refresher.emulator.state import Provider
from refresher.emulator.testing import Scenario, emulator
from tests.program import until
from tests.tokens import NOW
from tests.unit.emulator.conftest import ACCESS_TOKEN_TYPE, ISSUER, JWT_TYPE, PROVIDER, SCOPE, Google, Issuer

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow  # starts the emulator and conditions without end
GROWING = "assertion.text" + ".replace('', assertion.text)" * 4 + " != ''"
WALKING = "assertion.text.split('').all(one, assertion.text.split('').all(other, other != one + '!'))"
DEEP = (
    "[1, 2].all(a, assertion.list.all(b, assertion.list.all(c, assertion.text.replace('a', 'bb') != '' && b <= b + c)))"
)


@pytest.fixture
def server() -> Iterator[Scenario]:
    """Return an emulator at the time of the tests' tokens."""
    with emulator() as made:
        made.clock.advance(NOW - made.clock.now())
        yield made


def exchange(server: Scenario, token: str) -> tuple[int, dict[str, Any]]:
    """Exchange a token over HTTP; return status and document."""
    fields = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "audience": f"//iam.googleapis.com/{PROVIDER}",
        "scope": SCOPE,
        "requested_token_type": ACCESS_TOKEN_TYPE,
        "subject_token": token,
        "subject_token_type": JWT_TYPE,
    }
    request = Request(f"{server.http}/v1/token", urlencode(fields).encode())  # noqa: S310 - our own server
    try:
        with urlopen(request, timeout=30) as reply:  # noqa: S310 - our own server
            return reply.status, json.load(reply)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.mark.parametrize("condition", [GROWING, WALKING, DEEP])
def test_condition_is_false_when_it_takes_too_long(server: Scenario, issuer: Issuer, condition: str) -> None:
    """A condition that would need minutes and all memory is false, and the next exchange works."""
    providers = server.state.add_pool("workers").providers
    providers["refresher"] = Provider(issuer=ISSUER, jwks=issuer.jwks, condition=condition)

    status, refused = exchange(server, issuer.token(text="a" * 20_000, list=list(range(3000))))
    assert (status, refused["error_description"]) == (
        400,
        "The given credential is rejected by the attribute condition.",
    )

    providers["refresher"].condition = "assertion.text.replace('a', 'b') == 'bb'"
    assert exchange(server, issuer.token(text="aa"))[0] == 200
    assert exchange(server, issuer.token(text="ab!"))[1]["error"] == "unauthorized_client"


def test_subject_is_missing_when_its_mapping_takes_too_long(server: Scenario, issuer: Issuer) -> None:
    """A subject that cannot be computed in reasonable time is treated as missing."""
    mapping = {"google.subject": "assertion.text" + ".replace('', assertion.text)" * 4}
    server.state.add_pool("workers").providers["refresher"] = Provider(issuer=ISSUER, jwks=issuer.jwks, mapping=mapping)

    assert exchange(server, issuer.token(text="a" * 20_000))[1]["error_description"] == (
        "Could not obtain a value for google.subject from the given credential."
    )


def test_other_requests_are_answered_while_a_condition_runs(server: Scenario, issuer: Issuer) -> None:
    """An evaluation that takes long delays no other request."""
    server.state.add_pool("workers").providers["refresher"] = Provider(
        issuer=ISSUER, jwks=issuer.jwks, condition=GROWING
    )
    server.faults.add("sts.token", clock_skew=1.0)
    with ThreadPoolExecutor() as threads:
        hostile = threads.submit(exchange, server, issuer.token(text="a" * 20_000))
        until(lambda: not server.faults.pending, what="the exchange begins")

        with pytest.raises(HTTPError):
            server.whoami("nobody's")
        assert not hostile.done()

        assert hostile.result()[0] == 400


def test_process_maps_like_the_rules(server: Scenario, issuer: Issuer) -> None:
    """The other process returns subject, groups and attributes unchanged."""
    mapping = {
        "google.subject": "assertion.sub.split('-')[1]",
        "google.groups": "assertion.groups.map(group, 'x-' + group)",
        "attribute.words": "['a', 'b'].join('é')",
    }
    server.state.add_pool("workers").providers["refresher"] = Provider(issuer=ISSUER, jwks=issuer.jwks, mapping=mapping)

    _, answer = exchange(server, issuer.token(groups=["one"]))

    members = server.whoami(answer["access_token"])["members"]
    assert any(member.endswith("/subject/1") for member in members)
    assert any(member.endswith("/group/x-one") for member in members)
    assert any(member.endswith("/attribute.words/aéb") for member in members)


@pytest.mark.parametrize("levels", [90, 101, 400, 900])
def test_process_limits_the_depth_of_claims(server: Scenario, issuer: Issuer, levels: int) -> None:
    """E9 beyond a hundred levels, as without the other process."""
    server.state.add_pool("workers").providers["refresher"] = Provider(
        issuer=ISSUER, jwks=issuer.jwks, condition="assertion.sub.replace('a', 'b') != ''"
    )
    nested: list[Any] = []
    for _ in range(levels):
        nested = [nested]

    status, answer = exchange(server, issuer.token(nested=nested))

    assert status == (200 if levels < 100 else 400)
    assert answer.get("error_description") == (None if levels < 100 else "Unable to parse the ID Token.")


def test_empty_groups_are_bounded(google: Google, issuer: Issuer) -> None:
    """Texts without bytes cannot make a token grow without end."""
    google.cloud.state.pools[PROVIDER.partition("/providers/")[0]].providers["refresher"].mapping = {
        "google.subject": "assertion.sub",
        "google.groups": "assertion.text.split('a')",
    }

    assert google.exchange(issuer.token(text="a" * 9000)).status == 400


@pytest.mark.parametrize(
    ("expression", "quick"),
    [
        ("assertion.sub == 'x-17' && !has(assertion.y)", True),
        ("assertion.iss.startsWith('https://a.invalid/') || assertion.sub in ['a', \"b's\"]", True),
        ("assertion.sub.extract('user-{id}') + '!'", True),
        ("assertion.sub.replace('a', 'b')", False),
        ("assertion.sub.split('-')[0]", False),
        ("assertion.list.exists(one, one == 'a')", False),
        ("assertion.sub.matches('a+')", False),
        ("assertion.sub.replace // (\n('a', 'b')", False),
        ("assertion.sub == '''it's'''.replace('a', 'b')", False),
        ("assertion.sub == '\\'.replace('", False),
    ],
)
def test_quick_expressions_are_recognised(expression: str, quick: bool) -> None:  # noqa: FBT001 - a case
    """Only an expression that is quick by its text is evaluated between two requests."""
    assert is_quick(expression) is quick


@pytest.mark.parametrize(
    "expression",
    ["resource.name.replace('', 'a') == ''", "[1].all(x, x == 1)", "resource.name == '" + "a" * 4096 + "'"],
)
def test_slow_condition_of_a_binding_is_refused(expression: str) -> None:
    """Every request evaluates the conditions of bindings."""
    with pytest.raises(ExpressionError):
        check(expression, BINDING)
