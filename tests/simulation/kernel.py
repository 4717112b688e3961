"""The system calls that the product makes, on the simulated disk.

Each call is a step at which the scheduler may interrupt, a process may be killed, and an error may be injected. What a
process that was killed still calls has no effect.
"""

import errno
import fcntl
import os
import stat
import struct
from typing import Any

from tests.simulation.disk import Attributes, Inode
from tests.simulation.machine import BLOCK, Entry, Machine, OpenFile, Scan, refuse
from tests.simulation.scheduler import SCHEDULER, Process

_FLOCK = "hhqqi0q"
_NOREPLACE = 1


class Kernel(Machine):
    """The calls of one machine."""

    # Calls that change nothing

    def stat(self, path: Any, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> os.stat_result:
        """stat(2)."""
        inode = self._find(path, dir_fd, follow=follow_symlinks)
        self._step("stat", inode)
        return self.describe(inode)

    def lstat(self, path: Any, *, dir_fd: int | None = None) -> os.stat_result:
        """lstat(2)."""
        return self.stat(path, dir_fd=dir_fd, follow_symlinks=False)

    def fstat(self, descriptor: int) -> os.stat_result:
        """fstat(2)."""
        inode = self._file(descriptor).inode
        self._step("fstat", inode)
        return self.describe(inode)

    def access(self, path: Any, mode: int, *, dir_fd: int | None = None, **_: object) -> bool:
        """access(2); the simulated user is root."""
        try:
            self._find(path, dir_fd)
        except OSError:
            return False
        return mode >= 0

    def listdir(self, path: Any) -> list[str]:
        """Return the names in a directory."""
        inode = self._find(path)
        self._step("getdents", inode)
        if inode.entries is None:
            raise refuse(errno.ENOTDIR, path)
        return [*inode.entries]

    def scandir(self, path: Any) -> "Scan":
        """Return the entries of a directory."""
        inode = self._find(path)
        self._step("getdents", inode)
        return Scan([Entry(self, name, found) for name, found in (inode.entries or {}).items()])

    def readlink(self, path: Any, *, dir_fd: int | None = None) -> str:
        """readlink(2)."""
        self._step("readlink")
        inode = self._find(path, dir_fd, follow=False)
        if not stat.S_ISLNK(inode.attributes.mode):
            raise refuse(errno.EINVAL, path)
        return inode.content.decode()

    def statvfs(self, _path: Any) -> os.statvfs_result:
        """statvfs(3): there is room."""
        self._step("statvfs")
        return os.statvfs_result((BLOCK, BLOCK, 1 << 20, 1 << 19, 1 << 19, 1 << 20, 1 << 19, 1 << 19, 0, 255))

    # Descriptors

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        """open(2)."""
        inode = self._find_or_create(path, flags, mode, dir_fd)
        if stat.S_ISLNK(inode.attributes.mode):
            if flags & os.O_NOFOLLOW:
                raise refuse(errno.ENOTDIR if flags & os.O_DIRECTORY else errno.ELOOP, path)
            inode = self._follow(inode, str(path))
        if flags & os.O_DIRECTORY and inode.entries is None:
            raise refuse(errno.ENOTDIR, path)
        if flags & os.O_TRUNC:
            inode.content = b""
        return self._add(OpenFile(inode, flags, SCHEDULER.current.process if SCHEDULER.current else None))

    def _find_or_create(self, path: Any, flags: int, mode: int, dir_fd: int | None) -> Inode:
        around, name = self._around(path, dir_fd)
        entries, has_name = around.entries, name not in ("", ".")
        if entries is None:
            raise refuse(errno.ENOTDIR, path)
        inode = entries.get(name) if has_name else around
        self._step("create" if inode is None and flags & os.O_CREAT else "open", inode or around)
        inode = entries.get(name) if has_name else around  # others have run meanwhile
        if inode is not None:
            if flags & os.O_CREAT and flags & os.O_EXCL:
                raise refuse(errno.EEXIST, path)
            return inode
        if not flags & os.O_CREAT or around.parent is None:
            raise refuse(errno.ENOENT, path)
        inode = self.disk.create(Attributes(stat.S_IFREG | (mode & ~self.umask), 0, 0))
        self.disk.link(around, (name, inode))
        return inode

    def _add(self, file: OpenFile) -> int:
        descriptor = self._free.pop() if self._free else len(self.files) + 3
        self.files[descriptor] = file
        file.inode.held_by += 1
        return descriptor

    def dup(self, descriptor: int) -> int:
        """dup(2)."""
        file = self._file(descriptor)
        self._step("dup", file.inode)
        file.references += 1
        return self._add(file)

    def close(self, descriptor: int) -> None:
        """close(2); it works for a process that was killed too, as the kernel closes what it had open."""
        file = self.files.pop(descriptor, None)
        if file is None:
            raise refuse(errno.EBADF)
        self._free.append(descriptor)
        file.inode.held_by -= 1
        file.references -= 1
        if not file.references:
            self._unlock(file)

    @staticmethod
    def _unlock(file: OpenFile) -> None:
        inode = file.inode
        if inode.locks:
            inode.locks = {byte: owner for byte, owner in inode.locks.items() if owner is not file}
        if inode.flock is file:
            inode.flock = None

    def close_all(self, process: Process) -> None:
        """Close what a process has open that was killed."""
        for descriptor in [each for each, file in self.files.items() if file.process is process]:
            self.close(descriptor)

    def read(self, descriptor: int, count: int) -> bytes:
        """read(2)."""
        file = self._file(descriptor)
        self._step("read", file.inode)
        if file.inode.entries is not None:
            raise refuse(errno.EISDIR)
        content = file.inode.content[file.offset : file.offset + count]
        file.offset += len(content)
        return content

    def write(self, descriptor: int, content: Any) -> int:
        """write(2)."""
        file = self._file(descriptor)
        self._step("write", file.inode)
        inode, data = file.inode, bytes(content)
        inode.content = inode.content[: file.offset] + data + inode.content[file.offset + len(data) :]
        file.offset += len(data)
        self.disk.touch(inode)
        return len(data)

    def fsync(self, descriptor: int) -> None:
        """fsync(2)."""
        file = self._file(descriptor)
        self._step("fsync", file.inode)
        self.disk.synchronise(file.inode)

    def posix_fadvise(self, descriptor: int, _offset: int, _length: int, _advice: int) -> None:
        """posix_fadvise(2): a hint."""
        self._step("fadvise", self._file(descriptor).inode)

    # Names

    def mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        """mkdir(2)."""
        around, name = self._around(path, dir_fd)
        self._step("mkdir", around)
        if not name or name in (around.entries or {}):
            raise refuse(errno.EEXIST, path)
        if around.parent is None:
            raise refuse(errno.ENOENT, path)
        self.disk.link(around, (name, self.disk.create(Attributes(stat.S_IFDIR | (mode & ~self.umask), 0, 0))))

    def unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        """unlink(2)."""
        around, name = self._around(path, dir_fd)
        self._step("unlink", around)
        inode = (around.entries or {}).get(name)
        if inode is None:
            raise refuse(errno.ENOENT, path)
        if inode.entries is not None:
            raise refuse(errno.EISDIR, path)
        self.disk.link(around, (name, None))
        inode.parent = None

    def rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        """rmdir(2)."""
        around, name = self._around(path, dir_fd)
        self._step("rmdir", around)
        inode = (around.entries or {}).get(name)
        if inode is None:
            raise refuse(errno.ENOENT, path)
        if inode.entries is None:
            raise refuse(errno.ENOTDIR, path)
        if inode.entries:
            raise refuse(errno.ENOTEMPTY, path)
        self.disk.link(around, (name, None))
        inode.parent = None

    def rename(
        self,
        source: Any,
        target: Any,
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
        flags: int = 0,
    ) -> None:
        """rename(2) and renameat2(2), within one directory."""
        around, name = self._around(source, src_dir_fd)
        beside, other = self._around(target, dst_dir_fd)
        self._step("rename", around)
        inode = (around.entries or {}).get(name)
        if inode is None or around is not beside:
            raise refuse(errno.ENOENT if inode is None else errno.EXDEV, source)
        replaced = (around.entries or {}).get(other)
        if replaced is not None and flags & _NOREPLACE:
            raise refuse(errno.EEXIST, target)
        if replaced is not None and replaced is not inode:
            if (replaced.entries is None) != (inode.entries is None):
                raise refuse(errno.EISDIR if replaced.entries is not None else errno.ENOTDIR, target)
            if replaced.entries:
                raise refuse(errno.ENOTEMPTY, target)
            replaced.parent = None
        self.disk.link(around, (name, None), (other, inode))
        self.disk.touch(inode)

    # Attributes

    def chmod(self, path: Any, mode: int, *, dir_fd: int | None = None) -> None:
        """chmod(2)."""
        inode = self._find(path, dir_fd)
        self._step("chmod", inode)
        kind = stat.S_IFMT(inode.attributes.mode)
        inode.attributes = inode.attributes._replace(mode=kind | mode)
        self.disk.touch(inode)

    def fchmod(self, descriptor: int, mode: int) -> None:
        """fchmod(2)."""
        self.chmod(descriptor, mode)

    def fchown(self, descriptor: int, uid: int, gid: int) -> None:
        """fchown(2)."""
        inode = self._file(descriptor).inode
        self._step("chown", inode)
        former = inode.attributes
        inode.attributes = former._replace(uid=former.uid if uid < 0 else uid, gid=former.gid if gid < 0 else gid)
        self.disk.touch(inode)

    def removexattr(self, descriptor: int, name: str) -> None:
        """removexattr(2): a file has no attributes."""
        self._step("removexattr", self._file(descriptor).inode)
        raise refuse(errno.ENODATA, name)

    # Locks

    def fcntl(self, descriptor: int, command: int, argument: bytes = b"") -> bytes:
        """fcntl(2), for locks on one byte that belong to the open file."""
        file = self._file(descriptor)
        self._step("fcntl", file.inode)
        kind, whence, byte, length, _ = struct.unpack(_FLOCK, argument)
        held = file.inode.locks.get(byte)
        if command == fcntl.F_OFD_GETLK:
            is_free = held is None or held is file
            return struct.pack(_FLOCK, fcntl.F_UNLCK if is_free else fcntl.F_WRLCK, whence, byte, length, -1)
        if kind == fcntl.F_UNLCK:
            if held is file:
                del file.inode.locks[byte]
        elif held is None:
            file.inode.locks[byte] = file
        elif held is not file:
            raise refuse(errno.EAGAIN)
        return argument

    def flock(self, descriptor: int, operation: int) -> None:
        """flock(2), which does not wait."""
        file = self._file(descriptor)
        self._step("flock", file.inode)
        if operation & fcntl.LOCK_UN:
            file.inode.flock = None if file.inode.flock is file else file.inode.flock
        elif file.inode.flock is None:
            file.inode.flock = file
        elif file.inode.flock is not file:
            raise refuse(errno.EAGAIN)


KERNEL = Kernel()
"""Of this process: the modules of the product call no other."""
