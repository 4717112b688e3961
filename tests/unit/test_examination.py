from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import yaml

from refresher.app.examination import open_examination
from refresher.policy import State
from refresher.publishing.contents import describe, render_descriptions
from refresher.settings.places import InvalidConfigurationError
from tests.tokens import NOW, make_jwt

if TYPE_CHECKING:
    from pathlib import Path

BROKEN = {
    "yaml": "directory_root: ROOT\n]: {",
    "quoted": 'version: 1\n"directory_root": "ROOT"  # of containers\ntargetz: {}\n',
    "json on one line": '{"version": 1, "directory_root": "ROOT", "targetz": {}',
    "relative": "directory_root: run\nversion: 2\n",
}


MINIMAL = """
version: 1
providers: {{main: {{project_number: "123456789012", pool: workers, provider: refresher}}}}
project: my-project
suppliers: {{worker: {{kind: self_issued, issuer: "https://workers.example.invalid", keys: keys}}}}
identities: {{alice: {{subject: user-alice, service_account: alice@my-project.iam.gserviceaccount.com}}}}
directory_root: {place}/run
targets_directory: {place}/targets.d
"""


def publish(root: Path, name: str, *, missing: str = "") -> Path:
    """Write a credentials directory with a record, without one of its files."""
    directory = root / name
    directory.mkdir(parents=True, exist_ok=True)
    files = {".target": b"{}", "token": make_jwt().encode(), "credentials.json": b"{}", "env": b"A=b\n"}
    for file, content in files.items():
        if file != missing:
            (directory / file).write_bytes(content)
    os.utime(directory, (0, 0))
    return directory


def refuse(place: Path, text: str) -> Path:
    """Write a configuration that is refused."""
    path = place / "refresher.yaml"
    path.write_text(text.replace("ROOT", str(place / "run")))
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("text", BROKEN.values(), ids=list(BROKEN))
def test_directory_root_is_found_in_a_file_that_is_refused(tmp_path: Path, text: str) -> None:
    """However the main file is broken, the directories with a record below its root are examined."""
    publish(tmp_path / "run", "alice")
    (tmp_path / "run" / "lost+found").mkdir()
    publish(tmp_path / "run", ".bob.0123456789abcdef.tmp")

    found = open_examination(refuse(tmp_path, text), NOW)

    assert found.names == ("alice",)
    assert found.since is not None
    assert found.examine("alice", NOW).state is State.FRESH


def test_root_of_an_included_file_counts(tmp_path: Path) -> None:
    """The root may be in a file that the main file includes."""
    publish(tmp_path / "run", "alice")
    (tmp_path / "more.yaml").write_text(yaml.safe_dump({"directory_root": str(tmp_path / "run")}))
    (tmp_path / "more.yaml").chmod(0o600)

    assert open_examination(refuse(tmp_path, "version: 1\ninclude: [more.yaml]\ntargetz: {}\n"), NOW).names == (
        "alice",
    )


@pytest.mark.parametrize("text", ["directory_root: ROOT\n]: {", "directory_root: /nonexistent\n]: {"])
def test_nothing_published_is_a_refusal(tmp_path: Path, text: str) -> None:
    """Where nothing is published there is nothing to examine, and the mistakes are raised."""
    (tmp_path / "run").mkdir()

    with pytest.raises(InvalidConfigurationError):
        open_examination(refuse(tmp_path, text), NOW)


@pytest.mark.parametrize(
    ("missing", "state", "problem"),
    [
        ("", State.FRESH, ""),
        ("token", State.ABSENT, "the token of target alice is absent"),
        ("env", State.FRESH, "env is absent or empty"),
        ("credentials.json", State.FRESH, "credentials.json is absent or empty"),
    ],
)
def test_files_are_judged_alone(tmp_path: Path, missing: str, state: State, problem: str) -> None:
    """Without a configuration a target is ready if its token is good and every required file is there."""
    publish(tmp_path / "run", "alice", missing=missing)

    health = open_examination(refuse(tmp_path, "directory_root: ROOT\n]: {"), NOW).examine("alice", NOW)

    assert health.state is state
    assert problem in (health.problem or "")
    assert (health.find_shortage() is None) is not bool(problem)
    assert health.note == "the configuration is refused: judged by its files alone"


@pytest.mark.parametrize(
    ("missing", "state", "problem"),
    [
        ("", State.FRESH, ""),
        ("access_token", State.ABSENT, "the access token of target alice is absent"),
        ("env", State.FRESH, "env is absent or empty"),
    ],
)
def test_access_token_that_leads_is_judged_alone(tmp_path: Path, missing: str, state: State, problem: str) -> None:
    """Without a configuration `artifacts.json` states that the access token takes the token's place."""
    directory = tmp_path / "run" / "alice"
    directory.mkdir(parents=True)
    described = describe(b"ya29.x", NOW, NOW.replace(hour=1), leads=True)
    files = {".target": b"{}", "access_token": b"ya29.x", "env": b"A=b\n"}
    files["artifacts.json"] = render_descriptions({"access_token": described})
    for name, content in files.items():
        if name != missing:
            (directory / name).write_bytes(content)

    health = open_examination(refuse(tmp_path, "directory_root: ROOT\n]: {"), NOW).examine("alice", NOW)

    assert (health.state, health.path, health.artifacts) == (state, str(directory / "access_token"), ())
    assert problem in (health.problem or "")
    assert (health.find_shortage() is None) is not bool(problem)


def test_artifacts_are_judged_by_their_descriptions(tmp_path: Path) -> None:
    """Artifacts that artifacts.json describes are judged; names that we never write there are not even opened."""
    directory = publish(tmp_path / "run", "alice")
    token = make_jwt().encode()
    described = describe(token, NOW, NOW.replace(hour=1))
    names = [
        "access_token",
        "id_tokens/api",
        "id_tokens/../token",
        "id_tokens/..",
        "id_tokens/\0",
        "id_tokens/\ud800",
        "boto",
        "nonsense",
        "access_token/x",
    ]
    (directory / "artifacts.json").write_bytes(render_descriptions(dict.fromkeys(names, described)))
    (directory / "access_token").write_bytes(token)

    health = open_examination(refuse(tmp_path, "directory_root: ROOT\n]: {"), NOW).examine("alice", NOW)

    assert {each.name: each.state for each in health.artifacts} == {
        "access_token": State.FRESH,
        "id_tokens/api": State.ABSENT,
    }


@pytest.mark.parametrize(
    ("minutes", "missing", "is_retiring"),
    [(1, "env", True), (9, "env", True), (11, "env", False), (1, "token", False), (1, "", False)],
)
def test_directory_in_retirement_is_not_a_target(
    tmp_path: Path, minutes: int, missing: str, *, is_retiring: bool
) -> None:
    """For ten minutes after its env went, a directory is retiring; later, or without a token, it is a target."""
    publish(tmp_path / "run", "alice")
    directory = publish(tmp_path / "run", "bob", missing=missing)
    began = NOW - timedelta(minutes=minutes)
    os.utime(directory, (began.timestamp(), began.timestamp()))

    found = open_examination(refuse(tmp_path, "directory_root: ROOT\n]: {"), NOW)

    assert found.names == (("alice",) if is_retiring else ("alice", "bob"))
    assert dict(found.retiring) == ({"bob": began} if is_retiring else {})
    assert any("bob is not a target any more" in line for line in found.complaints) is is_retiring
    assert ("not a target any more" in str(found.find_refused("bob"))) is is_retiring


@pytest.mark.parametrize("file", ["task.yml", "task.json", "task.YML"])
def test_drop_in_that_is_not_read_is_named(tmp_path: Path, file: str) -> None:
    """A file with another ending than .yaml is among the complaints, and is the reason why its target is unknown."""
    drop_ins = tmp_path / "targets.d"
    drop_ins.mkdir(mode=0o755)
    (drop_ins / file).write_text("identity: alice\n")
    path = tmp_path / "refresher.yaml"
    path.write_text(MINIMAL.format(place=tmp_path))
    path.chmod(0o600)

    found = open_examination(path, NOW)

    problem, remedy = found.find_refused("task") or ("", "")
    assert f"{drop_ins / file} is not read" in problem
    assert remedy == "rename it to task.yaml"
    assert [f"{drop_ins / file} is not read" in line for line in found.complaints] == [True]
    assert found.find_refused("other") is None
    assert found.problems == ()
