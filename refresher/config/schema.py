"""The JSON Schema of the configuration file, generated from the models; `configs/schema.json` is a copy of it.

It describes what each key means and which shapes are allowed. What spans several values (references, endpoints,
owners) is checked by `refresher check` alone.
"""

from __future__ import annotations

import json
from typing import Any

from refresher.config.models import Configuration


def build_schema() -> str:
    """Return the schema (draft 2020-12), always the same text for the same models, with a newline at the end."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_as_written(Configuration.model_json_schema()),
        "title": "refresher configuration",
    }
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _as_written(node: dict[str, Any]) -> dict[str, Any]:
    """Return only what a user may write: pydantic adds None for a key left out, and titles from the names of keys."""
    kept = {key: value for key, value in node.items() if not (key == "title" and isinstance(value, str))}
    if kept.get("default", 0) is None:
        del kept["default"]
    variants = [variant for variant in kept.pop("anyOf", []) if variant != {"type": "null"}]
    if len(variants) == 1:
        kept = {**variants[0], **kept}
    elif variants:
        kept["anyOf"] = variants
    return {key: _as_written(value) if isinstance(value, dict) else value for key, value in kept.items()}
