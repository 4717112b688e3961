from __future__ import annotations

import json
import os
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from refresher.cli.probe import Request, look, parse
from refresher.publishing.contents import describe, render_descriptions
from tests.tokens import NOW, make_jwt

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Need


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a credentials directory as a container sees it."""
    (tmp_path / "token").write_text(make_jwt())
    (tmp_path / "credentials.json").write_text("{}")
    (tmp_path / "env").write_text("A=b\n")
    (tmp_path / "access_token").write_text("ya29.opaque")
    (tmp_path / "boto").write_text("[Credentials]\n")
    described = describe(b"ya29.opaque", NOW, NOW + timedelta(hours=1), "request")
    (tmp_path / "artifacts.json").write_bytes(render_descriptions({"access_token": described}))
    return tmp_path


def ask(place: Path, *artifacts: str, least: timedelta | None = None) -> Request:
    """Return a request for a directory."""
    return Request(str(place), least, timedelta(0), artifacts)


@pytest.mark.parametrize(
    ("minutes", "least", "artifacts", "problem"),
    [
        pytest.param(0, None, (), None, id="fresh"),
        pytest.param(53, None, (), None, id="more than the minimum validity"),
        pytest.param(54, None, (), "token expires at 2026-01-01T01:00:00Z, too soon", id="minimum validity"),
        pytest.param(31, timedelta(minutes=30), (), "token expires at", id="less than asked for"),
        pytest.param(-2, None, (), "token was issued in the future", id="future"),
        pytest.param(0, None, ("access_token", "boto"), None, id="artifacts"),
        pytest.param(54, timedelta(minutes=1), ("access_token",), None, id="artifact with enough"),
        pytest.param(0, None, ("id_tokens/api",), "id_tokens/api is absent", id="absent artifact"),
    ],
)
def test_life_decides(
    place: Path, minutes: int, least: timedelta | None, artifacts: tuple[str, ...], problem: str | None
) -> None:
    """A directory is ready while token and artifacts live longer than their minimum, or than the requested time."""
    error = look(ask(place, *artifacts, least=least), NOW + timedelta(minutes=minutes))

    assert (error is None) is (problem is None)
    assert (problem or "") in str(error)


def replace_by_directory(place: Path) -> None:
    """Put a directory in the place of the variables."""
    (place / "env").unlink()
    (place / "env").mkdir()


HARMS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no token": (lambda place: (place / "token").unlink(), "token is absent"),
    "no document": (lambda place: (place / "credentials.json").unlink(), "credentials.json is absent"),
    "no env": (lambda place: (place / "env").unlink(), "env is absent"),
    "empty token": (lambda place: (place / "token").write_text(""), "token is absent"),
    "rubbish": (lambda place: (place / "token").write_text("rubbish"), "token is unreadable"),
    "directory": (replace_by_directory, "env is not a regular file"),
    "another artifact": (lambda place: (place / "access_token").write_text("x"), "not what artifacts.json describes"),
    "undescribed": (lambda place: (place / "artifacts.json").unlink(), "not what artifacts.json describes"),
    "descriptions spoilt": (lambda place: (place / "artifacts.json").write_text("["), "not what artifacts.json"),
}


@pytest.mark.parametrize(("harm", "problem"), HARMS.values(), ids=list(HARMS))
def test_harm_is_named(place: Path, harm: Callable[[Path], object], problem: str) -> None:
    """Every fault that a client would meet is reported with its path, and the remedy concerns the worker."""
    harm(place)

    error = look(ask(place, "access_token"), NOW)

    assert error is not None
    assert problem in error.problem
    assert "on the worker" in error.remedy


def test_absent_directory_is_named(tmp_path: Path) -> None:
    """A directory that is not mounted has its own error."""
    error = look(ask(tmp_path / "absent"), NOW)

    assert error is not None
    assert "can't be opened: No such file or directory" in error.problem


def test_opaque_token_is_judged_by_its_description(place: Path) -> None:
    """A token that does not contain its lifetime is ready for as long as artifacts.json states."""
    (place / "token").write_text("opaque")
    described = describe(b"opaque", NOW, NOW + timedelta(hours=1))
    (place / "artifacts.json").write_bytes(render_descriptions({"token": described}))

    assert look(ask(place), NOW) is None
    assert look(ask(place), NOW + timedelta(minutes=54)) is not None
    assert json.loads((place / "artifacts.json").read_text())["token"].keys() == {"sha256", "issued_at", "expires_at"}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--directory", "/d"], Request("/d", None, timedelta(seconds=60))),
        (["--directory=/d", "--timeout", "0s"], Request("/d", None, timedelta(0))),
        (["--min-validity=5m", "--directory", "/d"], Request("/d", timedelta(minutes=5), timedelta(seconds=60))),
        ([], None),
        (["alice"], None),
        (["--directory"], None),
        (["--directory", "/d", "--exchange"], None),
        (["--directory", "/d", "--timeout", "soon"], None),
    ],
)
def test_plain_probes_are_recognised(arguments: list[str], expected: Request | None) -> None:
    """Only a command line with the probe's own options is answered without the full command."""
    assert parse(arguments) == expected


ENV = (
    "REFRESHER_ACCESS_TOKEN_FILE=/c/access_token\nBOTO_CONFIG=/c/boto\n"
    "REFRESHER_ID_TOKEN_FILE_MY_API=/c/id_tokens/my.api\n"
)


@pytest.mark.parametrize(
    ("harm", "env", "problem"),
    [
        pytest.param(None, "A=b\n", None, id="good"),
        pytest.param("access_token", "A=b\n", "access_token is absent", id="described and gone"),
        pytest.param("artifacts.json", ENV.partition("BOTO")[0], "access_token is not what", id="not described"),
        pytest.param("boto", ENV, "boto is absent", id="boto"),
        pytest.param(None, ENV, "id_tokens/my.api is absent", id="never minted"),
        pytest.param(None, "REFRESHER_ID_TOKEN_FILE_X=/c/..\nBOTO_CONFIGX=1\n", None, id="no name of ours"),
    ],
)
def test_every_artifact_of_the_directory_counts(place: Path, harm: str | None, env: str, problem: str | None) -> None:
    """Without named artifacts, all that env and artifacts.json name must serve; named, only those."""
    (place / "env").write_text(env)
    if harm is not None:
        (place / harm).unlink()

    error = look(Request(str(place), None, timedelta(0)), NOW)

    assert (error is None) is (problem is None)
    assert (problem or "") in str(error)
    assert look(ask(place, "token"), NOW) is None


def test_expired_artifact_is_not_ready(place: Path) -> None:
    """A good token with an artifact whose life has ended is not ready."""
    described = describe(b"ya29.opaque", NOW - timedelta(hours=1), NOW, "request")
    (place / "artifacts.json").write_bytes(render_descriptions({"access_token": described}))

    assert "access_token expires at 2026-01-01T00:00:00Z" in str(look(Request(str(place), None, timedelta(0)), NOW))


@pytest.fixture
def without_pool(tmp_path: Path) -> Path:
    """Return a credentials directory that an access token leads."""
    (tmp_path / "access_token").write_text("ya29.opaque")
    (tmp_path / "env").write_text("REFRESHER_ACCESS_TOKEN_FILE=/c/access_token\n")
    described = describe(b"ya29.opaque", NOW, NOW + timedelta(hours=1), "request", leads=True)
    (tmp_path / "artifacts.json").write_bytes(render_descriptions({"access_token": described}))
    return tmp_path


@pytest.mark.parametrize(
    ("minutes", "harm", "problem"),
    [
        pytest.param(0, "", None, id="fresh"),
        pytest.param(54, "", "access_token expires at 2026-01-01T01:00:00Z, too soon", id="minimum validity"),
        pytest.param(0, "access_token", "access_token is absent", id="no access token"),
        pytest.param(0, "env", "env is absent", id="no env"),
        pytest.param(0, "artifacts.json", "credentials.json is absent", id="nothing states what leads"),
    ],
)
def test_access_token_takes_the_place_of_the_token(
    without_pool: Path, minutes: int, harm: str, problem: str | None
) -> None:
    """Where `artifacts.json` states that the access token leads, neither token nor ADC document is needed."""
    if harm:
        (without_pool / harm).unlink()

    error = look(Request(str(without_pool), None, timedelta(0)), NOW + timedelta(minutes=minutes))

    assert (error is None) is (problem is None)
    assert (problem or "") in str(error)


def test_another_access_token_than_described_is_not_ready(without_pool: Path) -> None:
    """A leading access token whose life is unknown does not count."""
    (without_pool / "access_token").write_text("ya29.another")

    error = look(Request(str(without_pool), None, timedelta(0)), NOW)

    assert "access_token is unreadable: it is not what artifacts.json describes" in str(error)


def test_file_that_this_user_may_not_read_is_shown_with_its_path_and_the_user(place: Path, need: Need) -> None:
    """Without the right to read, the probe shows the whole path and as whom to run it."""
    need.root()
    for path in (place, *place.parents[:-2]):
        path.chmod(0o711)
    (place / "credentials.json").chmod(0o400)
    os.seteuid(54_321)
    try:
        error = look(ask(place), NOW)
    finally:
        os.seteuid(0)

    assert f"{place}/credentials.json can't be read: Permission denied" in str(error)
    assert "uid 54321 may not read it" in str(error)
