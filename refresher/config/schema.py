"""The JSON Schema of the configuration file, generated from the models; `configs/schema.json` is a copy of it.

It says what each key means and which shapes are allowed. What spans several values (references, endpoints, places) only
`refresher check` can tell.
"""

from __future__ import annotations

import json

from refresher.config.models import Configuration


def json_schema() -> str:
    """Give the schema (draft 2020-12), always the same text for the same models, with a newline at the end."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Configuration.model_json_schema(),
        "title": "refresher configuration",
    }
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
