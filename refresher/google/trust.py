"""The certificates that TLS trusts: the system's, or those of OpenSSL's variables, and a file of the configuration.

OpenSSL reads `SSL_CERT_FILE` and `SSL_CERT_DIR` itself (SSL_CTX_load_verify_locations(3)): it waits for ever for a FIFO
there, and ignores a file that it can't use, which then shows as a server that is not trusted. So both are looked at
before. No session key is logged (`SSLKEYLOGFILE`): a user who reads such a log reads our tokens.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from refresher.errors import ConfigurationError
from refresher.files import read_regular

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping

TRUST = "trust"
"""The entry of the catalogue that errors of this module have."""
_LARGEST = 16 * 1024 * 1024
"""Bytes of a file of certificates."""

_FILE, _DIRECTORY = "SSL_CERT_FILE", "SSL_CERT_DIR"
_LIVES = {
    9: ("is not valid yet", "set this machine's clock (NTP)"),
    10: ("has expired", "renew it on that server, or set this machine's clock (NTP) if it is wrong"),
}
_NAMES = (62, 64)
"""Of another host name, or IP address."""
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
    import ssl

    if (named := variables.get(_FILE)) is not None and named:
        _load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), Path(named), _FILE)
    for directory in filter(None, variables.get(_DIRECTORY, "").split(os.pathsep)):
        for place, fault in _list_faults(directory):
            unusable = ConfigurationError(
                f"{place} cannot be used as trust: {fault}",
                f"set {_DIRECTORY} to a directory of certificates (openssl rehash), or unset it",
            )
            unusable.entry = TRUST
            raise unusable
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    if ca_file is not None:
        _load(context, ca_file, ca_key)
    return context


def explain_tls(
    error: Exception, host: str, *, ca_file: Path | None, ca_key: str, variables: Mapping[str, str]
) -> tuple[str, str]:
    """Return why TLS with a host failed, and the remedy; the other arguments are those of `load_trust`.

    The kinds are those of X509_STORE_CTX_get_error(3), and the message, which may quote what the server sent, is not
    shown. `REQUESTS_CA_BUNDLE` is not read: only requests, which is not used, knows it.
    """
    import ssl

    causes = (error, *error.args, error.__cause__, error.__context__)
    refusal = next((each for each in causes if isinstance(each, ssl.SSLCertVerificationError)), None)
    shown = (
        f"`openssl s_client -connect {host if ':' in host else f'{host}:443'} </dev/null | openssl x509 -noout -text`"
    )
    if refusal is None:
        remedy = f"check that the port and the https of its address are right (google.endpoints, proxy): {host}"
        return "it does not speak TLS as this machine does", remedy
    if refusal.verify_code in _LIVES:
        when, remedy = _LIVES[refusal.verify_code]
        return f"its certificate {when}", f"{remedy}; {shown} shows its dates"
    if refusal.verify_code in _NAMES:
        name = host.rpartition(":")[0] or host
        remedy = f"use a name that the certificate has (google.endpoints), or fix DNS or the proxy that leads {name}"
        return f"its certificate is not for the name {name}", f"{remedy} to another server; {shown} shows its names"
    system = variables.get(_FILE) or variables.get(_DIRECTORY) or "the system's authorities"
    trusted = f"{system} (from the environment)" if system != "the system's authorities" else system
    remedy = (
        f"set {ca_key} (or SSL_CERT_FILE) to the PEM file of the authority that signed its certificate, such as that "
        f"of a proxy that opens TLS, and restart the daemon; {shown} shows its issuer; if that is a wrong server, fix "
        "DNS or the address"
    )
    beside = f", nor by {ca_file}" if ca_file else ""
    return f"its certificate is not trusted: it is not signed by {trusted}{beside}", remedy


def list_file_faults(ca_file: Path | None, ca_key: str) -> Iterator[ConfigurationError]:
    """Return why the file of a configuration, which `ca_key` names, can't be trusted, as `load_trust` does."""
    if ca_file is not None:
        import ssl

        try:
            _load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ca_file, ca_key)
        except ConfigurationError as error:
            yield error


def _load(context: ssl.SSLContext, path: Path, key: str) -> None:
    """Trust the certificates in a file; `key` is what names it."""
    import ssl

    try:
        read_regular(path, most=_LARGEST)  # OpenSSL would wait for a FIFO
        context.load_verify_locations(cafile=str(path))
    except (OSError, ValueError) as error:
        reason = f"it is {error}"
        if isinstance(error, ssl.SSLError):  # an OSError too
            reason = "it holds no certificate in PEM, or a broken one"
        elif isinstance(error, OSError):
            reason = os.strerror(error.errno or 0)
        unusable = ConfigurationError(
            f"{path} cannot be used as trust: {reason}",
            f"set {key} to a PEM file of certificates that uid {os.geteuid()} can read, or restore {path}",
        )
        unusable.entry = TRUST
        raise unusable from error


def _list_faults(directory: str) -> Iterator[tuple[str, str]]:
    """Return what can't be used in a directory of certificates, each as a path and what is wrong with it."""
    try:
        for path in Path(directory).iterdir():
            if _HASHED.fullmatch(path.name) and not stat.S_ISREG(path.stat().st_mode):
                yield str(path), "it is not a regular file"
    except OSError as error:
        yield str(error.filename or directory), os.strerror(error.errno or 0)
