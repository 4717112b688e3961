"""What all models of the configuration share: they keep what was written, with its places, and check themselves.

One wrap validator reads a model and collects everything that is wrong with it in one pass: what pydantic finds (wrong
shapes, unknown and missing keys), what the fields refuse, and what the model's own `check` finds between its keys. It
does not stop at a mistake: a model that is partly wrong is built from what is right, so that the checks between entries
(`refresher.config.checks`) find their mistakes too. Such a model is used for nothing else.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, model_validator
from pydantic_core import ErrorDetails, core_schema

from refresher.settings.fields import NAME, NAME_REMEDY, UNREADABLE, explain_shape, is_name, refuse
from refresher.settings.places import Empty, Map, Node, OwnMark, Problem, follow, make_problem, suggest

_SHAPES = {"tuple_type": "a list", "dict_type": "a map", "mapping_type": "a map"}
_NONE: frozenset[str] = frozenset()
_NOWHERE = Map(OwnMark(""), OwnMark(""))


class Settings(BaseModel):
    """The base of all models: frozen, no unknown keys, no coercion, built when first used.

    Attributes:
        node: What was written; no part of the model's value.
        broken: The keys whose values were refused: their fields hold the defaults, required ones None.
    """

    __slots__ = ("broken", "node")
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    if TYPE_CHECKING:  # slots, which pydantic would take for fields
        node: ClassVar[Map]
        broken: ClassVar[frozenset[str]]

    retired: ClassVar[Mapping[str, tuple[str, str]]] = {}
    """Keys of earlier versions, with the problem and the remedy of a file that has one."""

    @classmethod
    def read(cls, node: Node, problems: list[Problem]) -> Self:
        """Read what was written, and add everything that is wrong with it to the problems."""
        return cls.model_validate(node, context=problems)

    @classmethod
    def make_default(cls) -> Self:
        """Return the defaults, always the same object: a default of pydantic's would be copied for each target."""
        if cls not in _DEFAULTS:
            _DEFAULTS[cls] = _keep(cls.model_construct(), _NOWHERE)
        return cast("Self", _DEFAULTS[cls])

    def check(self) -> Iterable[Problem]:
        """Return what is wrong between the keys of this model; each model declares its own.

        It is called on a model that is partly wrong, too: see `broken`.
        """
        return ()

    def problem(self, clause: str, remedy: str, *keys: str, at_key: bool = False) -> Problem:
        """Return a problem (see `make_problem`) of the value that the keys lead to; without keys, of this entry."""
        return make_problem(self.node, keys, clause, remedy, at_key=at_key or not keys)

    def forget_place(self) -> None:
        """Drop what was written of a model in which nothing is wrong."""
        _keep(self, _NOWHERE, self.broken)

    def leave_out(self, key: str) -> Self:
        """Return the model with the default of a key, in its place."""
        return _keep(self.model_copy(update={key: type(self).model_fields[key].default}), self.node, self.broken)

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, node: Any, handler: Callable[[Any], Self], info: ValidationInfo) -> Self:  # noqa: ANN401 - whatever was written
        if isinstance(node, cls):  # code passes a model, or the fields of one by name
            return node
        if not isinstance(node, dict):
            raise refuse(*explain_shape(cast("Node", node), "a map"))
        if not isinstance(node, Map):
            return _keep(handler(node), _NOWHERE)
        problems = cast("list[Problem]", info.context)
        before = len(problems)
        given, broken = cls._leave_out(node)
        try:
            settings = handler(given)
        except ValidationError as error:
            lines = error.errors(include_url=False, include_input=False)
            found = [*problems[before:], *(cls._explain(node, line) for line in lines)]
            broken |= {str(line["loc"][0]) for line in lines}
            settings = handler(cls._without(given, broken))
            problems[before:] = found  # what the second reading found in models below this one was found before
        _keep(settings, node, broken)
        problems += settings.check()
        return settings

    @classmethod
    def _leave_out(cls, node: Map) -> tuple[Mapping[str, object], frozenset[str]]:
        """Return what counts as written, and what counts as broken: a part lacks keys that are unknown.

        A key without a value counts as left out if None is its default.
        """
        if isinstance(node, Part):
            broken = frozenset(cls.model_fields) - node.keys()
            return cls._without(node, broken), broken
        fields = cls.model_fields
        optional = {name for name, field in fields.items() if not field.is_required() and field.default is None}
        return {key: value for key, value in node.items() if not isinstance(value, Empty) or key not in optional}, _NONE

    @classmethod
    def _without(cls, given: Mapping[str, object], broken: frozenset[str]) -> dict[str, object]:
        required = [name for name, field in cls.model_fields.items() if name in broken and field.is_required()]
        return {key: value for key, value in given.items() if key not in broken} | dict.fromkeys(required, UNREADABLE)

    @classmethod
    def _explain(cls, node: Map, line: ErrorDetails) -> Problem:
        """Put an error of pydantic's into our words."""
        path, context = line["loc"], line.get("ctx", {})
        at_key = path[-1] == "[key]"
        match line["type"]:
            case "refused":
                return make_problem(node, path[:-1] if at_key else path, **context, at_key=at_key)
            case "missing":
                examples = cls.model_fields[str(path[0])].examples
                remedy = f"add {path[0]}: {examples[0]}" if examples else f"add {path[0]}: to it"
                return make_problem(node, path, "is missing", remedy)
            case "extra_forbidden":
                key, known = str(path[0]), cls.model_fields.keys() - {"kind"}
                clause, remedy = cls.retired.get(key) or ("is not a known key", suggest(key, known))
                return make_problem(node, path, clause, remedy, at_key=True)
            case kind:
                return make_problem(node, path, *explain_shape(follow(node, path)[0], _SHAPES.get(kind, "text")))


class Part(Map):
    """What can be read of an entry that was refused as a whole; all keys that are not in it count as broken."""

    __slots__ = ()


class Entries:
    """Annotation of a map from names to models: a bad name or an entry that is not a map hides no other mistake."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:  # noqa: ANN401 - pydantic's signature
        return core_schema.with_info_before_validator_function(_screen, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:  # noqa: ANN401 - pydantic's signature
        written: dict[str, Any] = handler(schema)
        written["patternProperties"] = {f"^(?:{NAME})$": written.pop("additionalProperties")}
        return written


M = TypeVar("M", bound=Settings)
ByName = Annotated[Mapping[str, M], Entries()]
"""A map from names to models."""


def _screen(node: object, info: ValidationInfo) -> object:
    if not isinstance(node, Map):
        return node
    problems = cast("list[Problem]", info.context)
    usable: dict[str, Node] = {}
    for name, entry in node.items():
        usable[name] = entry
        if not is_name(name):
            problems.append(make_problem(node, (name,), "is not a valid name", NAME_REMEDY, at_key=True))
        if not isinstance(entry, Map):
            problems.append(make_problem(node, (name,), *explain_shape(entry, "a map")))
            usable[name] = Part(entry.place, entry.label, (*node.path, name))
    return usable


_DEFAULTS: dict[type[Settings], Settings] = {}


def _keep(settings: M, node: Map, broken: frozenset[str] = _NONE) -> M:
    """Store what was written next to what was read; no part of the model's value."""
    object.__setattr__(settings, "node", node)
    object.__setattr__(settings, "broken", broken)
    return settings
