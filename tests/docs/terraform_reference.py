"""The inputs and outputs in `docs/terraform.md`, generated from the modules.

Run as a program (`make docs`) it writes the part between the two markers again. A test compares it with the modules.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hcl2

from tests.docs.reference import BEGIN, END

REPOSITORY = Path(__file__).parents[2]
GUIDE = REPOSITORY / "docs" / "terraform.md"
MODULES = {
    "The root": "",
    "Module federation": "modules/federation",
    "Module identity": "modules/identity",
    "Module guardrails": "modules/guardrails",
}


def reference() -> str:
    """Return the tables as Markdown."""
    return "\n".join(_section(title, REPOSITORY / "terraform" / folder) for title, folder in MODULES.items())


def _section(title: str, folder: Path) -> str:
    inputs = [_input(name, body) for name, body in _blocks(folder / "variables.tf", "variable")]
    outputs = [
        f"| `{name}` | {_text(body['description'])} |" for name, body in _blocks(folder / "outputs.tf", "output")
    ]
    return "\n".join(
        [
            f"### {title}\n",
            "| input | type | default | meaning |",
            "| --- | --- | --- | --- |",
            *inputs,
            "",
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
    return value.strip('"').replace('\\"', '"').replace("|", "\\|")


def _blocks(path: Path, kind: str) -> list[tuple[str, dict[str, Any]]]:
    with path.open(encoding="utf-8") as file:
        document = hcl2.load(file)
    return [
        (name.strip('"'), body) for block in document[kind] for name, body in block.items() if isinstance(body, dict)
    ]


def main() -> None:
    """Write the tables into the guide."""
    before, _, rest = GUIDE.read_text().partition(BEGIN)
    GUIDE.write_text(f"{before}{BEGIN}\n{reference()}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
