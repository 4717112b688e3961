"""What the product finds under the names of the system's modules."""

import contextlib
import ctypes
import fcntl
import io
import os
import pathlib
import posixpath
import random
import secrets
from collections.abc import Iterator
from functools import partial
from random import Random
from types import ModuleType
from typing import Any

from cryptography.hazmat.primitives import asymmetric
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from tests.simulation import threads
from tests.simulation.kernel import KERNEL

CALLS = (
    "stat",
    "lstat",
    "fstat",
    "access",
    "listdir",
    "scandir",
    "readlink",
    "statvfs",
    "open",
    "dup",
    "close",
    "read",
    "write",
    "fsync",
    "mkdir",
    "unlink",
    "rmdir",
    "rename",
    "chmod",
    "fchmod",
    "fchown",
    "removexattr",
    "posix_fadvise",
)


class Randomness:
    """The randomness that the product sees."""

    def __init__(self) -> None:
        self.source = Random(0)

    def urandom(self, count: int) -> bytes:
        """Return so many bytes."""
        return self.source.randbytes(count)

    def token_hex(self, count: int = 32) -> str:
        """Return so many bytes as hex digits."""
        return self.source.randbytes(count).hex()


RANDOMNESS = Randomness()


_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""How many points the curve P-256 has."""


def _generate_key(curve: ec.EllipticCurve) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(RANDOMNESS.source.randrange(1, _ORDER), curve)


def _build_curves() -> ModuleType:
    """Return the module of elliptic curves: what it draws comes from the seed (RFC 6979 for signatures)."""
    curves, around = ModuleType("ec"), ModuleType("cryptography.hazmat.primitives.asymmetric")
    vars(curves).update(vars(ec))
    vars(curves).update(generate_private_key=_generate_key, ECDSA=partial(ec.ECDSA, deterministic_signing=True))
    vars(around).update(vars(asymmetric))
    vars(around).update(ec=curves, padding=padding, rsa=rsa)
    return around


class SimulatedPath(pathlib.PosixPath):
    """A path on the simulated disk."""

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return its state."""
        return KERNEL.stat(str(self), follow_symlinks=follow_symlinks)

    def lstat(self) -> os.stat_result:
        """Return its state; a link is not followed."""
        return self.stat(follow_symlinks=False)

    def _look(self) -> os.stat_result | None:
        with contextlib.suppress(OSError):
            return self.stat()
        return None

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        """Return whether it is there."""
        return self._look() is not None

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Return whether it is a directory."""
        found = self._look()
        return found is not None and found.st_mode & 0o170000 == 0o040000

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:  # noqa: FBT001, FBT002
        """Create it."""
        if parents and not self.parent.exists():
            self.parent.mkdir(parents=True)
        if not (exist_ok and self.exists()):
            KERNEL.mkdir(str(self), mode)

    def chmod(self, mode: int, *, follow_symlinks: bool = True) -> None:
        """Set its mode."""
        KERNEL.chmod(str(self), mode)

    def rename(self, target: Any) -> "SimulatedPath":
        """Rename it."""
        KERNEL.rename(str(self), str(target))
        return SimulatedPath(target)

    def rmdir(self) -> None:
        """Remove it."""
        KERNEL.rmdir(str(self))

    def iterdir(self) -> Iterator["SimulatedPath"]:  # type: ignore[override]
        """Return what is in it."""
        return iter([self / name for name in KERNEL.listdir(str(self))])

    def glob(self, pattern: str, **_options: Any) -> Iterator["SimulatedPath"]:  # type: ignore[override]
        """Return what fits a pattern of one or two parts."""
        import fnmatch

        first, _, rest = pattern.partition("/")
        with contextlib.suppress(OSError):
            for name in KERNEL.listdir(str(self)):
                if fnmatch.fnmatchcase(name, first):
                    yield from (self / name).glob(rest) if rest else [self / name]

    def read_bytes(self) -> bytes:
        """Return its content."""
        descriptor = KERNEL.open(str(self), os.O_RDONLY)
        try:
            return KERNEL.read(descriptor, 1 << 30)
        finally:
            KERNEL.close(descriptor)

    def read_text(self, *_: Any, **__: Any) -> str:
        """Return its text."""
        return self.read_bytes().decode()

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(cls)


class _File(io.BytesIO):
    """What `os.fdopen` returns for writing."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._flushed = 0

    def fileno(self) -> int:
        return self._descriptor

    def flush(self) -> None:
        content = self.getvalue()
        if len(content) > self._flushed:
            KERNEL.write(self._descriptor, content[self._flushed :])
            self._flushed = len(content)

    def close(self) -> None:
        if not self.closed:
            try:
                self.flush()
            finally:
                super().close()
                KERNEL.close(self._descriptor)


class CLibrary:
    """What the product calls of the C library directly."""

    error = 0

    def __init__(self, *_name: object, **_options: object) -> None:
        pass

    def renameat2(self, around: int, name: bytes, beside: int, other: bytes, flags: ctypes.c_uint) -> int:
        """renameat2(2)."""
        try:
            KERNEL.rename(name, other, src_dir_fd=around, dst_dir_fd=beside, flags=flags.value)
        except OSError as error:
            CLibrary.error = error.errno or 0
            return -1
        return 0


def _exists(path: Any, *, follow: bool = True) -> bool:
    try:
        KERNEL.stat(path, follow_symlinks=follow)
    except (OSError, ValueError):
        return False
    return True


def _build_os() -> ModuleType:
    system, paths = ModuleType("os"), ModuleType("posixpath")
    vars(system).update(vars(os))
    vars(paths).update(vars(posixpath))
    vars(system).update({name: getattr(KERNEL, name) for name in CALLS})
    vars(system).update(
        path=paths,
        fstatvfs=KERNEL.statvfs,
        remove=KERNEL.unlink,
        replace=KERNEL.rename,
        fdopen=lambda fd, _mode: _File(fd),
        urandom=RANDOMNESS.urandom,
        geteuid=lambda: 0,
        getegid=lambda: 0,
        getuid=lambda: 0,
        environ={"PATH": "/bin"},
    )
    vars(paths).update(
        exists=_exists,
        lexists=lambda path: _exists(path, follow=False),
        isdir=lambda path: SimulatedPath(path).is_dir(),
        islink=_is_link,
    )
    return system


def _is_link(path: Any) -> bool:
    with contextlib.suppress(OSError):
        return KERNEL.lstat(path).st_mode & 0o170000 == 0o120000
    return False


def build_modules() -> dict[str, ModuleType]:
    """Return the modules that the product is linked with, by name."""
    names = ("fcntl", "pathlib", "random", "secrets", "ctypes")
    locks, paths, draws, secret, library = (ModuleType(name) for name in names)
    vars(library).update(vars(ctypes))
    vars(library).update(CDLL=CLibrary, get_errno=lambda: CLibrary.error)
    vars(locks).update(vars(fcntl))
    vars(locks).update(fcntl=KERNEL.fcntl, flock=KERNEL.flock)
    vars(paths).update(vars(pathlib))
    vars(paths).update(Path=SimulatedPath)
    vars(draws).update(vars(random))
    vars(secret).update(vars(secrets))
    vars(secret).update(token_hex=RANDOMNESS.token_hex, token_urlsafe=RANDOMNESS.token_hex)
    system = _build_os()
    return {
        "os": system,
        "os.path": system,
        "fcntl": locks,
        "pathlib": paths,
        "random": draws,
        "secrets": secret,
        "ctypes": library,
        "cryptography.hazmat.primitives.asymmetric": _build_curves(),
        **threads.build_modules(),
    }
