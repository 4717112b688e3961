from __future__ import annotations

import re
import tomllib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.docs.reference import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
UPDATED = {
    "cargo": "Cargo.toml",
    "gomod": "go.mod",
    "maven": "pom.xml",
    "npm": "package.json",
    "pip": "requirements.txt",
    "terraform": "versions.tf",
}

workflows = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def load(path: Path) -> dict[str, Any]:
    """Return a workflow; the base resolver keeps `on` and versions as text."""
    found: dict[str, Any] = yaml.load(path.read_text(), Loader=yaml.BaseLoader)  # noqa: S506 - text only
    return found


@workflows
def test_every_action_is_pinned_by_its_commit(path: Path) -> None:
    """Each action is named by a full commit, with its version as a comment for people and Dependabot."""
    used = re.findall(r"uses: *(.*)", path.read_text())

    assert [action for action in used if not PINNED.fullmatch(action)] == []


def test_an_action_has_one_version() -> None:
    """All workflows use an action at the same commit."""
    used = {action for path in WORKFLOWS for action in re.findall(r"uses: *(.*)", path.read_text())}

    assert len(used) == len({action.partition("@")[0] for action in used})


@workflows
def test_nothing_is_permitted_but_to_a_job(path: Path) -> None:
    """A workflow has no permission of its own; no job writes contents, and only jobs of a release have an identity."""
    workflow = load(path)
    granted = {
        f"{name}: {access}" for job in workflow["jobs"].values() for name, access in job.get("permissions", {}).items()
    }

    assert workflow["permissions"] == {}
    assert granted <= {"contents: read"} | (
        {"id-token: write", "attestations: write"} if path.stem == "release" else set()
    )


@workflows
def test_checkout_leaves_no_credentials(path: Path) -> None:
    """The token of a checkout is not kept where later steps could read it."""
    steps = [step for job in load(path)["jobs"].values() for step in job["steps"]]
    checkouts = [step for step in steps if step.get("uses", "").startswith("actions/checkout@")]

    assert [step for step in checkouts if step.get("with", {}).get("persist-credentials") != "false"] == []


@workflows
def test_no_expression_reaches_a_shell(path: Path) -> None:
    """What a shell runs is fixed text: values come as variables, so that a branch's name can't become a command."""
    commands = [step["run"] for job in load(path)["jobs"].values() for step in job["steps"] if "run" in step]

    assert [command for command in commands if "${{" in command] == []


@workflows
def test_every_job_ends(path: Path) -> None:
    """Each job has a time limit."""
    assert [name for name, job in load(path)["jobs"].items() if "timeout-minutes" not in job] == []


def test_tested_versions_are_the_declared_ones() -> None:
    """CI runs on the versions of Python that the package claims to support, from the least that it requires on."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    declared = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))

    jobs = load(REPOSITORY / ".github" / "workflows" / "ci.yml")["jobs"]

    assert project["requires-python"] == f">={declared[0]}"
    assert [job["strategy"]["matrix"]["python"] for job in jobs.values() if "strategy" in job] == [declared, declared]


def test_gate_waits_for_every_job() -> None:
    """The one job that a branch rule has to require needs every other, and runs when one of them failed."""
    jobs = load(REPOSITORY / ".github" / "workflows" / "ci.yml")["jobs"]
    gate = jobs.pop("gate")

    assert gate["needs"] == list(jobs)
    assert gate["if"] == "always()"
    assert gate["steps"][0]["run"].count("success") == len(jobs)


@pytest.mark.parametrize(("ecosystem", "manifest"), UPDATED.items())
def test_dependencies_of_every_kind_are_updated(ecosystem: str, manifest: str) -> None:
    """Dependabot looks into each folder that has a manifest of a kind, and into no other."""
    updates = yaml.safe_load((REPOSITORY / ".github" / "dependabot.yml").read_text())["updates"]
    places = [
        found
        for update in updates
        if update["package-ecosystem"] == ecosystem
        for place in update.get("directories", [update.get("directory")])
        for found in REPOSITORY.glob(f"{place.strip('/')}/{manifest}" if place != "/" else manifest)
    ]
    present = [
        path
        for place in ("tests", "terraform")
        for path in (REPOSITORY / place).rglob(manifest)
        if not {".cache", ".terraform", "node_modules"} & set(path.parts)
    ]

    assert sorted(places) == sorted(present)


def test_rooms_whose_coverage_is_measured_exist() -> None:
    """Each name in the list of measured rooms is a module of the package: a room that moved takes its line along."""
    tools = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]
    rooms = tools["coverage"]["run"]["source_pkgs"]

    assert rooms == sorted(rooms)
    assert [room for room in rooms if find_spec(room) is None] == []
