"""The google provider's schema as data (`schema.json`), and the functions for planning and for the REST bodies.

The data is a part of `terraform providers schema -json` of the real provider, whose version it contains: the resources
of our modules, without descriptions. No function here knows a resource by name.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tf.gen import tfplugin_pb2 as pb

Values = dict[str, Any]
"""A resource in Terraform's form: attributes and blocks by name."""

DATA: dict[str, Any] = json.loads((Path(__file__).parents[1] / "schema.json").read_text(encoding="utf-8"))

_NESTING = {
    "single": pb.Schema.NestedBlock.SINGLE,
    "list": pb.Schema.NestedBlock.LIST,
    "set": pb.Schema.NestedBlock.SET,
}


class Unknown:
    """The value that is unknown before apply; there is only one."""


UNKNOWN = Unknown()


def block_of(type_name: str) -> Values:
    """Return the schema block of a resource."""
    block: Values = DATA["resource_schemas"][type_name]["block"]
    return block


def schema_message(schema: Values) -> pb.Schema:
    """Return a schema in the form of the protocol."""
    return pb.Schema(version=schema.get("version", 0), block=_block_message(schema["block"]))


def planned(block: Values, proposed: Values, prior: Values | None) -> Values:
    """Mark the values that only apply knows: computed attributes of a new resource, unless they are set."""
    result: Values = {}
    for name, attribute in block.get("attributes", {}).items():
        value = proposed.get(name)
        is_told = value is not None or prior is not None
        result[name] = UNKNOWN if attribute.get("computed") and not is_told else value
    for name, nested in block.get("block_types", {}).items():
        value = proposed.get(name)
        if isinstance(value, list):
            before = (prior or {}).get(name) or []
            pairs = [(item, before[index] if index < len(before) else None) for index, item in enumerate(value)]
            value = [planned(nested["block"], item, old) for item, old in pairs]
        result[name] = value
    return result


def settle(value: Any) -> Any:  # noqa: ANN401 - any value of a state
    """Replace values that are still unknown after apply with null."""
    if value is UNKNOWN:
        return None
    if isinstance(value, dict):
        return {name: settle(item) for name, item in value.items()}
    return [settle(item) for item in value] if isinstance(value, list) else value


def to_api(block: Values, values: Values, *, omit: frozenset[str] = frozenset()) -> Values:
    """Return a REST body: camel case, without empty values, single blocks as objects."""
    body: Values = {}
    for name, attribute in block.get("attributes", {}).items():
        value = values.get(name)
        is_ours = name in omit or (attribute.get("computed") and not attribute.get("optional"))
        if not is_ours and value not in (None, "", [], {}, False, 0) and value is not UNKNOWN:
            body[camel(name)] = value
    for name, nested in block.get("block_types", {}).items():
        items = values.get(name)
        if name == "timeouts" or not items:
            continue
        bodies = [to_api(nested["block"], item) for item in items]
        body[camel(name)] = bodies[0] if nested.get("max_items") == 1 else bodies
    return body


def from_api(block: Values, body: Values, prior: Values, *, omit: frozenset[str] = frozenset()) -> Values:
    """Return the values of a REST answer; a value that is empty on both sides stays as it was."""
    values: Values = {}
    for name in block.get("attributes", {}):
        values[name] = prior.get(name) if name in omit else choose_value(prior.get(name), body.get(camel(name)))
    for name, nested in block.get("block_types", {}).items():
        if name == "timeouts":
            values[name] = prior.get(name)
            continue
        answer = body.get(camel(name)) or []
        bodies = [answer] if isinstance(answer, dict) else answer
        before = prior.get(name) or []
        values[name] = [
            from_api(nested["block"], item, before[index] if index < len(before) else {})
            for index, item in enumerate(bodies)
        ]
    return values


def choose_value(before: Any, answer: Any) -> Any:  # noqa: ANN401 - any value of a state
    """Return the new value, or the old one if both are empty, absent or false."""
    empty: tuple[Any, ...] = (None, "", [], {}, False, 0)
    return before if answer in empty and before in empty else answer


def camel(name: str) -> str:
    """Return a name in the form of the REST APIs."""
    return re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), name)


def _block_message(block: Values) -> pb.Schema.Block:
    return pb.Schema.Block(
        attributes=[
            pb.Schema.Attribute(
                name=name,
                type=json.dumps(attribute["type"]).encode(),
                required=attribute.get("required", False),
                optional=attribute.get("optional", False),
                computed=attribute.get("computed", False),
                sensitive=attribute.get("sensitive", False),
            )
            for name, attribute in block.get("attributes", {}).items()
        ],
        block_types=[
            pb.Schema.NestedBlock(
                type_name=name,
                block=_block_message(nested["block"]),
                nesting=_NESTING[nested["nesting_mode"]],
                min_items=nested.get("min_items", 0),
                max_items=nested.get("max_items", 0),
            )
            for name, nested in block.get("block_types", {}).items()
        ],
    )
