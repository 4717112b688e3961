"""Whatever a file that a command reads, or an argument, holds: never a bug report, never a raw control character."""

from __future__ import annotations

import base64
import copy
import io
import json
import re
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refresher.cli.root import COMMANDS, run
from refresher.errors import ExitStatus
from refresher.keys import directory as keys
from tests.tokens import make_jwt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

QUICK = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
ODD = ["\x1b[2J", "\ud800", "\x00", "", "a" * 300, "..", "/", "-", "é", "1e400", "~", "*", "\n", "\u202e"]
NUMBERS = st.integers() | st.sampled_from([10**400, -1, 2**63]) | st.floats()
SCALARS = st.none() | st.booleans() | NUMBERS | st.text(max_size=12) | st.sampled_from(ODD)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def call(*arguments: str, text: str = "") -> tuple[int, str]:
    """Run a command line in this process; return its exit status and all that it printed, as a terminal gets it."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", newline="") for _ in range(2))
    given = io.TextIOWrapper(io.BytesIO(text.encode(errors="surrogatepass")), "utf-8")
    with pytest.MonkeyPatch.context() as streams:
        streams.setattr("sys.stdin", given)
        with redirect_stdout(out), redirect_stderr(err):
            status = run(arguments)
        out.flush()
        err.flush()
    assert isinstance(out.buffer, io.BytesIO)
    assert isinstance(err.buffer, io.BytesIO)
    return status, (out.buffer.getvalue() + err.buffer.getvalue()).decode()


def check(*arguments: str, text: str = "") -> None:
    """Run a command line, and check that it ends as a person may read it."""
    status, printed = call(*arguments, text=text)

    assert status != ExitStatus.UNEXPECTED, printed
    assert CONTROL.findall(printed) == [], printed


def encode(value: object) -> bytes:
    """Return JSON as any program may have written it."""
    return json.dumps(value).encode()


def list_places(node: object) -> Iterator[tuple[Any, Any]]:
    """Return every map and list of a document with each of its keys."""
    if isinstance(node, dict | list):
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            yield node, key
            yield from list_places(node[key])


@st.composite
def mutate(draw: st.DrawFn, document: object) -> Any:  # noqa: ANN401 - any document
    """Return a document in which one value, or one key, is something else."""
    changed: Any = copy.deepcopy(document)
    node, key = draw(st.sampled_from(list(list_places(changed))))
    if isinstance(node, dict) and draw(st.integers(0, 3)) == 0:
        node[draw(st.sampled_from(ODD))] = node.pop(key)
    else:
        node[key] = draw(st.sampled_from(ODD) | VALUES)
    return changed


def segment(value: object) -> str:
    """Return a segment of a JWT."""
    return base64.urlsafe_b64encode(encode(value)).rstrip(b"=").decode()


HEADER = {"alg": "ES256", "kid": "key-1", "typ": "JWT"}
CLAIMS = {"iss": "https://workers.invalid", "sub": "user-1", "aud": ["x"], "iat": 1, "exp": 3600, "nbf": 1, "a": "b"}
ADC = {
    "type": "external_account",
    "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    "token_url": "https://sts.googleapis.com/v1/token",
    "credential_source": {"file": "/t", "format": {"type": "text"}},
    "service_account_impersonation_url": "https://x/v1/projects/-/serviceAccounts/a@p:generateAccessToken",
}
JWKS = {"keys": [{"kid": "key-1", "kty": "EC", "alg": "ES256", "crv": "P-256", "x": "AA", "y": "AA"}]}
DESCRIPTIONS = {
    name: {"sha256": "00" * 32, "issued_at": "2026-01-01T00:00:00Z", "expires_at": "2026-01-01T01:00:00Z"}
    for name in ("access_token", "id_tokens/api", "token")
}
JWTS = st.tuples(mutate(HEADER), mutate(CLAIMS), st.sampled_from(["AAAA", "", "!"])).map(
    lambda parts: f"{segment(parts[0])}.{segment(parts[1])}.{parts[2]}".encode()
)
FILES = (
    st.binary(max_size=60)
    | st.text(max_size=60).map(lambda text: text.encode(errors="replace"))
    | JWTS
    | mutate(ADC).map(encode)
    | mutate(JWKS).map(encode)
    | mutate(DESCRIPTIONS).map(encode)
    | VALUES.map(encode)
)
NAMES = ["token", "credentials.json", "artifacts.json", "env", "access_token", "boto", ".target"]


@QUICK
@given(content=FILES, name=st.sampled_from([*NAMES, "x"]), keys=st.none() | mutate(JWKS))
def test_any_document_is_explained(tmp_path: Path, content: bytes, name: str, keys: object) -> None:
    """`inspect` explains or refuses any file, under any of our names, with any set of keys, and in a directory."""
    (tmp_path / name).write_bytes(content)
    (tmp_path / "keys").write_bytes(encode(keys))

    check("inspect", str(tmp_path / name), *([] if keys is None else ["--keys", str(tmp_path / "keys")]))
    check("inspect", str(tmp_path))
    check("inspect", "-", text=content.decode(errors="replace"))
    (tmp_path / name).unlink()


@pytest.fixture(scope="module")
def keys_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a keys directory with an active and a next key."""
    place = tmp_path_factory.mktemp("fuzz") / "keys"
    keys.create(place, algorithm="ES256", now=NOW)
    keys.rotate(place, algorithm=None, now=NOW)
    return place


@pytest.fixture
def site(tmp_path: Path, keys_directory: Path) -> dict[str, Any]:
    """Return a configuration with everything in it, whose keys are real."""
    return {
        "version": 1,
        "providers": {"main": {"project_number": "123456789012", "pool": "workers", "provider": "refresher"}},
        "project": "my-project",
        "suppliers": {
            "worker": {
                "kind": "self_issued",
                "issuer": "https://workers.invalid",
                "keys": str(keys_directory),
                "lifetime": "1h",
                "claims": {"worker": "w-17"},
            }
        },
        "identities": {
            "alice": {
                "service_account": "task-alice@my-project.iam.gserviceaccount.com",
                "subject": "user-1042",
                "supplier": "worker",
                "lifetime": "1h",
                "delegates": ["task-bob@my-project.iam.gserviceaccount.com"],
                "scopes": ["https://www.googleapis.com/auth/cloud-platform"],
            }
        },
        "directory_root": str(tmp_path / "run"),
        "targets": {
            "alice": {
                "identity": "alice",
                "container_directory": "/var/run/google",
                "mode": "0440",
                "artifacts": {"access_token": True, "id_tokens": {"api": {"audience": "https://api"}}, "boto": True},
            }
        },
        "targets_directory": str(tmp_path / "targets.d"),
        "listen": "none",
        "google": {
            "emulator": True,
            "endpoints": {"sts": "http://127.0.0.1:1", "iam_credentials": "http://127.0.0.1:1"},
        },
    }


@QUICK
@given(data=st.data())
def test_any_configuration_is_judged(tmp_path: Path, site: dict[str, Any], data: st.DataObject) -> None:
    """Every command that reads a configuration answers in our words, whatever one of its values or keys is."""
    (tmp_path / "targets.d").mkdir(exist_ok=True)
    path, drop_in = tmp_path / "refresher.yaml", tmp_path / "targets.d" / "bob.yaml"
    content = encode(data.draw(mutate(site)))
    if data.draw(st.integers(0, 3)) == 0:  # not even JSON
        place = data.draw(st.integers(0, len(content)) | st.just(content.find(b'"directory_root": "') + 21))
        content = content[:place] + data.draw(st.binary(min_size=1, max_size=3) | st.just(b"\0")) + content[place:]
    path.write_bytes(content)
    path.chmod(0o600)
    drop_in.write_bytes(encode(data.draw(mutate({"identity": "alice", "artifacts": {"boto": True}}))))

    for arguments in (
        ["check"],
        ["check", "--json"],
        ["status"],
        ["status", "--json"],
        ["wait", "--timeout", "0s"],
        ["wait", "bob", "--timeout", "0s"],
        ["env", "alice", "--format", "json"],
        ["adc", "alice"],
        ["keys", "jwks", "--supplier", "worker"],
        ["discovery", "worker"],
    ):
        check(*arguments, "--config", str(path))


@QUICK
@given(data=st.data())
def test_any_keys_directory_is_judged(tmp_path: Path, keys_directory: Path, data: st.DataObject) -> None:
    """Every command about keys answers in our words, whatever `keys.json` and the files of keys hold."""
    place = tmp_path / "keys"
    place.mkdir(mode=0o700, exist_ok=True)
    for old in place.iterdir():
        old.unlink()
    document = json.loads((keys_directory / "keys.json").read_text())
    files = {each.name: each.read_bytes() for each in keys_directory.iterdir()}
    files["keys.json"] = data.draw(mutate(document).map(encode) | st.binary(max_size=40))
    if data.draw(st.booleans()):
        files[data.draw(st.sampled_from(sorted(files)))] = data.draw(st.binary(max_size=40))
    for name, content in files.items():
        (place / name).write_bytes(content)
        (place / name).chmod(0o400)
    kid = data.draw(st.sampled_from([each["kid"] for each in document["keys"]]) | st.text(max_size=8))

    for arguments in (
        ["list"],
        ["list", "--json"],
        ["jwks"],
        ["retire"],
        ["rotate"],
        ["activate"],
        ["revoke", "--", kid],
        ["list"],
    ):
        check("keys", arguments[0], "--directory", str(place), *arguments[1:])


@QUICK
@given(contents=st.dictionaries(st.sampled_from(NAMES), FILES, max_size=4))
def test_any_credentials_directory_is_judged(tmp_path: Path, site: dict[str, Any], contents: dict[str, bytes]) -> None:
    """`status`, `wait` and the probe judge whatever the files' owner may have left in his directory."""
    path, place = tmp_path / "refresher.yaml", tmp_path / "run" / "alice"
    site.pop("targets_directory", None)
    path.write_bytes(encode(site))
    path.chmod(0o600)
    place.mkdir(parents=True, exist_ok=True)
    files = {"token": make_jwt().encode(), "credentials.json": encode(ADC), "env": b"A=b\n", **contents}
    for name, content in files.items():
        (place / name).write_bytes(content)

    check("status", "--config", str(path))
    check("status", "--json", "--config", str(path))
    check("wait", "--timeout", "0s", "--artifact", "access_token", "--config", str(path))
    check("wait", "--timeout", "0s", "--artifact", "access_token", "--directory", str(place))
    check("inspect", str(place), "--config", str(path))
    for name in files:
        (place / name).unlink()


OPTIONS = ["--config", "--directory", "--timeout", "--min-validity", "--lifetime", "--format", "--kind", "--artifact"]
WORDS = st.text(st.characters(exclude_characters="\0"), max_size=8) | st.sampled_from(
    [*OPTIONS, *ODD[:2], *ODD[3:], "0s", "9" * 30 + "h", "alice", "list", "--json", "-vvv"]
)
"""No argument holds a NUL: execve(2)."""
SAFE = sorted(set(COMMANDS) - {"demo", "run", "emulator"})


@QUICK
@given(command=st.sampled_from(SAFE), words=st.lists(WORDS, max_size=5))
def test_any_arguments_are_judged(tmp_path: Path, command: str, words: list[str]) -> None:
    """Every command refuses arguments that mean nothing, in our words."""
    with pytest.MonkeyPatch.context() as variables:
        variables.setenv("REFRESHER_CONFIG", str(tmp_path / "absent.yaml"))
        variables.chdir(tmp_path)
        check(command, *words)


@QUICK
@given(claims=FILES)
def test_any_claims_are_judged(tmp_path: Path, site: dict[str, Any], claims: bytes) -> None:
    """`token --kind jwt` refuses claims that it can't sign, in our words; nothing answers where Google should be."""
    path = tmp_path / "refresher.yaml"
    site.pop("targets_directory", None)
    path.write_bytes(encode(site))
    path.chmod(0o600)
    (tmp_path / "claims").write_bytes(claims)

    check("token", "alice", "--config", str(path), "--kind", "jwt", "--claims", str(tmp_path / "claims"))
