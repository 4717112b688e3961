"""What lies beside a token: its documents, its variables and `artifacts.json`, each written only where it is wrong.

When and in which order is `refresher.engine.refresh`'s; further artifacts are minted in `refresher.engine.artifacts`.
All of it raises `PublishError` where the directory cannot be read or written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from refresher.publishing import descriptions
from refresher.publishing.contents import CREDENTIALS, DESCRIPTIONS, ENVIRONMENT, TOKEN, describe
from refresher.publishing.directory import is_in_place
from refresher.publishing.further import BOTO

if TYPE_CHECKING:
    from collections.abc import Mapping

    from refresher.engine.target import Target
    from refresher.publishing.contents import Contents
    from refresher.publishing.descriptions import Description
    from refresher.publishing.directory import OpenDirectory
    from refresher.tokens import SubjectToken


class Settling:
    """Puts one target's files right during one refresh.

    Attributes:
        wrote: Whether a file was replaced.
        repaired: Artifacts put right that had drifted.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self.wrote = False
        self.repaired: list[str] = []

    def settle(self, directory: OpenDirectory, name: str, contents: Contents) -> None:
        """Write an artifact unless it is in place with its owner and mode."""
        artifact, wanted = {
            CREDENTIALS: lambda: (contents.credentials, self._target.credentials),
            ENVIRONMENT: lambda: (contents.environment, self._target.environment),
            TOKEN: lambda: (contents.token, contents.token.content or b""),
        }[name]()
        if is_in_place(artifact, wanted, directory.ownership):
            return
        directory.publish(name, wanted)
        self.wrote = True
        if artifact.signature is not None or artifact.problem is not None:
            self.repaired.append(name)

    def settle_documents(self, directory: OpenDirectory, contents: Contents) -> None:
        """Put `credentials.json` right, and `boto` if there is to be one."""
        self.settle(directory, CREDENTIALS, contents)
        wanted = self._target.boto
        if wanted is not None and not is_in_place(directory.read_further(BOTO), wanted, directory.ownership):
            directory.publish(BOTO, wanted)
            self.wrote = True

    def settle_descriptions(self, directory: OpenDirectory, contents: Contents, token: SubjectToken) -> None:
        """Keep `artifacts.json` where something is described in it: a token that does not tell all, minted artifacts.

        What else is there is withdrawn with what describes it.
        """
        described = self._describe(token)
        if not self._is_described_otherwise(contents, described) and not self._unwanted(directory):
            return
        for name in self._unwanted(directory):
            directory.withdraw(name)
        entries = descriptions.parse(contents.descriptions.content)
        kept = {name: entries[name] for name in self._minted if name in entries} | described
        if kept:
            directory.publish(DESCRIPTIONS, descriptions.render(kept))
        else:
            directory.withdraw(DESCRIPTIONS)

    def _is_described_otherwise(self, contents: Contents, described: Mapping[str, Description]) -> bool:
        """Tell whether `artifacts.json` is to be written or withdrawn; who mints adds entries himself."""
        artifact = contents.descriptions
        if artifact.signature is None and artifact.problem is None:
            return bool(described)
        entries = descriptions.parse(artifact.content)
        return (
            not is_in_place(artifact, descriptions.render(entries), self._target.directory.ownership)
            or not entries
            or {name: entry for name, entry in entries.items() if name not in self._minted} != described
        )

    def _describe(self, token: SubjectToken) -> dict[str, Description]:
        """Give the entry of a token that cannot tell its own life, or whom it was supplied for."""
        request = self._target.token_request
        if request is None and token.unverified_claims is not None:
            return {}
        return {TOKEN: describe(token, request)}

    @property
    def _minted(self) -> tuple[str, ...]:
        return tuple(artifact.name for artifact in self._target.minted)

    def _unwanted(self, directory: OpenDirectory) -> list[str]:
        wanted = {*self._minted, *([] if self._target.boto is None else [BOTO])}
        return [name for name in directory.present() if name not in wanted]
