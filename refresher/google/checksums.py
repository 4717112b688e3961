"""CRC32C (RFC 3720, appendix B.4), by which Cloud KMS and its callers tell that nothing changed on the way.

https://docs.cloud.google.com/kms/docs/data-integrity-guidelines. For the hundred bytes at hand a table does; a library
would be one more thing to install on every worker. The tests hold it against Google's own.
"""

from __future__ import annotations

_POLYNOMIAL = 0x82F63B78
_ALL = 0xFFFFFFFF


def _entry(index: int) -> int:
    for _ in range(8):
        index = index >> 1 ^ _POLYNOMIAL if index & 1 else index >> 1
    return index


_TABLE = tuple(_entry(index) for index in range(256))


def crc32c(content: bytes) -> int:
    """Give the checksum of a few bytes."""
    value = _ALL
    for byte in content:
        value = value >> 8 ^ _TABLE[(value ^ byte) & 0xFF]
    return value ^ _ALL
