"""Properties of the configuration loader that no list of examples covers."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refresher.config.document import read_document
from refresher.config.loader import load
from refresher.durations import format_duration, parse_duration
from refresher.settings.fields import is_name
from refresher.settings.places import InvalidConfigurationError, Problem, Value

if TYPE_CHECKING:
    from pathlib import Path

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates().map(str)
KEYS = st.sampled_from(
    [
        "version",
        "include",
        "providers",
        "suppliers",
        "identities",
        "targets",
        "google",
        "listen",
        "canary",
        "kind",
        "alice",
        "project_number",
        "pool",
        "provider",
        "keys",
        "issuer",
        "subject",
        "supplier",
        "identity",
        "directory",
        "owner",
        "mode",
        "artifacts",
        "id_tokens",
        "endpoints",
        "sts",
        "emulator",
        "claims",
        "directory_root",
        "targets_directory",
    ]
)
TREES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5))
PLACE = re.compile(r"^.*:[1-9]\d*:[1-9]\d*: .+ — .+$", re.DOTALL)
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _problems(path: Path, content: bytes) -> tuple[Problem, ...]:
    path.write_bytes(content)
    path.chmod(0o600)
    try:
        load(path)
    except InvalidConfigurationError as error:
        return error.problems
    return ()


@QUICK
@given(content=st.binary(max_size=200))
def test_random_bytes_are_refused_in_our_words(tmp_path: Path, content: bytes) -> None:
    """Whatever the bytes of a file are, the loader answers with problems that have a place and a remedy."""
    problems = _problems(tmp_path / "c.yaml", content)

    assert all(PLACE.match(str(problem)) for problem in problems)


@QUICK
@given(content=st.text(alphabet=" \n:-[]{}&*!|>'\"%@#?,ab1é\t<=~.", max_size=60))
def test_random_yaml_is_refused_in_our_words(tmp_path: Path, content: str) -> None:
    """So it does for texts that consist of the characters that mean something to YAML."""
    problems = _problems(tmp_path / "c.yaml", content.encode())

    assert all(PLACE.match(str(problem)) for problem in problems)


@QUICK
@given(tree=st.dictionaries(KEYS, TREES, max_size=6))
def test_well_formed_nonsense_is_refused_in_our_words(tmp_path: Path, tree: dict[str, object]) -> None:
    """So it does for the right keys at the wrong places with the wrong values."""
    problems = _problems(tmp_path / "c.yaml", yaml.safe_dump({"version": 1, **tree}, allow_unicode=True).encode())

    assert all(PLACE.match(str(problem)) for problem in problems)


@QUICK
@given(content=st.binary(max_size=100) | st.text(max_size=60).map(str.encode))
def test_parsing_never_raises(content: bytes) -> None:
    """Any bytes result in a document: a map, or problems that explain why it is empty."""
    document = read_document(content, "f")

    assert isinstance(document.root, dict)
    assert not (document.is_broken and document.root)
    assert all(PLACE.match(str(problem)) for problem in document.problems)


@given(
    text=st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\u2028\u2029\x85\ufeff"))
)
def test_text_in_quotes_arrives_as_it_was_written(text: str) -> None:
    """Whatever a quoted text holds, not a character of it changes, and it is never another kind of value."""
    value = read_document(yaml.safe_dump({"key": text}, default_style='"', allow_unicode=True).encode(), "f").root[
        "key"
    ]

    assert isinstance(value, Value)
    assert (value.text, value.read_typed()) == (text, text)


@given(seconds=st.integers(min_value=0, max_value=999_999 * 3600))
def test_durations_survive_a_round_trip(seconds: int) -> None:
    """What is written as a duration is read back as the same one."""
    duration = timedelta(seconds=seconds)

    assert parse_duration(format_duration(duration)) == duration


@given(text=st.text(max_size=12))
def test_what_is_no_duration_is_refused(text: str) -> None:
    """A text is read only if it looks like one of the documented forms."""
    if re.fullmatch(r"(?!$)([0-9]+h)?([0-9]+m)?([0-9]+s)?", text):
        return

    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


@given(name=st.from_regex(r"[a-z0-9]([-a-z0-9_.]{0,61}[a-z0-9])?", fullmatch=True))
def test_documented_names_are_names(name: str) -> None:
    """Every name of the contract's form, up to 63 characters, is taken."""
    assert is_name(name)


@given(name=st.text(max_size=80))
def test_names_are_safe_file_names_and_labels(name: str) -> None:
    """Whatever is taken as a name is short and holds no slash, no dot at its ends and nothing unprintable."""
    if is_name(name):
        assert len(name) <= 63
        assert not set(name) - set("abcdefghijklmnopqrstuvwxyz0123456789-_.")
        assert name.strip(".-_") == name
