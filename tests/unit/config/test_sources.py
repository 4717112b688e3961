from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refresher.suppliers.file import FileSettings

if TYPE_CHECKING:
    from tests.unit.config.conftest import Workspace


def test_merges_maps_of_all_files(workspace: Workspace) -> None:
    """Entries of one section may be spread over files, and so may the keys of one entry."""
    workspace.write("include: [more.yaml]\nversion: 1\nidentities: {alice: {service_account: a@b.example}}\n")
    rest = workspace.valid.split("identities:")[0]
    workspace.write(
        f"{rest}identities: {{alice: {{subject: s}}, bob: {{subject: t}}}}\ntargets: {{bob: {{}}}}", "more.yaml"
    )

    loaded = workspace.load()

    assert loaded.configuration.identities["alice"].subject == "s"
    assert loaded.configuration.identities["alice"].service_account == "a@b.example"
    assert workspace.shortened(loaded.targets["bob"].location) == "more.yaml:7:11"
    assert loaded.files == (workspace.main, workspace.directory / "more.yaml")


def test_the_same_value_twice_is_fine(workspace: Workspace) -> None:
    """Two files may hold the same value."""
    workspace.write(f"{workspace.valid}project: my-project\ninclude: [more.yaml]\n")
    workspace.write("version: 1\nproject: my-project\ntargets: {alice: {}}\n", "more.yaml")

    assert workspace.load().configuration.project == "my-project"


def test_two_values_are_refused_at_both_places(workspace: Workspace) -> None:
    """A key with two different values is named where the one and where the other stands."""
    workspace.write(f"{workspace.valid}project: my-project\ninclude: [more.yaml]\n")
    workspace.write("\nproject: other-project\n", "more.yaml")

    assert workspace.problems() == [
        "more.yaml:2:10: project has another value at refresher.yaml:10:10 — keep one of the two, or make them agree",
        "refresher.yaml:10:10: project has another value at more.yaml:2:10 — keep one of the two, or make them agree",
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("'12'", "12"),
        ("true", "'true'"),
        ("true", "yes"),
        ("~", "''"),
        ("[a]", "[a, b]"),
        ("{a: b}", "{a: c}"),
        ("a", "[a]"),
    ],
)
def test_values_agree_only_if_they_are_of_one_kind(workspace: Workspace, one: str, other: str) -> None:
    """A number and its digits in quotes, no value and text without characters, are two values."""
    keys = "include: [more.yaml]\nsuppliers: {worker: {claims: {c: %s}}}\n"
    workspace.write(keys % one)
    workspace.write((keys % other).replace("include: [more.yaml]\n", ""), "more.yaml")

    assert [problem.split(" ")[0] for problem in workspace.problems() if "has another value" in problem]


@pytest.mark.parametrize("value", ["user-1", "~", "[a, {b: c}]", "{a: [b]}"])
def test_values_agree_whatever_their_quotes(workspace: Workspace, value: str) -> None:
    """Equal values are one value, also lists, maps and no value."""
    workspace.write(f"include: [more.yaml]\nsuppliers: {{worker: {{issuer: {value}, keys: k}}}}\n")
    workspace.write(f"suppliers: {{worker: {{issuer: {value}, 'keys': 'k'}}}}\n", "more.yaml")

    assert [problem for problem in workspace.problems() if "has another value" in problem] == []


def test_one_relative_path_of_two_directories_is_two_values(workspace: Workspace) -> None:
    """The same words in two files name two places, if the files are in different directories."""
    workspace.write(f"{workspace.valid}include: [sub/more.yaml]\n")
    workspace.write("suppliers: {worker: {keys: keys, issuer: 'https://workers.invalid'}}\n", "sub/more.yaml")

    assert workspace.problems() == [
        (
            "refresher.yaml:5:72: suppliers.worker.keys has another value at sub/more.yaml:1:28,"
            " since that file is in another directory — keep one of the two, or write the whole path, from / on"
        )
    ]


def test_an_included_file_includes_relative_to_itself(workspace: Workspace) -> None:
    """Relative paths, of further files as of anything else, count from the file that names them."""
    workspace.write(f"{workspace.valid.replace('keys: keys', 'keys: /k')}include: [sub/one.yaml]\n")
    workspace.write("include: [../two.yaml, three.yaml]\n", "sub/one.yaml")
    workspace.write("suppliers: {worker: {provider: main}}\n", "two.yaml")
    workspace.write(
        "suppliers: {x: {kind: file, path: ../token}}\nidentities: {alice: {supplier: x}}", "sub/three.yaml"
    )

    loaded = workspace.load()

    supplier = loaded.configuration.suppliers["x"]
    assert isinstance(supplier, FileSettings)
    assert supplier.path == workspace.directory / "token"
    assert len(loaded.files) == 4


def test_mistakes_are_named_in_the_file_they_are_in(workspace: Workspace) -> None:
    """A wrong value of an included file is not blamed on the main file."""
    workspace.write(workspace.valid.split("identities:")[0] + "include: [more.yaml]\n")
    workspace.write("identities:\n  alice: {subject: []}\ntargets: {bob: {}}\n", "more.yaml")

    locations = [problem.split(" ")[0] for problem in workspace.problems()]

    assert locations == ["more.yaml:2:20:", "more.yaml:3:11:"]


@pytest.mark.parametrize(
    ("include", "problem"),
    [
        ("[nope.yaml]", "refresher.yaml:10:11: nope.yaml does not exist — create it, or fix the path"),
        ("[refresher.yaml]", "refresher.yaml:10:11: refresher.yaml includes itself — delete this include"),
        ("[targets.d]", "refresher.yaml:10:11: targets.d is not a regular file — name a regular file"),
        (
            "[[more.yaml]]",
            ("refresher.yaml:10:11: include[0] is a list, where the name of a file belongs — write include: [FILE]"),
        ),
        ("['']", 'refresher.yaml:10:11: include[0] is "", where the name of a file belongs — write include: [FILE]'),
    ],
    ids=["missing", "itself", "directory", "list", "empty"],
)
def test_refuses_what_cannot_be_included(workspace: Workspace, include: str, problem: str) -> None:
    """What is wrong with an included file is reported where it is included."""
    workspace.write(f"{workspace.valid}include: {include}\n")

    assert workspace.problems() == [problem]


def test_refuses_a_cycle(workspace: Workspace) -> None:
    """Two files that include one another are refused where the circle closes."""
    workspace.write(f"{workspace.valid}include: [more.yaml]\n")
    workspace.write("include: [refresher.yaml]\n", "more.yaml")

    assert workspace.problems() == ["more.yaml:1:11: refresher.yaml includes itself — delete this include"]


def test_refuses_an_endless_chain(workspace: Workspace) -> None:
    """Files may include one another eight deep, no deeper."""
    workspace.write(f"{workspace.valid}include: [f1.yaml]\n")
    for number in range(1, 12):
        workspace.write(f"include: [f{number + 1}.yaml]\n", f"f{number}.yaml")

    (problem,) = workspace.problems()

    assert problem.startswith("f7.yaml:1:11: files include one another more than 8 deep")


def test_a_file_included_twice_counts_once(workspace: Workspace) -> None:
    """Two ways to one file are allowed."""
    workspace.write(f"{workspace.valid}include: [one.yaml, two.yaml]\n")
    workspace.write("include: [two.yaml]\n", "one.yaml")
    workspace.write("project: my-project\n", "two.yaml")

    assert len(workspace.load().files) == 3


def test_broken_yaml_in_an_included_file_hides_no_other_mistake_and_invents_none(workspace: Workspace) -> None:
    """While a file cannot be read, what it might define is not reported as missing."""
    workspace.write(workspace.valid.split("identities:")[0] + "listen: 5\ninclude: [more.yaml]\ntargets: {alice: {}}\n")
    workspace.write("identities: {\n", "more.yaml")

    problems = [problem.split(" ")[0] for problem in workspace.problems()]

    assert problems == ["more.yaml:2:1:", "refresher.yaml:6:9:"]


def test_follows_links_as_kubernetes_mounts_them(workspace: Workspace) -> None:
    """A main file that is a link to a trusted file is read, and relative paths count from the link."""
    workspace.write(f"{workspace.valid}include: [more.yaml]\n", "..data/refresher.yaml")
    workspace.write("project: my-project\n", "..data/more.yaml")
    workspace.main.symlink_to("..data/refresher.yaml")
    (workspace.directory / "more.yaml").symlink_to(Path("..data") / "more.yaml")

    loaded = workspace.load()

    assert loaded.configuration.project == "my-project"
    assert loaded.files == (workspace.main, workspace.directory / "more.yaml")
