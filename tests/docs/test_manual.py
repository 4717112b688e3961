from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from refresher.cli.root import COMMANDS, root
from tests.docs.manual import list_completions, list_pages
from tests.docs.reference import SCHEMA
from tests.program import COMMAND

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Need

PAGES = list_pages()
SUBCOMMANDS = [(name, part) for name in ("keys", "targets") for part in root.get_command(None, name).commands]  # type: ignore[union-attr,arg-type]
HEADINGS = {"Usage", "Options", "Commands", "Example", "Exit", "statuses"}
INVOCATIONS = [(), *((name,) for name in COMMANDS), *SUBCOMMANDS]


def render(page: str, need: Need) -> str:
    """Return a page as a terminal shows it, without bold, or fail with what groff warns about."""
    groff = need.tool("groff", "apt install groff-base")
    command = [groff, "-man", "-Kutf8", "-Tutf8", "-ww", "-P-c", "-P-b", "-P-u"]
    done = subprocess.run(command, input=page, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


def split_words(text: str) -> set[str]:
    """Return the words of a text; how lines are broken, and the marks around them, make no difference."""
    return {word.rstrip(".") for word in re.findall(r"[\w./\[\]|…-]+", text.replace("`", ""))} - {""}


@pytest.mark.parametrize("page", PAGES)
def test_page_is_rendered_without_a_warning(page: str, need: Need) -> None:
    """Groff renders each page, which has a name and a title, and warns about nothing."""
    shown = render(PAGES[page], need)

    assert f"{page.rpartition('.')[0]} - " in shown


@pytest.mark.parametrize("invocation", INVOCATIONS, ids=" ".join)
def test_page_has_every_word_of_the_help(invocation: tuple[str, ...], need: Need) -> None:
    """What `--help` of a command prints, its page has too: each option, its variable and its meaning."""
    shown = CliRunner().invoke(root, [*invocation, "--help"], prog_name="refresher", terminal_width=500).output
    page = PAGES["-".join(["refresher", *invocation[:1]]) + ".1"]

    missing = split_words(shown) - split_words(render(page, need))

    # the page of the root names the page of a command, refresher-NAME(1)
    assert missing <= HEADINGS | (set() if invocation else set(COMMANDS))


def test_page_of_the_configuration_has_every_key(need: Need) -> None:
    """The page refresher.yaml(5) has each key of the schema."""
    shown = render(PAGES["refresher.yaml.5"], need)

    schema = json.loads(SCHEMA.read_text())
    keys = {key for node in (schema, *schema["$defs"].values()) for key in node["properties"]}
    assert "directory_root" in keys
    assert [key for key in sorted(keys) if key not in shown] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("refresher ", set(COMMANDS), id="commands"),
        pytest.param("refresher keys r", {"rotate", "retire", "revoke"}, id="subcommands"),
        pytest.param("refresher run --d", {"--drain"}, id="options"),
        pytest.param("refresher env --format s", {"shell"}, id="values"),
    ],
)
def test_bash_completes_the_command_line(line: str, expected: set[str], tmp_path: Path, need: Need) -> None:
    """In bash, the completion offers commands, subcommands, options and the values of an option."""
    bash = need.tool("bash", "apt install bash")
    script = tmp_path / "refresher.bash"
    script.write_text(list_completions()["refresher.bash"])
    program = tmp_path / "refresher"
    program.write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    program.chmod(0o755)
    words = line.split(" ")
    asking = f". {script}; COMP_WORDS=({line}{'' if words[-1] else chr(39) * 2}); COMP_CWORD={len(words) - 1}"

    done = subprocess.run(
        [bash, "-c", f'{asking}; _refresher_completion {program}; printf "%s\\n" "${{COMPREPLY[@]}}"'],
        capture_output=True,
        text=True,
        check=True,
    )

    assert set(done.stdout.split()) == expected
    assert done.stderr == ""
