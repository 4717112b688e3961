from __future__ import annotations

import json
from pathlib import Path

from refresher.config.models import build_schema

COPY = Path(__file__).parents[3] / "configs" / "schema.json"


def test_the_committed_copy_is_the_schema() -> None:
    """`configs/schema.json` is generated from the models; write it with `refresher schema > configs/schema.json`."""
    assert COPY.read_text() == build_schema()


def test_every_key_is_described() -> None:
    """Every property of every object has a description, since the documentation is generated from it."""
    schema = json.loads(build_schema())

    nameless = [
        f"{name}.{key}"
        for name, node in [("", schema), *schema["$defs"].items()]
        for key, value in node["properties"].items()
        if not value.get("description")
    ]

    assert nameless == []


def test_shows_what_users_write() -> None:
    """Defaults are shown as they would be written, and null, which is refused, is never offered."""
    text = build_schema()

    schema = json.loads(text)
    assert schema["properties"]["listen"]["default"] == "unix:/run/refresher-status/http.sock"
    assert {each["type"] for each in schema["$defs"]["TargetSettings"]["properties"]["mode"]["anyOf"]} == {
        "string",
        "integer",
    }
    assert "directory" not in schema["$defs"]["TargetSettings"]["properties"]
    assert schema["$defs"]["SelfIssuedSettings"]["properties"]["lifetime"]["default"] == "1h"
    assert "null" not in text
