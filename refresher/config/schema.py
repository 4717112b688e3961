"""The JSON Schema of the configuration file, generated from the models; `configs/schema.json` is a copy of it.

It says what each key means and which shapes are allowed. What spans several values (references, endpoints, places) only
`refresher check` can tell.
"""

from __future__ import annotations

import json
from typing import Any

from refresher.config.models import Configuration


def json_schema() -> str:
    """Give the schema (draft 2020-12), always the same text for the same models, with a newline at the end."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_as_written(Configuration.model_json_schema()),
        "title": "refresher configuration",
    }
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _as_written(node: dict[str, Any]) -> dict[str, Any]:
    """Say only what a user may write: pydantic takes None for a key left out, and makes titles of the names of keys."""
    kept = {key: value for key, value in node.items() if not (key == "title" and isinstance(value, str))}
    if kept.get("default", 0) is None:
        del kept["default"]
    variants = [variant for variant in kept.pop("anyOf", []) if variant != {"type": "null"}]
    if len(variants) == 1:
        kept = {**variants[0], **kept}
    elif variants:
        kept["anyOf"] = variants
    return {key: _as_written(value) if isinstance(value, dict) else value for key, value in kept.items()}
