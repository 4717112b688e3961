"""YAML text to a tree in which every scalar is text, as written, and every key and value knows its place.

YAML 1.1, as libyaml reads it. Any bytes result in a document; what is wrong with them is among its problems. Refused
here: tags, duplicate keys, the merge key, keys that are not text, endless nesting, aliases that grow without bound.
What a scalar means is decided by the field that reads it (`refresher.settings`). Files are opened in
`refresher.config.sources`.
"""

from io import BytesIO
from typing import Any, NamedTuple, cast

import yaml
from yaml.reader import ReaderError

from refresher.settings.places import Empty, List, Map, Mark, Node, OwnMark, Problem, Quoted, Value, locate
from refresher.text import quote

_EMPTY = frozenset(["", "~", "null", "Null", "NULL"])
"""What stands for no value without quotes (YAML 1.1, "Null")."""

_DEEPEST = 32
"""Levels of nesting; the configuration itself has seven."""

_GROWTH = 100_000
"""Nodes that aliases may add to those written."""

_PLAIN, _QUOTED, _COLLECTION = "plain", "quoted", "collection"
_SCALAR_TAGS = frozenset([_PLAIN, _QUOTED])
_OWN_TAGS = frozenset([_PLAIN, _QUOTED, _COLLECTION])
"""Our tags for nodes without a tag of the file's own."""


class Document(NamedTuple):
    """One YAML document.

    Attributes:
        root: Its top map; empty if it has no map.
        problems: What is wrong with it as YAML.
        is_broken: Whether nothing could be read of the file.
        is_empty: Whether the file holds nothing but comments, which alone is not wrong.
    """

    root: Map
    problems: tuple[Problem, ...] = ()
    is_broken: bool = False
    is_empty: bool = False


class _Composer(yaml.CBaseLoader):
    """Composes nodes whose tag shows how they were written; a tag of the file's own stays as it is."""

    def resolve(self, kind: type[yaml.Node], value: str | None, implicit: Any) -> str:  # noqa: ANN401, ARG002 - PyYAML's signature
        """Return the tag of a node that has none; for a scalar, whether it has quotes."""
        if kind is yaml.ScalarNode:
            return _PLAIN if implicit[0] else _QUOTED
        return _COLLECTION

    def descend_resolver(self, *_: object) -> None:
        """Ignore where a node is; PyYAML asks for each of them."""

    ascend_resolver = descend_resolver


class _Stream(BytesIO):
    """A file's content under a name, which PyYAML keeps in every mark."""

    name: str


def read_document(content: bytes, name: str) -> Document:
    """Read one document; whatever the bytes are, mistakes become its problems and nothing is raised.

    Args:
        content: The whole file.
        name: The file, as messages show it; relative paths in it count from its directory.
    """
    start = OwnMark(name)
    root = _compose(content, name)
    if isinstance(root, Problem):
        return Document(root=Map(start, start), problems=(root,), is_broken=True)
    if root is None:
        return Document(root=Map(start, start), is_empty=True)
    problems: list[Problem] = []
    tree = cast("Map", _read_node(root, root.start_mark, (), problems))
    return Document(root=tree, problems=tuple(problems))


def _compose(content: bytes, name: str) -> yaml.MappingNode | Problem | None:
    """Return the top map, or why nothing can be read of the file; None if there is nothing in it."""
    stream = _Stream(content)
    stream.name = name
    try:
        text = content.decode()
        root = yaml.compose(stream, Loader=_Composer)
    except (UnicodeDecodeError, ReaderError) as error:
        if isinstance(error, ReaderError):
            place, wrong = error.position, ("the file has a character that YAML does not allow", "delete the character")
        else:
            place, wrong = error.start, ("the file is not UTF-8", "save it as UTF-8")
        before = content[:place].decode(errors="ignore")
        mark = OwnMark(name, before.count("\n"), len(before) - before.rfind("\n") - 1)
        return Problem(locate(mark), *wrong)
    except yaml.MarkedYAMLError as error:
        return _explain(name, error)
    if root is None or (root.tag == _PLAIN and root.value in _EMPTY):
        return None
    if not isinstance(root, yaml.MappingNode):
        problem, remedy = "the file holds a list or a single value, not a map", "write lines of the form KEY: VALUE"
        return Problem(locate(root.start_mark), problem, remedy)
    if "*" in text and "&" in text and _grows_without_bound(root):
        problem = "its aliases refer to themselves, or grow without bound"
        return Problem(locate(root.start_mark), problem, "write the values out")
    return root


def _read_map(node: yaml.MappingNode, label: Mark, path: tuple[str | int, ...], problems: list[Problem]) -> Map:
    """Read a map; of two equal keys the first counts."""
    read = Map(node.start_mark, label, path)
    for key_node, value_node in node.value:
        key, mark, tag = key_node.value, key_node.start_mark, value_node.tag
        if key_node.tag not in _SCALAR_TAGS or key == "<<" or key in read:
            problem = _explain_key(key_node, read)
            if problem is not None:
                problems.append(problem)
                continue
        if tag == _QUOTED:
            read[key] = Quoted(value_node.value, value_node.start_mark, mark)
        elif tag == _PLAIN and value_node.value not in _EMPTY:
            read[key] = Value(value_node.value, value_node.start_mark, mark)
        else:
            read[key] = _read_node(value_node, mark, (*path, key), problems)
    return read


def _explain_key(node: yaml.Node, read: Map) -> Problem | None:
    location = locate(node.start_mark)
    if node.tag not in _OWN_TAGS:
        return Problem(location, f"the tag {quote(node.tag)} is not supported", "delete the tag")
    if not isinstance(node, yaml.ScalarNode):
        return Problem(location, "a key is a map or a list, not text", "write one word as the key")
    if node.value in read:
        return Problem(location, f"the key {quote(node.value)} appears twice", "delete one of the two")
    if node.tag == _PLAIN:
        return Problem(location, "the merge key << is not supported", "write the keys out, or use include")
    return None  # "<<" in quotes is text


def _read_node(node: yaml.Node, label: Mark, path: tuple[str | int, ...], problems: list[Problem]) -> Node:
    if node.tag not in _OWN_TAGS:  # it is read all the same, since its absence would be reported as another mistake
        problem = f"the tag {quote(node.tag)} is not supported"
        problems.append(Problem(locate(node.start_mark), problem, "delete the tag"))
    if isinstance(node, yaml.MappingNode) and len(path) < _DEEPEST:
        return _read_map(node, label, path, problems)
    if isinstance(node, yaml.SequenceNode) and len(path) < _DEEPEST:
        nodes = [_read_node(each, each.start_mark, (*path, index), problems) for index, each in enumerate(node.value)]
        return List.from_nodes(nodes, node.start_mark, label)
    if isinstance(node, yaml.CollectionNode):
        problem = f"values are nested more than {_DEEPEST} levels deep"
        problems.append(Problem(locate(node.start_mark), problem, "flatten them"))
        return Empty("", node.start_mark, label)
    if node.tag == _PLAIN and node.value in _EMPTY:
        return Empty(node.value, node.start_mark, label)
    return (Quoted if node.tag == _QUOTED else Value)(node.value, node.start_mark, label)


def _grows_without_bound(root: yaml.Node) -> bool:
    """Return whether a node holds itself, or its aliases stand for far more nodes than were written."""
    totals: dict[int, float] = {}

    def count(node: yaml.Node, depth: int) -> float:
        if id(node) not in totals:
            totals[id(node)] = float("inf")  # met again before it is done: it holds itself
            if depth <= _DEEPEST:
                children = node.value if isinstance(node, yaml.CollectionNode) else ()
                pairs = isinstance(node, yaml.MappingNode)
                nodes = [each for pair in children for each in pair] if pairs else children
                totals[id(node)] = 1 + sum([count(child, depth + 1) for child in nodes])
        return totals[id(node)]

    return count(root, 1) > len(totals) + _GROWTH


def _explain(name: str, error: yaml.MarkedYAMLError) -> Problem:
    location = locate(error.problem_mark or error.context_mark or OwnMark(name))
    if "another document" in (error.problem or ""):
        problem, remedy = "the file holds several documents", "keep one of them, and delete the line ---"
    else:
        problem = f"the YAML is broken: {error.problem or error.context}"
        remedy = "fix that line or the one before: indentation, a tab, a colon without a space, an open quote"
    return Problem(location, problem, remedy)
