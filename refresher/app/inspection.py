"""Explains the files of credentials directories, tokens and JWKS, with what a configuration and servers know of them.

What each file contains is judged in `refresher.inspection`. Files are read as a tenant may have left them: regular ones
of a bounded size alone.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refresher.app.suppliers import Connections, open_workshop
from refresher.app.targets import build_endpoints, build_targets
from refresher.config.loader import LoadedConfiguration
from refresher.errors import KeysError, RefresherError, SupplyError, UsageError
from refresher.files import UnsuitableFileError, read_regular
from refresher.inspection import (
    Findings,
    add_life,
    inspect_descriptions,
    inspect_document,
    inspect_jwt,
    inspect_opaque,
    inspect_variables,
)
from refresher.publishing.artifacts import ARTIFACTS, DESCRIPTIONS, ENVIRONMENT, ID_TOKENS, RECORD, is_minted
from refresher.publishing.contents import compute_digest, parse_descriptions
from refresher.publishing.mounts import find_single_file_mount
from refresher.resources import Endpoints
from refresher.tokens import ExpectedClaims, UnreadableTokenError, UnverifiedClaims, peek

if TYPE_CHECKING:
    from refresher.google.call import Transport


LARGEST = 4 * 1024 * 1024
"""Bytes of a file that is explained; `artifacts.json` is the largest that we write."""

_BOM = "\ufeff"
_SEGMENTS = 3
_WRITTEN = {row.name for row in ARTIFACTS if row.origin == "static" and row.is_optional}
_INTROSPECTED = "ya29.d."
"""The beginning of federated tokens, which STS describes; tokeninfo knows the others."""


class Inspector:
    """Explains files.

    Args:
        now: The wall clock's time.
        keys: JWKs to verify with; None for those of the configuration's keys directories.
        loaded: The configuration that a token is compared with.
        discover: Whether to ask the token's issuer or Google for the keys, and Google about access tokens.
    """

    def __init__(
        self,
        now: datetime,
        *,
        keys: Sequence[dict[str, Any]] | None = None,
        loaded: LoadedConfiguration | None = None,
        discover: bool = False,
    ) -> None:
        self._now = now
        self._keys = keys
        self._loaded = loaded
        self._discover = discover
        self._expected: Mapping[str, ExpectedClaims] = {}
        if loaded is not None:
            self._expected = {name: target.expected for name, target in build_targets(loaded).items()}

    def inspect_path(self, path: Path) -> Iterator[tuple[str, Findings]]:
        """Explain a file, or each file of a credentials directory, with its name there.

        Raises:
            UsageError: It can't be read, or has no kind known here.
        """
        if path.is_dir():
            yield from self._inspect_directory(path)
        else:
            yield "", self._inspect_file(path)

    def _inspect_directory(self, directory: Path) -> Iterator[tuple[str, Findings]]:
        """Explain what lies under the names that we write: to list a directory takes another right than to use it."""
        entries = [row.name for row in ARTIFACTS if row.name not in (RECORD, ID_TOKENS)]
        entries += [name for name in _read_descriptions(directory) if "/" in name and is_minted(name)]
        names = [name for name in entries if os.path.lexists(directory / name)]
        if not names:
            raise UsageError(f"{directory} holds none of our files", "use a credentials directory, or a file")
        for name in names:
            try:
                yield name, self._inspect_file(directory / name)
            except UsageError as error:
                yield name, Findings(kind="unknown", problems=(error.problem,))

    def _inspect_file(self, path: Path) -> Findings:
        content = read_input(path)
        found = self._inspect_named(path, content)
        described = _read_descriptions(path.parent).get(path.name)
        if described is not None and described.sha256 == compute_digest(content.encode()):
            found = add_life(found, described.expires_at, self._now)
        return found.extend(*_list_single_file_mounts(path))

    def _inspect_named(self, path: Path, content: str) -> Findings:
        if path.name == ENVIRONMENT or content.startswith("GOOGLE_APPLICATION_CREDENTIALS="):
            return inspect_variables(content)
        if path.name in _WRITTEN:
            return Findings(kind="file with paths and settings; it holds no token")
        if path.name == DESCRIPTIONS:
            return inspect_descriptions(_parse_object(content), self._now)
        # an ID token for an API is not our subject token
        return self.inspect_text(content, is_subject_token=path.parent.name != ID_TOKENS)

    def inspect_text(self, content: str, *, is_subject_token: bool = True, is_file: bool = True) -> Findings:
        """Explain a text.

        Args:
            content: All of it.
            is_subject_token: Whether a JWT is to be compared with the configuration.
            is_file: Whether a client would read exactly this; else whitespace around it does not matter.

        Raises:
            UsageError: It can't be read at all.
        """
        text = content.removeprefix(_BOM).strip()
        if text.startswith("{"):
            return inspect_document(_parse_object(text))
        if not text or len(text.split()) > 1:
            problem = "it is empty" if not text else "it is neither a token, an ADC document nor a JWKS"
            raise UsageError(problem, "use a file that holds one of these and nothing else")
        if len(text.split(".")) == _SEGMENTS and not text.startswith("ya29."):
            found = self._inspect_jwt(text, is_subject_token=is_subject_token)
        else:
            found = inspect_opaque(text)
            if self._discover and text.startswith("ya29."):
                found = self._ask_google(text, found)
        if text == content or not is_file:
            return found
        surplus = "a byte order mark" if content.startswith(_BOM) else "whitespace around it, such as a final newline"
        return found.extend(f"STS refuses it: the file holds {surplus}")

    def _inspect_jwt(self, text: str, *, is_subject_token: bool) -> Findings:
        expected = self._expected if is_subject_token else {}
        keys, missing = self._keys if is_subject_token else None, "no keys available (--config, --keys, --discover)"
        if keys is None:
            claims = _peek_claims(text)
            keys, problems = _read_own_keys(self._loaded, claims)
            missing = "; ".join(problems) or missing
            if self._discover and not any(claims and key["kid"] == claims.key_id for key in keys or ()):
                keys, missing = self._discover_keys(claims)
        try:
            return inspect_jwt(text, self._now, keys=keys, expected=expected, missing=missing)
        except UnreadableTokenError as error:
            raise UsageError(f"it looks like a JWT, but {error}", "check whether it was cut off") from error

    def _discover_keys(self, claims: UnverifiedClaims | None) -> tuple[list[dict[str, Any]] | None, str]:
        """Return the keys that are published for a token's issuer, or why no keys are available."""
        if claims is None or claims.issuer is None:
            return None, "it has no issuer that could be asked"
        try:
            return _fetch_keys(claims.issuer, self._loaded, self._now), ""
        except SupplyError as error:
            return None, str(error)

    def _ask_google(self, token: str, found: Findings) -> Findings:
        """Add what Google answers about an access token: whose it is, and until when."""
        from refresher.google.call import Call

        endpoints = Endpoints.of_universe() if self._loaded is None else build_endpoints(self._loaded)
        is_federated = token.startswith(_INTROSPECTED)
        call = Call(
            asked="the introspection at STS" if is_federated else "tokeninfo",
            url=endpoints.token_info_url if is_federated else _name_tokeninfo(self._loaded, endpoints),
            form={"token" if is_federated else "access_token": token},
            secrets=(token,),
        )
        try:
            answer = call.fetch_document(_open_transport(self._loaded))
        except RefresherError as error:
            return found.extend(error.problem)
        names = ("email", "username", "azp", "aud", "scope")
        found = found.extend(facts=tuple((name, str(answer[name])) for name in names if name in answer))
        try:
            return add_life(found, datetime.fromtimestamp(int(answer["exp"]), UTC), self._now)
        except (KeyError, ValueError, TypeError, OverflowError):
            return found.extend("Google does not accept it: it is invalid or has expired")


def read_input(path: Path) -> str:
    """Read a file as text.

    Raises:
        UsageError: It can't be read, is not a regular file, too large, or not text.
    """
    remedy = "use a token, an ADC document, a JWKS, or a credentials directory"
    try:
        return read_regular(path, most=LARGEST)[0].decode()
    except UnsuitableFileError as error:
        raise UsageError(f"{path} is {error}", f"{remedy}; pipe anything else into `refresher inspect -`") from error
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not text", remedy) from None
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}", "use a file that this user may read") from error


def _parse_object(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError("it looks like JSON, but is broken", "check whether it was cut off") from error
    return document if isinstance(document, dict) else {}


def _read_descriptions(directory: Path) -> dict[str, Any]:
    try:
        return dict(parse_descriptions(read_regular(directory / DESCRIPTIONS, most=LARGEST)[0]))
    except (OSError, UnsuitableFileError):
        return {}


def _list_single_file_mounts(path: Path) -> list[str]:
    try:
        directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        found = find_single_file_mount(directory, [path.name], str(path.parent))
        return [] if found is None else [str(found)]
    finally:
        os.close(directory)


def _peek_claims(text: str) -> UnverifiedClaims | None:
    try:
        return peek(text).unverified_claims
    except UnreadableTokenError:
        return None


def _open_transport(loaded: LoadedConfiguration | None) -> "Transport":
    return Connections(ca_file=None)() if loaded is None else open_workshop(loaded).transport()


def _name_tokeninfo(loaded: LoadedConfiguration | None, endpoints: Endpoints) -> str:
    is_emulator = loaded is not None and loaded.configuration.google.emulator
    return f"{endpoints.sts if is_emulator else f'https://oauth2.{endpoints.universe_domain}'}/tokeninfo"


def _fetch_keys(issuer: str, loaded: LoadedConfiguration | None, now: datetime) -> list[dict[str, Any]]:
    """Return the keys of an issuer, or of what signs for it where a supplier declares that."""
    from refresher.google.openid import fetch_key_set, fetch_keys

    transport = _open_transport(loaded)
    for settings in () if loaded is None else loaded.configuration.suppliers.values():
        if settings.expect_claims(None, frozenset(), None).issuer != issuer or settings.keys_directory is not None:
            continue
        if settings.keys_url is not None:
            return fetch_key_set(transport, settings.keys_url)
        if loaded is not None and settings.uploads_keys:
            found = settings.published_jwks(open_workshop(loaded), (), now)
            return list(found["keys"])
    return fetch_keys(transport, issuer)


def _read_own_keys(
    loaded: LoadedConfiguration | None, claims: UnverifiedClaims | None
) -> tuple[list[dict[str, Any]] | None, list[str]]:
    """Return the public keys with which a configuration signs for a token's issuer, and why some can't be read."""
    from refresher.keys.directory import read_jwks

    found: list[dict[str, Any]] = []
    problems = []
    for settings in () if loaded is None else loaded.configuration.suppliers.values():
        issuer = settings.expect_claims(None, frozenset(), None).issuer
        if settings.keys_directory is not None and claims is not None and claims.issuer == issuer:
            try:
                found += read_jwks(settings.keys_directory)["keys"]
            except KeysError as error:
                problems.append(str(error))
    return found or None, problems
