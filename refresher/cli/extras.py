"""What a command needs beyond the plain installation."""

from __future__ import annotations

from importlib.util import find_spec

from refresher.errors import UsageError


def need_emulator() -> None:
    """Check that the emulator's libraries are installed.

    Raises:
        UsageError: They are not.
    """
    missing = [
        name
        for name in ("cel_expr_python", "google_crc32c", "httptools", "jwt", "rich", "uvicorn")
        if find_spec(name) is None
    ]
    if missing:
        raise UsageError(
            f"the emulator is not installed ({', '.join(missing)} missing)", "from a clone: pip install '.[emulator]'"
        )
