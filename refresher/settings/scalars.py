"""What YAML makes of scalars without quotes, read more warily than by YAML 1.1.

What a reader could take for something else than text (`no`, `0440`, `2026-01-01`) stays marked as such, so that a
message can say "quote it"; `1042:42` is text, not a number to base 60 (YAML 1.1, "Language-Independent Types").
libyaml composes the nodes; `refresher.config.construction` makes values of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from yaml._yaml import CParser
from yaml.nodes import MappingNode, Node, ScalarNode

from refresher.text import quote

TRUE = frozenset(["yes", "true", "on"])
"""The words for true, in lower case."""

_SUSPECT = frozenset(["", *"~nNtTfFyYoO+-.0123456789<"])
_PLAIN = re.compile(
    r"(?P<null>|~|null|Null|NULL)"
    r"|(?P<bool>[Yy]es|YES|[Nn]o|NO|[Tt]rue|TRUE|[Ff]alse|FALSE|[Oo]n|ON|[Oo]ff|OFF)"
    r"|(?P<int>[-+]?(?:0|[1-9][0-9]{0,17}))"
    r"|(?P<number>[-+]?(?:[0-9][0-9_]*|0x[0-9a-fA-F_]+|0o[0-7]+|0b[01_]+|[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?"
    r"|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN))"
    r"|(?P<date>[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt \t].*)?)"
    r"|(?P<merge><<)"
)
_SAID = {
    "null": "empty",
    "bool": "{}, a boolean to YAML",
    "int": "{}, a number to YAML",
    "number": "{}, a number to YAML",
    "date": "{}, a date to YAML",
    "merge": "{}, a merge key to YAML",
    "map": "a map",
    "seq": "a list",
}


@dataclass(frozen=True, slots=True)
class Misread:
    """A scalar without quotes that no field takes as it stands: `0440`, `1.5`, `2026-01-01`."""

    text: str


class Composer(CParser):
    """libyaml with our own reading of scalars; a node's tag becomes one short word, a written tag stays long."""

    def resolve(self, kind: type[Node], value: str | None, implicit: Any) -> str:  # noqa: ANN401 - PyYAML's signature
        """Say what a node without a tag is: str, null, bool, int, number, date, merge, map or seq."""
        if kind is ScalarNode:
            if implicit[0] and value is not None and value[:1] in _SUSPECT:
                found = _PLAIN.fullmatch(value)
                if found is not None:
                    return found.lastgroup or "str"
            return "str"
        return "map" if kind is MappingNode else "seq"

    def descend_resolver(self, *_: object) -> None:
        """Resolve without regard to the path."""

    def ascend_resolver(self) -> None:
        """Resolve without regard to the path."""


def said(kind: str, text: str) -> str:
    """Put a value into a clause: `0440, a number to YAML`."""
    if kind == "str":
        return quote(text)
    return _SAID.get(kind, "a value with a tag").format(text if len(text) < 64 else "…")  # noqa: PLR2004 - one line


def is_tag(kind: str) -> bool:
    """Tell whether what a node is was written as a tag (`!secret`, `!!str`), not worked out by us."""
    return kind not in _SAID and kind != "str"
