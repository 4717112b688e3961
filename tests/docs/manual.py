"""The manual pages and the completions of shells, generated from the command line and from the schema.

`python -m tests.docs.manual DIRECTORY` (`make manual`) writes them: a page for each command, `refresher.yaml(5)`,
`refresher-netns(8)`, and a completion for bash, zsh and fish. The Debian package contains them. No copy is in the tree.
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete

from refresher import __version__
from refresher.cli.root import COMMANDS, EXIT_STATUSES, root
from refresher.metadata.helper import build_parser
from tests.docs.reference import SCHEMA, SECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

VARIABLE = "_REFRESHER_COMPLETE"
"""The variable by which a shell asks click for completions; click derives it from the command's name."""
COMPLETIONS = {"refresher.bash": BashComplete, "_refresher": ZshComplete, "refresher.fish": FishComplete}
_CONFIGURATION = "/etc/refresher/refresher.yaml"


def quote(text: str) -> str:
    """Return a line of text for roff: no character of it is a command."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga").replace("^", "\\(ha")
    escaped = escaped.replace("~", "\\(ti")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def write_prose(text: str) -> list[str]:
    """Return paragraphs for roff; what stands between backticks is bold."""
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(text).strip())
    lines: list[str] = []
    for paragraph in paragraphs:
        parts = " ".join(paragraph.split()).split("`")
        marked = "".join(f"\\fB{quote(part)}\\fR" if place % 2 else quote(part) for place, part in enumerate(parts))
        lines += [".PP", marked]
    return lines[1:]


def write_entry(term: str, text: str) -> list[str]:
    """Return an entry of a list: a term, and what it means."""
    return [".TP", f".B {quote(term)}", *write_prose(text)]


def write_page(name: str, section: int, title: str, body: Iterable[str]) -> str:
    """Return a whole page; its lines are not hyphenated, so that an option can be searched for."""
    head = [f'.TH "{name.upper()}" "{section}" "" "refresher {__version__}" "refresher"', ".nh", ".ad l"]
    return "\n".join([*head, ".SH NAME", f"{quote(name)} \\- {quote(title)}", *body, ""])


def _name_pages(section: str, names: Iterable[str]) -> str:
    return ", ".join(f"\\fB{quote(name)}\\fR({section})" for name in names)


def _write_parameters(context: click.Context) -> list[str]:
    options = [param for param in context.command.get_params(context) if isinstance(param, click.Option)]
    records = [option.get_help_record(context) for option in options]
    return [line for record in records if record for line in write_entry(*record)]


def _write_synopsis(context: click.Context) -> str:
    return quote(" ".join([context.command_path, *context.command.collect_usage_pieces(context)]))


def _write_command(context: click.Context) -> list[str]:
    command = context.command
    lines = [".SH SYNOPSIS", _write_synopsis(context), ".SH DESCRIPTION", *write_prose(command.help or "")]
    lines += [".SH OPTIONS", *_write_parameters(context)]
    if isinstance(command, click.Group):
        lines.append(".SH COMMANDS")
        for name in command.list_commands(context):
            lines += _write_subcommand(_open(context, command, name))
    elif command.epilog:
        lines += [".SH EXAMPLE", *write_prose(command.epilog)]
    return lines


def _write_subcommand(context: click.Context) -> list[str]:
    lines = [f".SS {_write_synopsis(context)}", *write_prose(context.command.help or "")]
    lines += _write_parameters(context)
    return [*lines, ".PP", "Example:", *write_prose(context.command.epilog or "")]


def _open(parent: click.Context, group: click.Group, name: str) -> click.Context:
    command = group.get_command(parent, name)
    assert command is not None
    return click.Context(command, info_name=name, parent=parent)


def open_root() -> click.Context:
    """Return the context of the root command, as the program opens it."""
    return click.Context(root, info_name="refresher", **root.context_settings)


def _write_end(names: Iterable[str]) -> list[str]:
    lines = [".SH EXIT STATUS"]
    for status in EXIT_STATUSES.split(" · "):
        lines += write_entry(*status.split(" ", 1))
    lines += [".SH FILES", *write_entry(_CONFIGURATION, "The configuration, described in refresher.yaml(5).")]
    return [*lines, ".SH SEE ALSO", ", ".join([_name_pages("1", names), _name_pages("5", ["refresher.yaml"])])]


def list_pages() -> dict[str, str]:
    """Return the text of each page by the name of its file."""
    pages = {"refresher.1": _write_root(), "refresher.yaml.5": _write_configuration()}
    for name, title in COMMANDS.items():
        body = [*_write_command(_open(open_root(), root, name)), *_write_end(["refresher"])]
        pages[f"refresher-{name}.1"] = write_page(f"refresher-{name}", 1, title.rstrip("."), body)
    pages["refresher-netns.8"] = _write_helper(build_parser())
    return pages


def _write_root() -> str:
    context = open_root()
    lines = [".SH SYNOPSIS", _write_synopsis(context), ".SH DESCRIPTION", *write_prose(root.help or "")]
    lines += [".SH OPTIONS", *_write_parameters(context), ".SH COMMANDS"]
    for name, text in COMMANDS.items():
        lines += write_entry(f"refresher-{name}(1)", text)
    lines += _write_end(f"refresher-{name}" for name in COMMANDS)
    return write_page("refresher", 1, (root.help or "").rstrip("."), lines)


def _write_helper(parser: argparse.ArgumentParser) -> str:
    title = "opens metadata endpoints in network namespaces of containers"
    usage = " ".join(parser.format_usage().split()[1:])
    lines = [".SH SYNOPSIS", quote(usage), ".SH DESCRIPTION", *write_prose(parser.description or ""), ".SH OPTIONS"]
    for action in parser._actions:  # noqa: SLF001 - argparse has no other list of its options
        lines += write_entry(", ".join(action.option_strings), action.help or "")
    return write_page("refresher-netns", 8, title, [*lines, ".SH SEE ALSO", _name_pages("1", ["refresher"])])


def _write_configuration() -> str:
    schema = json.loads(SCHEMA.read_text())
    lines = [".SH DESCRIPTION", *write_prose(schema["description"])]
    for title, name in SECTIONS.items():
        node: dict[str, Any] = schema["$defs"][name] if name else schema
        lines.append(f".SH {quote(title.replace('`', '').upper() if not name else title.replace('`', ''))}")
        lines += write_prose(node["description"])
        for key, value in node["properties"].items():
            required = " (required)" if key in node.get("required", []) else ""
            lines += write_entry(f"{key}{required}", value["description"])
    lines += [".SH SEE ALSO", _name_pages("1", ["refresher", "refresher-check", "refresher-schema"])]
    return write_page("refresher.yaml", 5, "configuration of refresher", lines)


def list_completions() -> dict[str, str]:
    """Return the text of each shell's completion by the name of its file."""
    return {file: shell(root, {}, "refresher", VARIABLE).source() for file, shell in COMPLETIONS.items()}


def write_all(directory: Path) -> None:
    """Write every page and every completion into a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in (list_pages() | list_completions()).items():
        (directory / name).write_text(text)


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
