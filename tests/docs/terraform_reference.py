"""The inputs and outputs in the README of each Terraform module, generated from the module.

Run as a program (`make docs`) it writes the part between the two markers again. A test compares it with the modules.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from textwrap import dedent
from typing import Any

import hcl2

from tests.docs.reference import BEGIN, END

TERRAFORM = Path(__file__).parents[2] / "terraform"
READMES = [TERRAFORM / "README.md", *sorted(TERRAFORM.glob("modules/*/README.md"))]


def reference(folder: Path) -> str:
    """Return the tables of a module as Markdown."""
    inputs = [_input(name, body) for name, body in _blocks(folder / "variables.tf", "variable")]
    outputs = [
        f"| `{name}` | {_text(body['description'])} |" for name, body in _blocks(folder / "outputs.tf", "output")
    ]
    return "\n".join(
        [
            "## Inputs\n",
            "| input | type | default | meaning |",
            "| --- | --- | --- | --- |",
            *inputs,
            "",
            "## Outputs\n",
            "| output | meaning |",
            "| --- | --- |",
            *outputs,
            "",
        ]
    )


def _input(name: str, body: dict[str, Any]) -> str:
    kind = str(body["type"]).removeprefix("${").removesuffix("}")
    outer = kind.partition("({")[0]
    shown = kind if "({" not in kind else f"{outer}{')' * outer.count('(')}"
    return f"| `{name}` | `{shown}` | {_default(body)} | {_text(body['description'])} |"


def _default(body: dict[str, Any]) -> str:
    if "default" not in body:
        return "required"
    value = body["default"]
    if isinstance(value, list):
        value = [each.strip('"') for each in value]
    elif isinstance(value, str):
        value = value.strip('"')
    return f"`{json.dumps(value)}`"


def _text(value: str) -> str:
    """Return a description on one line: its list becomes lines of the table's cell."""
    heredoc = re.fullmatch(r'"?<<-EOT\n(.*?)\n\s*EOT"?', value, re.DOTALL)
    lines = dedent(heredoc[1]).splitlines() if heredoc else [value.strip('"').replace('\\"', '"')]
    return "<br>".join(line.removeprefix("- ") for line in lines).replace("|", "\\|")


def _blocks(path: Path, kind: str) -> list[tuple[str, dict[str, Any]]]:
    with path.open(encoding="utf-8") as file:
        document = hcl2.load(file)
    return [
        (name.strip('"'), body) for block in document[kind] for name, body in block.items() if isinstance(body, dict)
    ]


def main() -> None:
    """Write the tables into the READMEs."""
    for readme in READMES:
        before, _, rest = readme.read_text().partition(BEGIN)
        readme.write_text(f"{before}{BEGIN}\n{reference(readme.parent)}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
