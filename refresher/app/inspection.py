"""Explains the files of credentials directories, tokens and JWKS, with what a configuration and servers know of them.

What each file contains is judged in `refresher.inspection`. Files are read as a tenant may have left them: regular ones
of a bounded size alone.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from refresher import inspection
from refresher.app.suppliers import open_workshop
from refresher.app.targets import build_targets
from refresher.config.loader import LoadedConfiguration
from refresher.errors import RefresherError, UsageError
from refresher.files import UnsuitableFileError, read_regular
from refresher.inspection import Findings
from refresher.publishing.artifacts import ARTIFACTS, DESCRIPTIONS, ENVIRONMENT, ID_TOKENS, RECORD, is_minted
from refresher.publishing.contents import LARGEST, Description, compute_digest, parse_descriptions
from refresher.publishing.mounts import find_single_file_mount
from refresher.suppliers.interface import SupplierSettings
from refresher.tokens import UnreadableTokenError, UnverifiedClaims, peek

_BOM = "\ufeff"
_SEGMENTS = 3
_WRITTEN = {row.name for row in ARTIFACTS if row.origin == "static" and row.is_optional}
_WRAPPINGS = {"Bearer ": "the word Bearer before the token", '"': "the token in quotes"}


class Inspector:
    """Explains files, and compares tokens with a configuration if there is one.

    Signatures are verified with the `keys` (JWKs), or else with those of the configuration's keys directories. With
    `discover` the token's issuer or Google is asked for the keys, and Google about access tokens.
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
        self._discover = discover
        self._workshop = open_workshop(loaded)
        self._is_emulator = loaded is not None and loaded.configuration.google.emulator
        self._suppliers = () if loaded is None else tuple(loaded.configuration.suppliers.values())
        targets = {} if loaded is None else build_targets(loaded)
        self._expected = {name: target.expected for name, target in targets.items()}

    def inspect_path(self, path: Path) -> Iterator[tuple[str, Findings]]:
        """Explain a file, or each file of a credentials directory, with its name there.

        Raises:
            UsageError: It can't be read, or has no kind known here.
        """
        if not os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where this user may not look
            yield "", self._inspect_file(path)
            return
        # what lies under the names that we write: to list a directory takes another right than to use it
        entries = [row.name for row in ARTIFACTS if row.name not in (RECORD, ID_TOKENS)]
        entries += [name for name in _read_descriptions(path) if "/" in name and is_minted(name)]
        names = [name for name in entries if os.path.lexists(path / name)]
        if not names:
            try:
                os.scandir(path).close()
            except OSError as error:
                problem = f"{path} can't be read: {error.strerror}"
                raise UsageError(problem, "run this as root, or as the owner of the directory") from error
            raise UsageError(f"{path} holds none of our files", "use a credentials directory, or a file")
        for name in names:
            try:
                yield name, self._inspect_file(path / name)
            except UsageError as error:
                yield name, Findings("unknown", problems=[error.problem])

    def _inspect_file(self, path: Path) -> Findings:
        content = read_input(path)
        if path.name == ENVIRONMENT or content.startswith("GOOGLE_APPLICATION_CREDENTIALS="):
            found = inspection.inspect_variables(content)
        elif path.name in _WRITTEN:
            found = Findings("file that is written from the configuration; its content is not judged here")
        elif path.name == DESCRIPTIONS:
            ends = {name: each.expires_at for name, each in parse_descriptions(content.encode()).items()}
            found = inspection.inspect_descriptions(ends, self._now)
        else:
            # an ID token for an API is not our subject token
            found = self.inspect_text(content, is_subject_token=path.parent.name != ID_TOKENS)
        described = _read_descriptions(path.parent).get(path.name)
        if described is not None and described.sha256 == compute_digest(content.encode()):
            found.add_life(described.expires_at, self._now)
        try:
            directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return found
        try:
            mounted = find_single_file_mount(directory, [path.name], str(path.parent))
        finally:
            os.close(directory)
        found.problems += [] if mounted is None else [str(mounted)]
        return found

    def inspect_text(self, content: str, *, is_subject_token: bool = True, is_file: bool = True) -> Findings:
        """Explain a text, of which a JWT is compared with the configuration if it is to be a subject token.

        If it is not the content of a file, which a client reads as it is, whitespace around it does not matter. What
        has no kind known here is a `UsageError`.
        """
        text = content.removeprefix(_BOM).strip()
        fault = next((fault for begin, fault in _WRAPPINGS.items() if text.startswith(begin)), None)
        if fault is not None:
            text = text.removeprefix("Bearer ").strip('" ')
        elif text != content and is_file and not text.startswith("{"):
            is_mark = content.startswith(_BOM)
            fault = "a byte order mark" if is_mark else "whitespace around it, such as a final newline"
        found = self._inspect_bare(text, is_subject_token=is_subject_token)
        if fault is not None:
            found.problems.append(f"STS refuses it: the file holds {fault}")
        return found

    def _inspect_bare(self, text: str, *, is_subject_token: bool) -> Findings:
        if text.startswith("{"):
            try:
                return inspection.inspect_document(json.loads(text))
            except (ValueError, RecursionError) as error:
                raise UsageError("it looks like JSON, but is broken", "check whether it was cut off") from error
        if not text or len(text.split()) > 1:
            problem = "it is empty" if not text else "it is neither a token, an ADC document nor a JWKS"
            raise UsageError(problem, "use a file that holds one of these and nothing else")
        if len(text.split(".")) == _SEGMENTS and not text.startswith("ya29."):
            return self._inspect_jwt(text, is_subject_token=is_subject_token)
        found = inspection.inspect_opaque(text)
        if self._discover and text.startswith("ya29."):
            self._ask_google(text, found)
        return found

    def _inspect_jwt(self, text: str, *, is_subject_token: bool) -> Findings:
        keys, missing = self._keys if is_subject_token else None, ""
        if keys is None:
            try:
                claims = peek(text).unverified_claims
            except UnreadableTokenError:
                claims = None
            keys, missing = self._find_keys(claims)
        expected = self._expected if is_subject_token else {}
        try:
            return inspection.inspect_jwt(text, self._now, keys=keys, expected=expected, missing=missing)
        except UnreadableTokenError as error:
            raise UsageError(f"it looks like a JWT, but {error}", "check whether it was cut off") from error

    def _find_keys(self, claims: UnverifiedClaims | None) -> tuple[list[dict[str, Any]] | None, str]:
        """Return the keys that should verify a token, or None and why they are missing.

        Our own come first; with `discover` then those that the suppliers which sign for its issuer publish, or else the
        issuer. The first that hold the token's key id are enough.
        """
        from refresher.google.openid import fetch_keys

        if claims is None or (issuer := claims.issuer) is None:
            return None, "it has no issuer that could be asked"
        signers = [
            each
            for each in self._suppliers
            if each.expect_claims(None, frozenset(), None).issuer == issuer and (each.keys_url or each.uploads_keys)
        ]
        local = [each for each in signers if each.keys_directory is not None]
        remote = [each for each in signers if each.keys_directory is None] if self._discover else []
        sources: list[Callable[[], list[dict[str, Any]]]] = [partial(self._read_keys, each) for each in local + remote]
        if self._discover and not remote:
            sources.append(lambda: fetch_keys(self._workshop.transport(), issuer))
        found: list[dict[str, Any]] = []
        failures = []
        for read in sources:
            try:
                found += (keys := read())
            except RefresherError as error:
                failures.append(str(error))
            else:
                if any(key.get("kid") == claims.key_id for key in keys):
                    break
        return found or None, "; ".join(failures) or "no keys available (--config, --keys, --discover)"

    def _read_keys(self, settings: SupplierSettings) -> list[dict[str, Any]]:
        from refresher.google.openid import fetch_key_set

        if settings.keys_url is not None:
            return fetch_key_set(self._workshop.transport(), settings.keys_url)
        keys: list[dict[str, Any]] = settings.published_jwks(self._workshop, (), self._now)["keys"]
        return keys

    def _ask_google(self, token: str, found: Findings) -> None:
        """Add what Google answers about an access token: whose it is, and until when."""
        from refresher.google.call import Call

        endpoints = self._workshop.endpoints
        origin = endpoints.sts if self._is_emulator else f"https://oauth2.{endpoints.universe_domain}"
        is_federated = token.startswith("ya29.d.")  # STS describes these; tokeninfo knows the others
        call = Call(
            asked="the introspection at STS" if is_federated else "tokeninfo",
            url=endpoints.token_info_url if is_federated else f"{origin}/tokeninfo",
            form={"token" if is_federated else "access_token": token},
            secrets=(token,),
        )
        try:
            answer = call.fetch_document(self._workshop.transport())
        except RefresherError as error:
            found.problems.append(error.problem)
            return
        names = ("email", "username", "azp", "aud", "scope")
        found.facts += [(name, str(answer[name])) for name in names if name in answer]
        try:
            found.add_life(datetime.fromtimestamp(int(answer["exp"]), UTC), self._now)
        except (KeyError, ValueError, TypeError, OverflowError):
            found.problems.append("Google does not accept it: it is invalid or has expired")


def read_input(path: Path) -> str:
    """Read a regular file of text that is not too large; any other is a `UsageError`."""
    remedy = "use a token, an ADC document, a JWKS, or a credentials directory"
    try:
        return read_regular(path, most=LARGEST)[0].decode()
    except UnsuitableFileError as error:
        raise UsageError(f"{path} is {error}", f"{remedy}; pipe anything else into `refresher inspect -`") from error
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not text", remedy) from None
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}", "use a file that this user may read") from error


def _read_descriptions(directory: Path) -> dict[str, Description]:
    try:
        return parse_descriptions(read_regular(directory / DESCRIPTIONS, most=LARGEST)[0])
    except (OSError, UnsuitableFileError):
        return {}
