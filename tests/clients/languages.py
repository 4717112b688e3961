"""The client libraries: one long-lived program of each language, which runs one library at a time."""

from __future__ import annotations

import re
import subprocess
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.clients.client import ACCESS_TOKEN, Client
from tests.clients.install import GO, HERE, JAVA, NODE, PYTHON, RUBY, RUST
from tests.clients.probes import Program
from tests.clients.setup import Needs, Way

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.clients.setup import Setup
    from tests.installation import Recipe

    Command = Callable[[Setup], Sequence[str]]

_PASSWORD = "changeit"
_GEMS = "usr/share/rubygems-integration/all"
_VENDOR = "usr/lib/ruby/vendor_ruby"


def _python(library: str) -> Sequence[str]:
    place = PYTHON.made()
    return (str(place / ".venv" / "bin" / "python"), str(place / "probe.py"), library)


def _node(library: str) -> Sequence[str]:
    place = NODE.made()
    (node,) = place.glob("node_modules/node-linux-*/bin/node")
    return (str(node), str(place / "probe.mjs"), library)


def _go(library: str) -> Sequence[str]:
    return (str(GO.made() / "probe"), library)


def _rust(library: str) -> Sequence[str]:
    return (str(RUST.made() / "target" / "release" / "probe"), library)


def _ruby(root: str) -> Sequence[str]:
    place = RUBY.made()
    paths = (f"GEM_PATH={place / root / _GEMS}", f"RUBYLIB={place / root / _VENDOR}")
    return ("env", *paths, "ruby", str(place / "probe.rb"), "googleauth")


def _googleauth_version(root: str) -> str:
    """Return the version of googleauth in a release of Debian; no file pins it."""
    (gem,) = (RUBY.made() / root / _GEMS).rglob("googleauth-*.gemspec")
    return gem.name.removeprefix("googleauth-").removesuffix(".gemspec")


def _java(library: str, *, setup: Setup) -> Sequence[str]:
    place = JAVA.made()
    trust = () if setup.cloud.ca_file is None else _trust(setup.cloud.ca_file, setup.place / f"{library}.p12")
    path = f"{place / 'target' / 'classes'}:{(place / 'classpath').read_text().strip()}"
    return ("java", *trust, "-XX:TieredStopAtLevel=1", "-cp", path, "Probe", library)


def _trust(ca_file: Path, store: Path) -> Sequence[str]:
    """Put the cloud's certificate authority into a trust store for Java; return the options for it."""
    command = (
        "keytool", "-importcert", "-noprompt", "-alias", "cloud", "-storepass", _PASSWORD, "-storetype", "PKCS12",
        "-keystore", str(store), "-file", str(ca_file),
    )  # fmt: skip
    if not store.exists():
        subprocess.run(command, check=True, capture_output=True, timeout=100)
    return (f"-Djavax.net.ssl.trustStore={store}", f"-Djavax.net.ssl.trustStorePassword={_PASSWORD}")


def _start(client: Client, setup: Setup, variables: dict[str, str], *, command: Command, service: str) -> Program:
    logs = setup.place / "logs"
    logs.mkdir(exist_ok=True)
    origin: str = getattr(setup.endpoints(client.name), service)
    return Program(setup.wrap(client.name, (*command(setup), origin)), variables, logs / client.name)


def _pinned(file: str, pattern: str) -> str:
    """Read a version from the file that pins it."""
    found = re.search(pattern, (HERE / file).read_text())
    assert found is not None, f"{file} does not pin {pattern}"
    return found[1]


def _library(
    recipe: Recipe,
    name: str,
    title: str,
    *,
    command: Command,
    version: Callable[[], str],
    is_pinned: bool = True,
    skew: float = 0.0,
    short: float = 5.0,
    needs: Needs = Needs(),  # noqa: B008 - frozen
    service: str = "storage",
    recovers: bool = True,
    counts_threads: bool = False,
    asks_metadata: bool = True,
) -> Client:
    return Client(
        name=name,
        title=title,
        language=recipe.folder.capitalize(),
        version=version,
        is_pinned=is_pinned,
        start=partial(_start, command=command, service=service),
        recipe=recipe,
        tool=recipe.tool,
        remedy=recipe.remedy,
        skew=skew,
        short=short,
        needs=needs,
        knows_buckets=service == "storage",
        recovers=recovers,
        counts_threads=counts_threads,
        asks_metadata=asks_metadata,
    )


def _of_python(name: str, title: str, **more: Any) -> Client:  # noqa: ANN401 - as of _library
    version = partial(_pinned, "python/requirements.in", rf"(?m)^{title}(?:\[.*\])?==(\S+)")
    return _library(
        PYTHON, name, title, command=lambda _: _python(title), version=version, **{"counts_threads": True} | more
    )


def _of_node(name: str, title: str, library: str, **more: Any) -> Client:  # noqa: ANN401 - as of _library
    version = partial(_pinned, "node/package.json", rf'"{title}": "(\S+)"')
    return _library(NODE, name, title, command=lambda _: _node(library), version=version, **more)


def _of_go(name: str, title: str, module: str, library: str, **more: Any) -> Client:  # noqa: ANN401 - as of _library
    version = partial(_pinned, "go/go.mod", rf"{re.escape(module)} v(\S+)")
    return _library(GO, name, title, command=lambda _: _go(library), version=version, **more)


def _of_java(name: str, title: str, library: str, **more: Any) -> Client:  # noqa: ANN401 - as of _library
    version = partial(_pinned, "java/pom.xml", rf"<artifactId>{title}</artifactId>\s*<version>(\S+)</version>")
    command = partial(_java, library)
    return _library(
        JAVA,
        name,
        title,
        command=lambda setup: command(setup=setup),
        version=version,
        needs=Needs(way=Way.SECURE),
        **more,
    )


def _of_rust(name: str, title: str) -> Client:
    version = partial(_pinned, "rust/Cargo.toml", rf'(?m)^{title} = "=(\S+)"')
    # it refreshes four minutes before the expiry, after that every ten seconds; a permanent error ends this for good
    return _library(
        RUST, name, title, command=lambda _: _rust(title), version=version, skew=240.0, short=30.0, recovers=False
    )


def _of_ruby(name: str, title: str, root: str, **more: Any) -> Client:  # noqa: ANN401 - as of _library
    version = partial(_googleauth_version, root)
    return _library(RUBY, name, title, command=lambda _: _ruby(root), version=version, is_pinned=False, **more)


_BY_FILE: dict[str, Any] = {"needs": Needs(artifacts=(ACCESS_TOKEN,)), "counts_threads": False}

LIBRARIES = (
    _of_python("python-auth", "google-auth", skew=225.0),
    _of_python("python-storage", "google-cloud-storage", skew=225.0),
    _of_python("python-bigquery", "google-cloud-bigquery", skew=225.0, service="bigquery"),
    _of_python("python-gcsfs", "gcsfs", skew=300.0),
    _of_python("python-pyarrow", "pyarrow", skew=300.0),
    # it does not use a token that has two minutes or less left
    _of_python("python-opendal", "opendal", skew=120.0, short=130.0),
    _of_node("node-auth", "google-auth-library", "google-auth-library", skew=300.0),
    _of_node("node-storage", "@google-cloud/storage", "storage", skew=300.0),
    _of_go("go-auth", "cloud.google.com/go/auth", "cloud.google.com/go/auth", "auth", skew=225.0),
    _of_go("go-oauth2", "golang.org/x/oauth2/google", "golang.org/x/oauth2", "oauth2", skew=10.0),
    _of_go("go-storage", "cloud.google.com/go/storage", "cloud.google.com/go/storage", "storage", skew=225.0),
    _of_java("java-auth", "google-auth-library-oauth2-http", "auth", skew=225.0),
    _of_java("java-storage", "google-cloud-storage", "storage", skew=225.0),
    _of_rust("rust-auth", "google-cloud-auth"),
    _of_rust("rust-storage", "google-cloud-storage"),
    _of_ruby("ruby-auth", "googleauth", "root", skew=60.0, asks_metadata=False),  # on Google's machines alone
    _of_python("python-obstore", "obstore", **_BY_FILE),
    _of_python("python-duckdb", "duckdb", asks_metadata=False, **_BY_FILE),
)
METADATA_LIBRARIES = (
    _of_python("python-tensorstore", "tensorstore", counts_threads=False),
    _of_ruby("ruby-auth-12", "googleauth 0.13", "root12"),
)
"""Those that know no external accounts, and so no credentials directory."""
