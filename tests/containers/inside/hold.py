"""Be a container: namespaces and a root of its own, an unprivileged user, and then wait for the end of standard input.

Argument: a JSON object with `root` (the directory that becomes `/`), `uid`, `binds` (pairs of a host's path and a path
below the root), `hang` (a path below the root at which a FUSE file system is mounted that never answers), and
`metadata` (whether a server listens at 169.254.169.254:80). It prints one line when it is ready.
"""

import ctypes
import fcntl
import json
import os
import socket
import struct
import sys

NEW_NAMESPACES = 0x00020000 | 0x40000000
PRIVATE, BIND = 1 << 18 | 1 << 14, 1 << 12
SET_ADDRESS, SET_FLAGS, UP = 0x8916, 0x8914, 1

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int) -> None:
    """Raise an error of libc."""
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def mount(source: str, place: str, kind: str, flags: int, data: str = "") -> None:
    """Mount something."""
    texts = [text.encode() or None for text in (source, place, kind, data)]
    check(libc.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3]))


def serve_metadata() -> socket.socket:
    """Listen where the metadata server is."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for name, address in ((b"lo", "127.0.0.1"), (b"lo:1", "169.254.169.254")):
            request = struct.pack("16sH2s4s8s", name, socket.AF_INET, b"", socket.inet_aton(address), b"")
            fcntl.ioctl(control, SET_ADDRESS, request)
        fcntl.ioctl(control, SET_FLAGS, struct.pack("16sH14s", b"lo", UP, b""))
    server = socket.create_server(("169.254.169.254", 80))
    server.listen()
    return server


def main() -> None:
    """Enter, become the user, and wait."""
    request = json.loads(sys.argv[1])
    root = request["root"]
    check(libc.unshare(NEW_NAMESPACES))
    mount("none", "/", "", PRIVATE)
    mount(root, root, "", BIND | 1 << 14)
    for source, place in request.get("binds", ()):
        mount(source, root + place, "", BIND)
    if hang := request.get("hang"):
        fuse = os.open("/dev/fuse", os.O_RDWR)
        mount("hang", root + hang, "fuse", 0, f"fd={fuse},rootmode=40000,user_id=0,group_id=0,allow_other")
    server = serve_metadata() if request.get("metadata") else None
    os.chdir(root)
    check(libc.pivot_root(b".", b"."))
    check(libc.umount2(b".", 2))
    os.chdir("/")
    os.setgroups([])
    os.setresgid(request["uid"], request["uid"], request["uid"])
    os.setresuid(request["uid"], request["uid"], request["uid"])
    os.write(1, b"ready\n")
    os.read(0, 1)
    if server is not None:
        server.close()
    os._exit(0)  # a hanging file system would hold an interpreter that ends regularly


if __name__ == "__main__":
    main()
