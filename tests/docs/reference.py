"""The reference of every key in `docs/configuration.md`, made from the JSON Schema; `make docs` writes it again.

Run as a program it rewrites the part between the two markers; a test compares the part with the schema.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from refresher.suppliers.registry import KINDS

REPOSITORY = Path(__file__).parents[2]
GUIDE = REPOSITORY / "docs" / "configuration.md"
SCHEMA = REPOSITORY / "configs" / "schema.json"
BEGIN, END = "<!-- reference: make docs -->\n", "<!-- end of reference -->\n"
SECTIONS = {
    "The file": "",
    "`providers.NAME`": "ProviderSettings",
    **{f"`suppliers.NAME`, `kind: {kind}`": settings.__name__ for kind, settings in KINDS.items()},
    "`suppliers.NAME.signer`": "SignerSettings",
    "`identities.NAME`": "IdentitySettings",
    "`targets.NAME`, and the whole of a drop-in": "TargetSettings",
    "`targets.NAME.artifacts`": "ArtifactSettings",
    "`targets.NAME.artifacts.id_tokens.NAME`": "IdTokenSettings",
    "`google`": "GoogleSettings",
    "`google.endpoints`": "EndpointSettings",
}


def reference() -> str:
    """Return the reference as Markdown."""
    schema = json.loads(SCHEMA.read_text())
    missing = set(schema["$defs"]) - set(SECTIONS.values())
    if missing:
        raise LookupError(f"the reference has no section for {missing}")
    return "\n".join(_section(title, schema["$defs"][name] if name else schema) for title, name in SECTIONS.items())


def _section(title: str, node: dict[str, Any]) -> str:
    required = node.get("required", [])
    rows = [
        f"| `{key}`{' (required)' if key in required else ''} | {value['description'].replace('|', chr(92) + '|')} |"
        for key, value in node["properties"].items()
    ]
    return "\n".join([f"### {title}\n", node["description"], "", "| key | meaning |", "| --- | --- |", *rows, ""])


def main() -> None:
    """Write the reference into the guide."""
    before, _, rest = GUIDE.read_text().partition(BEGIN)
    GUIDE.write_text(f"{before}{BEGIN}\n{reference()}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
