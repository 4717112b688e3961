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
    """Two files may say the same."""
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


def test_one_and_true_are_two_values(workspace: Workspace) -> None:
    """Values agree only if they are of one kind."""
    workspace.write(f"{workspace.valid}include: [more.yaml]\n")
    workspace.write("version: true\n", "more.yaml")

    assert len(workspace.problems()) == 2


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
    workspace.write("identities:\n  alice: {subject: 5}\ntargets: {bob: {}}\n", "more.yaml")

    locations = [problem.split(" ")[0] for problem in workspace.problems()]

    assert locations == ["more.yaml:2:20:", "more.yaml:3:11:"]


@pytest.mark.parametrize(
    ("include", "problem"),
    [
        ("[nope.yaml]", "refresher.yaml:10:11: nope.yaml does not exist — create it, or mend the path"),
        ("[refresher.yaml]", "refresher.yaml:10:11: refresher.yaml includes itself — delete this include"),
        ("[targets.d]", "refresher.yaml:10:11: targets.d is a directory — name a file"),
        (
            "[more.yaml, 5]",
            (
                "refresher.yaml:10:22: include[1] is 5, a number to YAML, where the name of a file belongs"
                " — write include: [FILE]"
            ),
        ),
        ("['']", 'refresher.yaml:10:11: include[0] is "", where the name of a file belongs — write include: [FILE]'),
    ],
    ids=["missing", "itself", "directory", "number", "empty"],
)
def test_refuses_what_cannot_be_included(workspace: Workspace, include: str, problem: str) -> None:
    """What is wrong with an included file is said where it is included."""
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
    """Two ways to one file are no mistake."""
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
    """A main file that is a link to one of ours is read, and relative paths count from the link."""
    workspace.write(f"{workspace.valid}include: [more.yaml]\n", "..data/refresher.yaml")
    workspace.write("project: my-project\n", "..data/more.yaml")
    workspace.main.symlink_to("..data/refresher.yaml")
    (workspace.directory / "more.yaml").symlink_to(Path("..data") / "more.yaml")

    loaded = workspace.load()

    assert loaded.configuration.project == "my-project"
    assert loaded.files == (workspace.main, workspace.directory / "more.yaml")
