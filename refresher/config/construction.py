"""Nodes to plain values: maps, tuples, text, booleans, integers; everything else is a problem with a place.

PyYAML's own constructor forgets the places, lets duplicate keys win silently and takes twice as long. Refused here:
tags, duplicate keys, keys that are not text, merge keys, endless nesting, aliases that grow without bound. What the
values mean is `refresher.config.models`' business.
"""

from __future__ import annotations

from typing import Any

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from refresher.settings.problems import Problem
from refresher.settings.scalars import TRUE, Misread, said
from refresher.text import quote

_DEEPEST = 32
"""Levels of nesting; the configuration itself has seven."""

_GROWTH = 100_000
"""Nodes that aliases may add to those written."""


def grows_without_bound(root: Node) -> bool:
    """Tell whether a node holds itself or whether its aliases make far more of it than was written."""
    totals: dict[int, float] = {}
    return _total(root, totals, 1) > len(totals) + _GROWTH


def _total(node: Node, totals: dict[int, float], depth: int) -> float:
    known = totals.get(id(node))
    if known is not None:
        return known
    totals[id(node)] = float("inf")  # met again before it is done: it holds itself
    if depth <= _DEEPEST:
        totals[id(node)] = 1 + sum([_total(child, totals, depth + 1) for child in _children(node)])
    return totals[id(node)]


def _children(node: Node) -> list[Node]:
    if isinstance(node, MappingNode):
        return [each for pair in node.value for each in pair]
    return node.value if isinstance(node, SequenceNode) else []


class Construction:
    """Makes plain values of one document's nodes and collects what is wrong with them."""

    def __init__(self, name: str) -> None:
        self.problems: list[Problem] = []
        self._name = name

    def mapping(self, node: Node, depth: int = 1) -> dict[str, Any]:
        """Make a dictionary of a map; of two equal keys the first counts."""
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag != "str":
                self._refuse_key(key_node)
                continue
            key = key_node.value
            if key in result:
                self._refuse(key_node, f"the key {quote(key)} is there twice", "delete one of the two")
                continue
            result[key] = value_node.value if value_node.tag == "str" else self._value(value_node, depth)
        return result

    def _value(self, node: Node, depth: int) -> Any:  # noqa: ANN401, PLR0911 - a value of a YAML document, per kind
        match node.tag:
            case "str":
                return node.value
            case "map" | "seq" if depth >= _DEEPEST:
                self._refuse(node, f"values are nested more than {_DEEPEST} levels deep", "flatten them")
                return None
            case "map":
                return self.mapping(node, depth + 1)
            case "seq":
                return tuple([self._value(child, depth + 1) for child in node.value])
            case "bool":
                return node.value.lower() in TRUE
            case "int":
                return int(node.value)
            case "null":
                return None
            case "number" | "date" | "merge":
                return Misread(node.value)
            case _:
                return self._refuse_tag(node)

    def _refuse_tag(self, node: Node) -> Misread:
        self._refuse(node, f"the tag {quote(node.tag)} is not supported", "delete the tag")
        return Misread(node.tag)

    def _refuse_key(self, node: Node) -> None:
        if node.tag == "merge":
            self._refuse(node, "the merge key << is not supported", "write the keys out, or use include")
        elif isinstance(node, ScalarNode):
            problem = f"a key is {said(node.tag, node.value)}, where text belongs"
            self._refuse(node, problem, f'quote it: "{node.value}":')
        else:
            self._refuse(node, "a key is a map or a list, where text belongs", "write one word as the key")

    def _refuse(self, node: Node, problem: str, remedy: str) -> None:
        self.problems.append(Problem(location=location(self._name, node), problem=problem, remedy=remedy))


def location(name: str, node: Node) -> str:
    """Give `file:line:column` of a node, counted from 1."""
    mark = node.start_mark
    return f"{name}:{mark.line + 1}:{mark.column + 1}"
