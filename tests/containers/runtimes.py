"""The containers of these tests: podman's, and plain namespaces for machines without it; each also with mapped ids.

All share the host's network, because the emulator listens on its loopback. All have an interpreter with google-auth,
the product and the small programs of `inside/` at the same paths.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import refresher
from tests.program import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

CREDENTIALS = "/mnt/credentials"
"""The credentials directory in a container."""
EVERYTHING = "/mnt/everything"
"""The directories of all users in a container that was configured carelessly."""
PYTHON = f"/mnt/python/bin/python{sys.version_info.major}.{sys.version_info.minor}"
OFFSET = 100_000
"""What a user namespace of these tests adds to a container's ids."""
_SUBORDINATES = 65_536
_AS_A_USER = """
uid=$1 first=$2 count=$3 home=$4
shift 4
mkdir /mnt/upper /mnt/work
mount -t overlay -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work overlay /etc
echo "user:x:$uid:$uid::$home:/bin/sh" >> /etc/passwd
echo "user:x:$uid:" >> /etc/group
echo "user:$first:$count" > /etc/subuid
echo "user:$first:$count" > /etc/subgid
exec setpriv --reuid "$uid" --regid "$uid" --clear-groups \\
  env -i PATH="$PATH" HOME="$home" XDG_RUNTIME_DIR="$home/xdg" "$@"
"""
_VARIABLES = {
    "PATH": "/usr/bin:/bin",
    "PYTHONPATH": "/mnt/product:/mnt/libraries",
    "PYTHONDONTWRITEBYTECODE": "1",
    "LD_LIBRARY_PATH": "/mnt/python/lib",
}


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A file or directory of the host, and its path in a container."""

    source: Path
    place: str
    is_writable: bool = False


TOOLS = (
    Mount(source=Path(sys.base_prefix), place="/mnt/python"),
    Mount(source=Path(sysconfig.get_path("purelib")), place="/mnt/libraries"),
    Mount(source=Path(refresher.__file__).parent, place="/mnt/product/refresher"),
    Mount(source=Path(__file__).with_name("inside"), place="/mnt/inside"),
)


class Runtime(Protocol):
    """A kind of container."""

    @property
    def offset(self) -> int:
        """The difference between an id on the host and in the container."""

    def command(self, *command: str, uid: int, mounts: Sequence[Mount], env_file: Path | None) -> list[str]:
        """Return the host's command that runs a command in a container.

        Args:
            command: The command to run inside.
            uid: The user and group inside.
            mounts: What the container has in addition to `TOOLS`.
            env_file: The file of the container's variables.
        """


@dataclass(frozen=True, kw_only=True)
class Podman:
    """Podman as root, with separate storage and a root file system that only contains `/usr`."""

    place: Path
    offset: int = 0

    def command(self, *command: str, uid: int, mounts: Sequence[Mount], env_file: Path | None) -> list[str]:
        """Return the command of podman."""
        mapping = f"0:{self.offset}:65536"
        options = [f"--user={uid}:{uid}"]
        if self.offset:
            options += [f"--uidmap={mapping}", f"--gidmap={mapping}"]
        image = _image(self.place, self.offset)
        seen = [*TOOLS, *mounts]
        return _podman(self.place, *options, image=image, command=command, mounts=seen, env_file=env_file)


@dataclass(frozen=True, kw_only=True)
class RootlessPodman:
    """Podman as the user, who keeps his id in a user namespace; its other ids are his subordinate ids."""

    place: Path
    offset: int = 0

    def command(self, *command: str, uid: int, mounts: Sequence[Mount], env_file: Path | None) -> list[str]:
        """Return the command of podman, in a namespace in which the user exists and after which no process is left."""
        first = OFFSET + uid * _SUBORDINATES
        home = self.place / f"home-{uid}"
        (home / "xdg").mkdir(parents=True, exist_ok=True)
        for directory in (home, home / "xdg"):
            os.chown(directory, uid, uid)
            directory.chmod(0o700)
        image = _image(self.place, first)
        # the user cannot reach the tools at their paths, so they are mounted where he can before podman begins
        seen = [*(replace(tool, source=Path(tool.place)) for tool in TOOLS), *mounts]
        podman = _podman(home, "--userns=keep-id", image=image, command=command, mounts=seen, env_file=env_file)
        return [
            *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
            *(
                "sh",
                "-ec",
                _mounting(TOOLS) + _AS_A_USER,
                "sh",
                str(uid),
                str(first),
                str(_SUBORDINATES),
                str(home),
                *podman,
            ),
        ]


def _podman(
    place: Path,
    *options: str,
    image: Path,
    command: Sequence[str],
    mounts: Sequence[Mount],
    env_file: Path | None,
) -> list[str]:
    seen = [Mount(source=Path("/usr"), place="/usr"), *mounts]
    return [
        *("podman", "--cgroup-manager=cgroupfs", "--events-backend=none", "--storage-driver=vfs", "--runtime=runc"),
        *("--log-level=error", f"--root={place / 'storage'}", f"--runroot={place / 'state'}"),
        *("run", "--rm", "--interactive", "--network=host", "--no-hosts", "--read-only", *options),
        # the limits of the machine can be below podman's own limits, which it could not set then
        *("--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"),
        *([f"--env-file={env_file}"] if env_file else []),
        *(f"--env={name}={value}" for name, value in _VARIABLES.items()),
        *(f"--volume={each.source}:{each.place}:{'rw' if each.is_writable else 'ro'}" for each in seen),
        *("--rootfs", str(image), *command),
    ]


def _image(place: Path, owner: int) -> Path:
    """Create a root file system: links into `/usr`, and directories in which root can create mount points."""
    image = place / f"image-{owner}"
    if image.exists():
        return image
    for name in ("usr", "etc", "proc", "sys", "dev", "run", "tmp", "var", "mnt"):
        (image / name).mkdir(parents=True)
        os.chown(image / name, owner, owner)
    for name in ("bin", "sbin", "lib", "lib64"):
        (image / name).symlink_to(f"usr/{name}")
    return image


@dataclass(frozen=True, kw_only=True)
class Namespaces:
    """A mount namespace without capabilities; with an offset, inside a user namespace with a single user."""

    offset: int = 0

    def command(self, *command: str, uid: int, mounts: Sequence[Mount], env_file: Path | None) -> list[str]:
        """Return the command of util-linux."""
        host = str(uid + self.offset)
        further = [] if env_file is None else env_file.read_text().splitlines()
        return [
            *("unshare", "--mount", "sh", "-ec", _mounting((*TOOLS, *mounts)) + 'exec "$@"', "sh"),
            *("setpriv", "--reuid", host, "--regid", host, "--clear-groups", "--bounding-set=-all", "--no-new-privs"),
            *(["unshare", "--user", f"--map-user={uid}", f"--map-group={uid}"] if self.offset else []),
            *("env", "-i", *(f"{name}={value}" for name, value in _VARIABLES.items()), *further, *command),
        ]


def _mounting(mounts: Iterable[Mount]) -> str:
    """Return the shell lines that mount all of this below an empty `/mnt`."""
    lines = ["mount -t tmpfs -o mode=0755 tmpfs /mnt"]
    for each in mounts:
        parent = each.place if each.source.is_dir() else Path(each.place).parent
        lines += [f"mkdir -p {parent}", f"[ -e {each.place} ] || touch {each.place}"]
        lines.append(f"mount --bind {each.source} {each.place}")
        if not each.is_writable:
            lines.append(f"mount -o remount,bind,ro {each.place}")
    return "\n".join(lines) + "\n"


@contextmanager
def start(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """Run a container for the length of a `with` block; the program inside ends when its standard input ends."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            yield process
        finally:
            process.communicate(timeout=PATIENCE)


def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a container until it ends, with an empty standard input."""
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=3 * PATIENCE
    )
