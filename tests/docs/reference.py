"""What the guides list and the program declares: keys of the configuration, optional artifacts, known failures.

Run as a program (`make docs`) it writes the parts between two markers again. A test compares them with the program.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args
from urllib.parse import urlsplit

from refresher.catalogue.entries import Entry, compose_remedy, read_entries
from refresher.config.models import ArtifactSettings
from refresher.doctor.chain import NAMES
from refresher.observe.metrics import METRICS
from refresher.publishing.artifacts import ARTIFACTS
from refresher.settings.model import Settings
from refresher.suppliers.interface import KINDS, load_kind
from tests.docs import chart_reference

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[2]
CONFIGURATION = REPOSITORY / "docs" / "configuration.md"
DEPLOYMENT = REPOSITORY / "docs" / "deployment.md"
CLIENTS = REPOSITORY / "docs" / "clients.md"
OPERATIONS = REPOSITORY / "docs" / "operations.md"
TROUBLESHOOTING = REPOSITORY / "docs" / "troubleshooting.md"
SCHEMA = REPOSITORY / "configs" / "schema.json"
BEGIN, END = "<!-- reference: make docs -->\n", "<!-- end of reference -->\n"


def _list_suppliers() -> Iterator[tuple[str, str]]:
    """Return the sections of each kind of supplier, and of the maps in its settings."""
    for kind, settings in ((kind, load_kind(kind)) for kind in KINDS):
        yield f"`suppliers.NAME`, `kind: {kind}`", settings.__name__
        for key, field in settings.model_fields.items():
            for part in get_args(field.annotation):
                if isinstance(part, type) and issubclass(part, Settings):
                    yield f"`suppliers.NAME.{key}`", part.__name__


SECTIONS = {
    "The file": "",
    "`providers.NAME`": "ProviderSettings",
    **dict(_list_suppliers()),
    "`identities.NAME`": "IdentitySettings",
    "`targets.NAME`, and the whole of a drop-in": "TargetSettings",
    "`targets.NAME.artifacts`": "ArtifactSettings",
    "`targets.NAME.artifacts.id_tokens.NAME`": "IdTokenSettings",
    "`targets.NAME.metadata`": "MetadataSettings",
    "`google`": "GoogleSettings",
    "`google.endpoints`": "EndpointSettings",
}


def reference() -> str:
    """Return the reference as Markdown.

    Raises:
        LookupError: A definition of the schema has no section.
    """
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


def list_artifacts() -> str:
    """Return the table of optional artifacts as Markdown: the file, its variable, and what it is."""
    described = ArtifactSettings.model_fields
    rows = [
        f"| `{row.name}{'/NAME' * row.is_folder}` | `{row.variable}{'NAME' * row.is_folder}` | "
        f"{described[row.name].description} |"
        for row in ARTIFACTS
        if row.is_optional
    ]
    return "\n".join(["| file | its variable in `env` | what it is |", "| --- | --- | --- |", *rows, ""])


def list_metrics() -> str:
    """Return the table of metrics as Markdown: name, type and meaning."""
    rows = [f"| `{name}` | {kind} | {text} |" for name, (kind, text) in METRICS.items()]
    return "\n".join(["| metric | type | meaning |", "| --- | --- | --- |", *rows, ""])


def list_failures() -> str:
    """Return the known failures as Markdown: a table for each link of the chain, in its order."""
    headings = {"": "Any call to Google", **{name: name.capitalize() for name in NAMES}, "set-up": "Set-up"}
    lines = []
    for link, heading in headings.items():
        entries = [entry for entry in read_entries() if entry.link == link]
        if entries:
            lines += [f"### {heading}\n", "| | you see | why | do | source |", "| --- | --- | --- | --- | --- |"]
            lines += [*map(_describe_failure, entries), ""]
    return "\n".join(lines)


def _describe_failure(entry: Entry) -> str:
    seen = [f"`{text}`" for text in entry.texts]
    if entry.status and (entry.by_status or not entry.texts):
        seen.append(f"HTTP {entry.status}")
    place = entry.source.removeprefix("docs/")
    source = f"[{urlsplit(entry.source).hostname or place}]({place})" if "." in entry.source else entry.source
    cells = [
        f'<a id="{entry.name.lower()}"></a>{entry.name}',
        " or ".join(seen) or "`refresher doctor` shows it",
        entry.cause,
        compose_remedy(entry, ""),
        source if entry.is_verified else f"{source}, unverified",
    ]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


WRITTEN = {
    CONFIGURATION: reference,
    CLIENTS: list_artifacts,
    DEPLOYMENT: chart_reference.reference,
    OPERATIONS: list_metrics,
    TROUBLESHOOTING: list_failures,
}
"""What is written into which guide."""


def main() -> None:
    """Write the generated part of each guide."""
    for guide, write in WRITTEN.items():
        before, _, rest = guide.read_text().partition(BEGIN)
        guide.write_text(f"{before}{BEGIN}\n{write()}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
