"""pydantic's errors in our words: a table from the type of an error to a sentence with a remedy.

pydantic's own messages speak to a programmer and name no remedy; its locations hold the tag of a union as an extra
step, which is dropped. What a value looked like is asked of the document, so that `0440` is shown as it was written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from refresher.config.models import (
    ArtifactSettings,
    Configuration,
    EndpointSettings,
    GoogleSettings,
    IdentitySettings,
    IdTokenSettings,
    ProviderSettings,
    TargetSettings,
)
from refresher.settings.problems import Mistake, instead
from refresher.settings.scalars import is_tag, said
from refresher.suppliers.registry import KINDS
from refresher.suppliers.self_issued import SignerSettings
from refresher.text import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydantic import ValidationError

    from refresher.config.nodes import Place
    from refresher.settings.model import Settings

    Path = tuple[str | int, ...]
    Error = dict[str, Any]

_SECTIONS: dict[str, type[Settings]] = {
    "providers": ProviderSettings,
    "identities": IdentitySettings,
    "targets": TargetSettings,
}
_SCALARS = frozenset(["bool", "int", "number", "date", "merge"])

_WANTED = {
    "string_type": "text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a map",
    "mapping_type": "a map",
    "model_type": "a map",
    "model_attributes_type": "a map",
}
_REMEDIES = {
    "text": "write a single value, as text",
    "true or false": "write true or false, without quotes",
    "a list": "write it as [ONE, TWO], or [] for none",
    "a map": "write KEY: VALUE lines below it, or {} for none",
    "another kind of value": "see refresher schema",
}


def mistakes_of(
    error: ValidationError, place: Callable[[Path], Place], model: type[Settings] = Configuration
) -> Iterator[Mistake]:
    """Translate every error of a validation.

    Args:
        error: What pydantic found.
        place: Looks a path up in the documents.
        model: What was validated: the whole configuration, or one target's body.
    """
    for each in error.errors(include_url=False, include_input=False):
        mistake = _mistake(dict(each), place, model)
        if not is_tag(place(mistake.path).kind):  # it was refused already
            yield mistake


def _mistake(error: Error, place: Callable[[Path], Place], model: type[Settings]) -> Mistake:
    location: Path = tuple(error["loc"])
    tag = location[2] if model is Configuration and location[:1] == ("suppliers",) and location[2:] else None
    path = location[:2] + location[3:] if tag in KINDS else location
    at_key = path[-1:] == ("[key]",)
    if at_key:
        path = path[:-1]
    context = error.get("ctx", {})
    match error["type"]:
        case "refused":
            return Mistake(path=path, clause=context["problem"], remedy=context["remedy"], at_key=at_key)
        case "missing":
            remedy = "add version: 1" if path == ("version",) else f"add {path[-1]}: there"
            return Mistake(path=path, clause="is missing", remedy=remedy)
        case "extra_forbidden":
            known = _known_keys(model, path, str(tag)) - {"kind"}
            return Mistake(path=path, clause="is not a known key", remedy=instead(str(path[-1]), known), at_key=True)
        case "union_tag_invalid" | "union_tag_not_found":
            return _of_kind((*path, "kind"), context, place)
        case "literal_error":
            return Mistake(path=path, clause=f"is {_plainly(place(path))}", remedy=f"use {context['expected']}")
        case kind:
            return _of_type(path, _WANTED.get(kind, "another kind of value"), place(path))


def _of_type(path: Path, wanted: str, seen: Place) -> Mistake:
    if seen.kind == "null":
        remedy = _REMEDIES[wanted] if wanted in {"a list", "a map"} else "give it a value, or delete the key"
        return Mistake(path=path, clause="is empty", remedy=remedy)
    clause = f"is {said(seen.kind, seen.text)}, where {wanted} belongs"
    if wanted == "text" and seen.kind in _SCALARS:
        quoted = f'"{seen.text}"' if isinstance(path[-1], int) else f'{path[-1]}: "{seen.text}"'
        return Mistake(path=path, clause=clause, remedy=f"quote it: {quoted}")
    return Mistake(path=path, clause=clause, remedy=_REMEDIES[wanted])


def _plainly(seen: Place) -> str:
    return seen.text if seen.kind == "int" else said(seen.kind, seen.text)


def _of_kind(path: Path, context: Error, place: Callable[[Path], Place]) -> Mistake:
    supported = ", ".join(KINDS)
    if "tag" not in context:
        seen = place(path)
        if seen.depth < len(path):
            return Mistake(path=path, clause="is missing", remedy=f"add kind: one of {supported}")
        return Mistake(path=path, clause=f"is {said(seen.kind, seen.text)}", remedy=f"use one of: {supported}")
    tag = str(context["tag"])
    near = instead(tag, KINDS)
    remedy = f"{near} Supported are: {supported}" if near.endswith("?") else f"use one of: {supported}"
    return Mistake(path=path, clause=f"is {quote(tag)}, which is no kind of supplier", remedy=remedy)


def _known_keys(model: type[Settings], path: Path, tag: str) -> set[str]:
    """Give the keys of the map that holds the last step of a path."""
    if model is TargetSettings:
        path = ("targets", "", *path)
    match path[:-1]:
        case ("suppliers", _):
            model = KINDS[tag]
        case ("suppliers", _, "signer"):
            model = SignerSettings
        case (str(section), _) if section in _SECTIONS:
            model = _SECTIONS[section]
        case ("targets", _, "artifacts"):
            model = ArtifactSettings
        case ("targets", _, "artifacts", "id_tokens", _):
            model = IdTokenSettings
        case ("google",):
            model = GoogleSettings
        case ("google", "endpoints"):
            model = EndpointSettings
        case _:
            pass
    return set(model.model_fields)
