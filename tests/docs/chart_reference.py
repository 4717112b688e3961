"""The values of the Helm chart as a table for the guide, from their schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = Path(__file__).parents[2] / "configs" / "kubernetes" / "chart" / "values.schema.json"


def list_values(node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Return each value of a schema by its dotted name, an object before what is in it."""
    for name, value in node.get("properties", {}).items():
        yield f"{prefix}{name}", value
        yield from list_values(value, f"{prefix}{name}.")


def reference() -> str:
    """Return the table as Markdown: the value, and what it means."""
    schema = json.loads(SCHEMA.read_text())
    rows = [
        f"| `{name}`{' (required)' if name in schema['required'] else ''} | {value['description']} |"
        for name, value in list_values(schema)
        if name != "global"
    ]
    return "\n".join(["| value | meaning |", "| --- | --- |", *rows, ""])
