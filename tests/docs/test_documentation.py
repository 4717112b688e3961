from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from refresher.cli.root import COMMANDS
from refresher.config.loader import load
from refresher.engine.artifacts import name_variables
from refresher.engine.exchanges import ExchangeState
from refresher.environment import variables
from refresher.errors import ExitStatus
from refresher.policy import State
from refresher.publishing.artifacts import OPTIONAL
from refresher.suppliers.interface import KINDS
from tests.docs import reference, terraform_reference
from tests.docs.reference import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Need

PAGES = sorted([path for place in ("*.md", "docs/**/*.md", "terraform/**/*.md") for path in REPOSITORY.glob(place)])
README = REPOSITORY / "README.md"
GLOSSARY = REPOSITORY / "docs" / "glossary.md"
GUIDES = sorted((REPOSITORY / "docs").glob("*.md"))
EVENT = re.compile(r"\"((?:daemon|target|token|artifact|config|clock)\.[a-z_]+)\"")


def blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks of a page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page: those of its headings, as GitHub derives them, and those written out."""
    text = page.read_text()
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    derived = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return derived | set(re.findall(r'<a id="([^"]+)">', text))


def without_nothing(node: Any) -> Any:  # noqa: ANN401 - any part of a document
    """Return a part of a document without null and empty values."""
    if isinstance(node, dict):
        return {key: without_nothing(value) for key, value in node.items() if value not in (None, {}, [])}
    return [without_nothing(value) for value in node] if isinstance(node, list) else node


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_relative_links_lead_to_files(page: Path) -> None:
    """Every relative link of the documentation leads to a file or folder that exists."""
    targets = re.findall(r"\]\(([^)#:]+)\)", page.read_text())

    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_with_an_anchor_lead_to_it(page: Path) -> None:
    """Every relative link to a part of a page leads to a heading or an anchor of that page."""
    links = re.findall(r"\]\(([^):]*\.md|)#([^)]+)\)", page.read_text())

    lost = [
        (target, anchor) for target, anchor in links if anchor not in anchors(page.parent / target if target else page)
    ]

    assert lost == []


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_guide_opens_with_its_readers(guide: Path) -> None:
    """Below its title a guide states who it is for."""
    title, _, text = guide.read_text().partition("\n\n")

    assert title.startswith("# ")
    assert re.match(r"(This guide is for|For) ", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_prose_is_wrapped(page: Path) -> None:
    """Outside tables and shown text, a line has at most 120 columns."""
    is_shown, long = False, []
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if re.match(r"\s*(```|~~~)", line):
            is_shown = not is_shown
        elif not is_shown and len(line) > 120 and not re.match(r"\s*(\||<|\[[^\]]+\]:)", line):
            long.append(number)

    assert long == []


def test_index_lists_every_guide() -> None:
    """The index leads to each guide."""
    listed = re.findall(r"\]\(([^)#]+)", (REPOSITORY / "docs" / "README.md").read_text())

    assert {guide.name for guide in GUIDES} <= {"README.md", *listed}


def test_glossary_defines_a_word_once() -> None:
    """Each word of the glossary has an anchor of its own and a definition."""
    rows = re.findall(r"^\| <a id=\"([a-z-]+)\"></a>([^|]+) \| (.+) \|$", GLOSSARY.read_text(), re.MULTILINE)
    lines = [line for line in GLOSSARY.read_text().splitlines() if line.startswith("| ")]

    assert len(rows) == len({anchor for anchor, _, _ in rows}) == len(lines) - 2 * lines.count("| word | meaning |")


def test_guide_to_clients_explains_exactly_the_variables_that_are_written() -> None:
    """The guide to clients lists the variables that are written when every artifact is configured, and no other."""
    written = variables(
        container_directory="/c",
        project="p",
        quota_project="q",
        files=name_variables([name.lower() for name in OPTIONAL]),
        is_chain=False,
    )
    explained = []
    for heading, column in (("| variable | for |", 1), ("| file | its variable in `env` |", 2)):
        table = reference.CLIENTS.read_text().partition(heading)[2].partition("\n\n")[0]
        explained += [
            name for line in table.splitlines()[2:] for name in re.findall(r"`([A-Z_]+)`", line.split("|")[column])
        ]

    assert sorted(explained) == sorted(written)


@pytest.mark.parametrize("guide", reference.WRITTEN, ids=lambda guide: guide.stem)
def test_reference_agrees_with_the_program(guide: Path) -> None:
    """The generated part of a guide is the one that `make docs` writes now."""
    assert reference.WRITTEN[guide]() in guide.read_text()


def test_guide_to_fleets_lists_every_kind_of_supplier() -> None:
    """The table of kinds in the guide to fleets has a row for each kind."""
    table = (REPOSITORY / "docs" / "fleets.md").read_text().partition("| kind |")[2].partition("\n\n")[0]

    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == set(KINDS)


@pytest.mark.parametrize("readme", terraform_reference.READMES, ids=lambda readme: readme.parent.name)
def test_terraform_reference_agrees_with_the_module(readme: Path) -> None:
    """The tables of inputs and outputs are those that `make docs` generates from the module."""
    assert terraform_reference.reference(readme.parent) in readme.read_text()


def test_shown_configurations_load(tmp_path: Path) -> None:
    """Each whole configuration in the guide loads as it stands, without a warning."""
    texts = [text for text in blocks(reference.CONFIGURATION, "yaml") if "version" in yaml.safe_load(text)]
    assert texts
    for text in texts:
        path = tmp_path / "refresher.yaml"
        path.write_text(text)
        path.chmod(0o600)
        assert load(path).warnings == ()


@pytest.mark.parametrize("text", blocks(REPOSITORY / "docs" / "containers.md", "yaml"))
def test_shown_pods_are_decoded_by_kubectl(text: str, need: Need, tmp_path: Path) -> None:
    """Each pod in the documentation is decoded by kubectl, which would drop an unknown field, and drops nothing."""
    kubectl = need.tool("kubectl", "apt install kubernetes-client (1.28 or newer)")
    file = tmp_path / "pod.yaml"
    file.write_text(text)

    done = subprocess.run(
        [kubectl, "set", "env", "--local", "-f", str(file), "IS=decoded", "-o", "json"],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    decoded = json.loads(done.stdout)
    for container in (*decoded["spec"]["containers"], *decoded["spec"].get("initContainers", [])):
        assert container["env"].pop() == {"name": "IS", "value": "decoded"}
    assert without_nothing(decoded) == without_nothing(yaml.safe_load(text))


def test_readme_lists_every_command() -> None:
    """The README's table has every command, and no other."""
    listed = re.findall(r"^\| `refresher (\w+)", README.read_text(), re.MULTILINE)

    assert set(listed) == set(COMMANDS)


def test_readme_lists_every_exit_status() -> None:
    """The README's table of exit statuses has each of them once."""
    listed = re.findall(r"^\| (\d) \| ", README.read_text(), re.MULTILINE)

    assert [int(status) for status in listed] == sorted(ExitStatus)


def test_guide_explains_every_state() -> None:
    """The operator's guide explains each state that `status` shows, and no other."""
    listed = re.findall(r"^\| `(\w+)` \| ", (REPOSITORY / "docs" / "operating.md").read_text(), re.MULTILINE)

    assert set(listed) == {*State, ExchangeState.REFUSED, ExchangeState.UNANSWERED}


def test_guide_names_every_event() -> None:
    """The operator's guide names each event that the daemon logs."""
    sources = [*REPOSITORY.glob("refresher/engine/*.py"), *REPOSITORY.glob("refresher/app/*.py")]
    events = {event for source in sources for event in EVENT.findall(source.read_text())}
    text = (REPOSITORY / "docs" / "operating.md").read_text()

    assert events > {"daemon.started", "token.published"}
    assert [event for event in sorted(events) if f"`{event}`" not in text] == []
