"""The certificates that TLS trusts: the system's, or those of OpenSSL's variables, and a file of the configuration.

OpenSSL reads `SSL_CERT_FILE` and `SSL_CERT_DIR` itself (SSL_CTX_load_verify_locations(3)): it waits for ever for a FIFO
there, and ignores a file that it can't use, which then shows as a server that is not trusted. So both are looked at
before. No session key is logged (`SSLKEYLOGFILE`): a user who reads such a log reads our tokens.
"""

import os
import re
import ssl
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from refresher.errors import ConfigurationError
from refresher.files import read_regular

_LARGEST = 16 * 1024 * 1024
"""Bytes of a file of certificates."""

_FILE, _DIRECTORY = "SSL_CERT_FILE", "SSL_CERT_DIR"
_HASHED = re.compile(r"[0-9a-f]{8}\.r?[0-9]+")
"""Names that OpenSSL opens in a directory of certificates."""


def load_trust(ca_file: Path | None, ca_key: str, variables: Mapping[str, str]) -> ssl.SSLContext:
    """Return what clients of TLS trust.

    Args:
        ca_file: Certificates in addition to the system's; None for none.
        ca_key: The key of the configuration that names `ca_file`.
        variables: The environment.

    Raises:
        ConfigurationError: A file or directory can't be used; the remedy has its key or variable.
    """
    if (named := variables.get(_FILE)) is not None and named:
        _load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), Path(named), _FILE)
    for directory in filter(None, variables.get(_DIRECTORY, "").split(os.pathsep)):
        for place, fault in _list_faults(directory):
            raise ConfigurationError(
                f"{place} cannot be used as trust: {fault}",
                f"set {_DIRECTORY} to a directory of certificates (openssl rehash), or unset it",
            )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    if ca_file is not None:
        _load(context, ca_file, ca_key)
    return context


def _load(context: ssl.SSLContext, path: Path, key: str) -> None:
    """Trust the certificates in a file; `key` is what names it."""
    try:
        read_regular(path, most=_LARGEST)  # OpenSSL would wait for a FIFO
        context.load_verify_locations(cafile=str(path))
    except (OSError, ValueError) as error:
        reason = f"it is {error}"
        if isinstance(error, ssl.SSLError):  # an OSError too
            reason = "it holds no certificate in PEM, or a broken one"
        elif isinstance(error, OSError):
            reason = os.strerror(error.errno or 0)
        raise ConfigurationError(
            f"{path} cannot be used as trust: {reason}", f"set {key} to a readable PEM file of certificates"
        ) from error


def _list_faults(directory: str) -> Iterator[tuple[str, str]]:
    """Return what can't be used in a directory of certificates, each as a path and what is wrong with it."""
    try:
        for path in Path(directory).iterdir():
            if _HASHED.fullmatch(path.name) and not stat.S_ISREG(path.stat().st_mode):
                yield str(path), "it is not a regular file"
    except OSError as error:
        yield str(error.filename or directory), os.strerror(error.errno or 0)
