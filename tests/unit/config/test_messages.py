"""Every mistake that a person is likely to make, and the exact words of the answer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from refresher.suppliers.interface import KINDS

if TYPE_CHECKING:
    from tests.unit.config.conftest import Workspace

MISTAKES: dict[str, dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("mistakes.yaml").read_text())


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_reports_place_problem_and_remedy_of_a_mistake(workspace: Workspace, mistake: dict[str, Any]) -> None:
    """A mistake is reported with its place, what is wrong and what to do about it, and nothing else is reported."""
    assert mistake["right"] in workspace.valid
    workspace.write(workspace.valid.replace(mistake["right"], mistake["wrong"], 1))

    problems = workspace.problems()

    names = {"KINDS": ", ".join(KINDS), "SORTED": ", ".join(sorted(KINDS))}
    assert problems == [re.sub("KINDS|SORTED", lambda found: names[found[0]], problem) for problem in mistake["says"]]


def test_reports_every_mistake_at_once(workspace: Workspace) -> None:
    """Thirty mistakes in one file, of every kind but broken YAML, are all reported at the first attempt."""
    workspace.write(THIRTY)

    problems = workspace.problems()

    assert [problem.split(":")[1] for problem in problems] == [str(line) for line in LINES]


def test_reports_ten_thousand_mistakes_within_the_time_limit(workspace: Workspace) -> None:
    """Ten thousand wrong references are reported one by one, without comparing all names with all others."""
    targets = "".join(f"  t{n}: {{identity: alice{n}}}\n" for n in range(10_000))
    workspace.write(workspace.valid.replace("  alice: {}\n", targets))

    problems = workspace.problems()

    assert len(problems) == 10_000


@pytest.mark.parametrize(
    "secret", ["eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln", "-----BEGIN PRIVATE KEY-----", "x" * 65]
)
def test_shows_no_value_that_could_be_a_secret(workspace: Workspace, secret: str) -> None:
    """Of a token or key that was pasted at the wrong place the message shows only the length."""
    workspace.write(workspace.valid.replace('"https://workers.invalid"', f'"{secret}"'))

    (problem,) = workspace.problems()

    assert secret not in problem
    assert f"a text of {len(secret)} characters" in problem


THIRTY = """\
version: 2
provders: {}
project: "12345"
providers:
  main:
    project_number: my-project
    pool: p
    provider: gcp-refresher
  Second: {project_number: 1, pool: workers, provider: refresher}
suppliers:
  worker:
    kind: self_issued
    issuer: http://workers.invalid
    keys: [keys]
    lifetime: 90
    provider: mian
  other: {kind: command}
  third: []
identities:
  alice:
    service_account: alice
    subject: ''
    supplier: wroker
    lifetime: 1m
    delegates: [x]
    scopes: [cloud]
  alice: {}
  5: {}
targets:
  alice:
    identity: alicia
    directory: /srv/alice
    owner: no-such-user-here
    mode: 0490
    artifacts:
      boto: "true"
      boot: true
  bob: {directory: /run/refresher/x, identity: alice}
  eve: {directory: /run/refresher/x/y, identity: alice}
listen: nowhere
google:
  endpoints: {sts: https://sts.example.com, iam_credentials: ftp://x}
"""
LINES = [
    1,
    2,
    3,
    6,
    7,
    8,
    9,
    13,
    14,
    15,
    16,
    17,
    17,
    18,
    21,
    22,
    23,
    24,
    25,
    26,
    27,
    28,
    28,
    31,
    32,
    33,
    34,
    36,
    37,
    38,
]
LINES += [39, 40, 42, 42]
