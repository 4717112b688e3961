from __future__ import annotations

import json
import os
import stat
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from refresher.errors import KeysError
from refresher.keys.directory import create, load_signing_key, read_jwks
from refresher.keys.jose import PrivateKey, UnsupportedKeyError
from refresher.keys.registry import KeyState, list_faults, list_keys, published_key_ids
from tests.tokens import NOW

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

    from tests.conftest import Need


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Return a keys directory with one active ES256 key."""
    create(tmp_path / "keys", algorithm="ES256", now=NOW)
    return tmp_path / "keys"


def only_pem(keys: Path) -> Path:
    """Return the one key file."""
    (found,) = keys.glob("*.pem")
    return found


def dump_pem(key: PrivateKeyTypes, password: bytes | None = None) -> bytes:
    """Return a key as PKCS#8."""
    encryption = NoEncryption() if password is None else BestAvailableEncryption(password)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def write(path: Path, content: bytes, mode: int = 0o400) -> None:
    """Replace the content of a file."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    path.chmod(mode)


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_first_key_is_active_and_private(tmp_path: Path, algorithm: str) -> None:
    """The first key is active at once, in files and a directory that no other user can open."""
    directory = tmp_path / "new" / "keys"

    record = create(directory, algorithm=algorithm, now=NOW)

    assert list_keys(directory) == (record,)
    assert (record.state, record.algorithm, record.activated_at) == (KeyState.ACTIVE, algorithm, NOW)
    assert published_key_ids(directory) == {record.kid}
    assert load_signing_key(directory).kid == record.kid
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.glob("[!.]*")} == {0o400}
    assert sorted(path.name for path in directory.glob("[!.]*")) == sorted([f"{record.kid}.pem", "keys.json"])


def test_second_key_is_refused(keys: Path) -> None:
    """A directory with a key does not change, and the remedy is the command that prints the key."""
    before = {path.name: path.read_bytes() for path in keys.glob("[!.]*")}

    with pytest.raises(KeysError) as caught:
        create(keys, algorithm="ES256", now=NOW + timedelta(days=1))

    assert "refresher keys jwks" in caught.value.remedy
    assert {path.name: path.read_bytes() for path in keys.glob("[!.]*")} == before


def test_interrupted_creation_starts_again(keys: Path) -> None:
    """A key file that no keys.json names, as a crash leaves it, neither counts nor prevents the creation."""
    former = only_pem(keys).stem
    (keys / "keys.json").unlink()

    record = create(keys, algorithm="ES256", now=NOW)

    assert published_key_ids(keys) == {record.kid}
    assert record.kid != former


def test_jwks_holds_public_members_only(keys: Path) -> None:
    """The JWKS has no member beyond those that Google accepts, the private ones least of all."""
    document = read_jwks(keys)

    assert [set(key) for key in document["keys"]] == [{"kty", "alg", "use", "kid", "crv", "x", "y"}]


def test_gone_keys_are_not_published(keys: Path) -> None:
    """A gone key is in neither the JWKS nor the published ids; a retiring one is in both, and signs nothing."""
    document = json.loads((keys / "keys.json").read_bytes())

    document["keys"][0]["state"] = "retiring"
    write(keys / "keys.json", json.dumps(document).encode())
    retiring = (len(published_key_ids(keys)), len(read_jwks(keys)["keys"]))
    with pytest.raises(KeysError, match="no active key"):
        load_signing_key(keys)
    document["keys"][0]["state"] = "gone"
    write(keys / "keys.json", json.dumps(document).encode())

    assert retiring == (1, 1)
    assert (published_key_ids(keys), read_jwks(keys)) == (frozenset(), {"keys": []})


@pytest.mark.parametrize("mode", [0o707, 0o702, 0o704, 0o720])
def test_directory_open_to_others_is_refused(keys: Path, mode: int) -> None:
    """A directory that others can read, or a group can write, is refused with the chmod that fixes it."""
    keys.chmod(mode)

    with pytest.raises(KeysError) as caught:
        load_signing_key(keys)

    assert "chmod 0700" in caught.value.remedy


def test_group_readable_files_are_accepted(keys: Path) -> None:
    """A group may read, as with mounted secrets."""
    keys.chmod(0o750)
    only_pem(keys).chmod(0o440)

    assert load_signing_key(keys).algorithm == "ES256"


def test_mounted_secret_is_read_through_links(keys: Path) -> None:
    """Files that are links into a sibling directory, as Kubernetes mounts secrets, are read."""
    data = keys / "..data"
    data.mkdir()
    for path in [*keys.glob("*.pem"), keys / "keys.json"]:
        path.rename(data / path.name)
        path.symlink_to(f"..data/{path.name}")

    assert load_signing_key(keys).kid in published_key_ids(keys)


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'{"keys": 1}', b'{"keys": [{}]}', b"\xff", b"[" * 100_000],
    ids=["empty", "list", "no-keys", "number", "no-members", "binary", "deep"],
)
def test_damaged_registry_is_reported(keys: Path, content: bytes) -> None:
    """Other content of keys.json is reported as damage, with a remedy."""
    write(keys / "keys.json", content)

    with pytest.raises(KeysError, match="is damaged"):
        list_keys(keys)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n", id="garbage"),
        pytest.param(dump_pem(ec.generate_private_key(ec.SECP384R1())), id="p384"),
        pytest.param(dump_pem(ec.generate_private_key(ec.SECP256K1())), id="secp256k1"),
        pytest.param(dump_pem(ed25519.Ed25519PrivateKey.generate()), id="ed25519"),
        pytest.param(dump_pem(rsa.generate_private_key(65537, 1024)), id="rsa-1024"),  # noqa: S505 - refused for that
        pytest.param(dump_pem(dsa.generate_private_key(1024)), id="dsa"),  # noqa: S505 - refused for its kind
        pytest.param(dump_pem(ec.generate_private_key(ec.SECP256R1()), b"password"), id="encrypted"),
    ],
)
def test_unusable_key_is_reported_without_its_text(keys: Path, content: bytes) -> None:
    """A PEM that holds no key for ES256 or RS256 is reported, and nothing of it is shown."""
    write(only_pem(keys), content)

    with pytest.raises(KeysError, match="cannot be used") as caught:
        load_signing_key(keys)

    shown = f"{caught.value}{caught.value.__cause__!r}"
    assert not any(line and line.decode() in shown for line in content.splitlines())


def test_key_of_another_name_is_refused(keys: Path) -> None:
    """A PEM whose thumbprint is not its name is refused, because the uploaded JWKS has another key."""
    write(only_pem(keys), PrivateKey.generate("ES256").to_pem())

    with pytest.raises(KeysError, match="holds another key"):
        load_signing_key(keys)


@pytest.mark.parametrize("mode", [0o404, 0o420, 0o402])
def test_key_open_to_others_is_refused(keys: Path, mode: int) -> None:
    """A PEM that other users can read or change is refused."""
    only_pem(keys).chmod(mode)

    with pytest.raises(KeysError, match="read or written by others"):
        load_signing_key(keys)


def test_directory_open_to_others_is_reported_to_any_user(keys: Path, need: Need) -> None:
    """Root, whose directory it is not, learns that others can read it, and not only that it is another user's."""
    need.root()
    for path in (keys, *keys.iterdir()):
        os.chown(path, 54_321, 54_321)

    keys.chmod(0o700)
    with pytest.raises(KeysError, match="belongs to uid 54321"):
        load_signing_key(keys)
    keys.chmod(0o755)
    with pytest.raises(KeysError, match="read or written by others"):
        load_signing_key(keys)


FAULTS = {
    "none": ("", 0, 54_321, 54_321, "", ""),
    "pem open to others": ("*.pem", 0o444, 54_321, 54_321, "(mode 0444, uid 54321)", "chmod 0400 {path}"),
    "registry open to others": ("keys.json", 0o606, 54_321, None, "(mode 0606, uid 54321)", "chmod 0400 {path}"),
    "directory open to others": (".", 0o750 | 0o005, 54_321, 54_321, "(mode 0755)", "chmod 0700 {path}"),
    "pem of another": ("*.pem", 0o400, 54_322, 54_321, "uid 54322, neither to root nor", "chown 54321 {path}"),
    "directory of another": (".", 0o700, 54_322, 54_321, "belongs to uid 54322", "chown -R 54321 {path}"),
}


@pytest.mark.parametrize(("pattern", "mode", "owner", "daemon", "problem", "remedy"), FAULTS.values(), ids=list(FAULTS))
def test_root_judges_keys_as_the_daemon_would(
    keys: Path, need: Need, pattern: str, mode: int, owner: int, daemon: int | None, problem: str, remedy: str
) -> None:
    """In a check by root, keys are judged for the daemon's user, with mode, owner and the path in the remedy."""
    need.root()
    for path in (keys, *keys.iterdir()):
        os.chown(path, 54_321, 54_321)
    harmed = [keys] if pattern == "." else list(keys.glob(pattern)) if pattern else []
    for path in harmed:
        os.chown(path, owner, owner)
        path.chmod(mode)

    found = list(list_faults(keys, daemon))

    for error, path in zip(found, harmed, strict=True):
        assert str(path) in error.problem
        assert problem in error.problem
        assert error.remedy == remedy.format(path=path)


def test_user_who_may_not_read_keys_is_not_told_to_open_them(keys: Path, need: Need) -> None:
    """The remedy for a user without rights is another user, never wider rights on private keys."""
    need.root()
    keys.chmod(0o700)
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.setresgid(54_321, 54_321, 54_321)
        os.setresuid(54_321, 54_321, 54_321)
        found = list(list_faults(keys, 0))
        os.write(writer, "\n".join(error.remedy for error in found).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)

    assert os.read(reader, 500).decode().startswith("run this as root or as the daemon's user")
    os.close(reader)


def test_keys_that_root_may_not_judge_are_a_fault(tmp_path: Path) -> None:
    """An absent keys directory is a fault with the command that creates one."""
    (error,) = list_faults(tmp_path / "none", None)

    assert f"keys new --directory {tmp_path / 'none'}" in error.remedy


@pytest.mark.parametrize("what", ["directory", "registry", "pem"])
def test_absent_file_is_named(keys: Path, what: str) -> None:
    """A file that is absent is named, with a remedy."""
    pem = only_pem(keys)
    missing = {"directory": keys / "none", "registry": keys / "keys.json", "pem": pem}[what]
    directory = missing if what == "directory" else keys
    if what != "directory":
        missing.unlink()

    with pytest.raises(KeysError) as caught:
        load_signing_key(directory)

    assert str(missing) in caught.value.problem
    assert caught.value.remedy


@pytest.mark.parametrize("kind", ["fifo", "directory"])
def test_pem_of_another_kind_neither_hangs_nor_leaks(keys: Path, kind: str) -> None:
    """A FIFO or a directory in the place of a PEM is refused at once, and no descriptor is lost."""
    pem = only_pem(keys)
    pem.unlink()
    if kind == "fifo":
        os.mkfifo(pem, 0o400)
    else:
        pem.mkdir(mode=0o500)
    before = os.listdir("/proc/self/fd")

    for _ in range(3):
        with pytest.raises(KeysError):
            load_signing_key(keys)

    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_foreign_owner_is_refused(keys: Path, need: Need) -> None:
    """A directory that belongs to another user is refused."""
    need.root()
    os.chown(keys, 12345, -1)

    with pytest.raises(KeysError, match="uid 12345"):
        load_signing_key(keys)


def test_no_text_shows_the_key() -> None:
    """The repr of a key contains its id and algorithm, and nothing private."""
    key = PrivateKey.generate("ES256")

    assert repr(key) == f"PrivateKey(kid='{key.kid}', algorithm='ES256')"


def test_unsupported_key_error_has_no_cause() -> None:
    """The library's own exception, whose text we do not control, is not chained."""
    with pytest.raises(UnsupportedKeyError) as caught:
        PrivateKey.from_pem(b"rubbish")

    assert caught.value.__suppress_context__


@pytest.mark.parametrize("what", ["directory", "registry", "new"])
def test_keys_are_created_as_the_user_of_their_place(tmp_path: Path, need: Need, what: str) -> None:
    """Root is shown the command of the user whose place it is, and creates nothing there that this user can't use."""
    need.root()
    home = tmp_path / "home of the daemon"
    home.mkdir(mode=0o755)
    directory = home / "keys"
    if what == "registry":
        directory.mkdir(mode=0o700)
        os.chown(directory, 54_321, 54_321)
    os.chown(home, 54_321, 54_321)

    with pytest.raises(KeysError) as caught:
        create(directory, algorithm="ES256", now=NOW) if what == "new" else list_keys(directory)

    assert f"setpriv --reuid=54321 --clear-groups refresher keys new --directory '{directory}'" in caught.value.remedy
    assert directory.exists() is (what == "registry")


def test_directory_is_created_for_the_daemon_where_only_root_may(tmp_path: Path, need: Need) -> None:
    """If the daemon's uid is known and may not write there, the remedy begins with the directory's creation for it."""
    need.root()

    (error,) = list_faults(tmp_path / "keys", 54_321)

    place = tmp_path / "keys"
    assert error.remedy == (
        "restore it from a backup; or create the very first key: "
        f"install -d -o 54321 -m 0700 {place} && setpriv --reuid=54321 --clear-groups refresher keys new "
        f"--directory {place}; then upload what `refresher keys jwks --directory {place}` prints to the provider"
    )


@pytest.mark.parametrize("pattern", ["keys.json", "*.pem"])
@pytest.mark.parametrize("is_root", [True, False])
def test_file_of_root_in_the_daemons_directory_is_given_to_the_daemon(
    tmp_path: Path, need: Need, pattern: str, *, is_root: bool
) -> None:
    """A key file that the directory's owner can't read is one chown with uid and path, for root and for that user."""
    need.root()
    tmp_path.chmod(0o755)
    keys = tmp_path / "keys"
    create(keys, algorithm="ES256", now=NOW)
    for path in (keys, *keys.iterdir()):
        os.chown(path, 54_321, 54_321)
    (harmed,) = keys.glob(pattern)
    os.chown(harmed, 0, 0)
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.chdir(tmp_path)  # the directories above it are closed to others
        if not is_root:
            os.setresgid(54_321, 54_321, 54_321)
            os.setresuid(54_321, 54_321, 54_321)
        found = list(list_faults(Path("keys"), 54_321 if is_root else None))
        os.write(writer, "\n".join(error.remedy for error in found).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)

    assert os.read(reader, 500).decode() == f"chown 54321 keys/{harmed.name}"
    os.close(reader)
