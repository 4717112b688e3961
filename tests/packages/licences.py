"""The licences of all that a worker runs, with their texts: `python -m tests.packages.licences LIBRARY` prints them.

`make sbom` writes them next to the bill of materials. They are read from the installed distributions, so that none that
is pinned later is forgotten.
"""

from __future__ import annotations

import sys
from importlib.metadata import Distribution, distributions

_TEXTS = ("LICENSE", "LICENCE", "COPYING", "NOTICE", "AUTHORS")


def name_licence(distribution: Distribution) -> str:
    """Return the licence that a distribution declares: its expression, else its classifiers, else its own words."""
    metadata = distribution.metadata
    classifiers = [line.rpartition(" :: ")[2] for line in metadata.get_all("Classifier", []) if "License ::" in line]
    return metadata["License-Expression"] or ", ".join(classifiers) or (metadata["License"] or "").partition("\n")[0]


def read_texts(distribution: Distribution) -> list[str]:
    """Return the texts of the licence that a distribution comes with.

    Raises:
        LookupError: It has none.
    """
    files = [file for file in distribution.files or () if file.name.upper().startswith(_TEXTS)]
    texts = [file.read_text().strip() for file in files if ".dist-info" in str(file)]
    if not texts:
        raise LookupError(f"{distribution.name} has no text of its licence")
    return texts


def list_licences(library: str) -> str:
    """Return name, version, licence and texts of each distribution in a directory, sorted by name."""
    found = sorted(distributions(path=[library]), key=lambda each: each.name.lower())
    parts = []
    for each in found:
        parts += [f"{each.name} {each.version}: {name_licence(each)}\n", *read_texts(each), f"\n{'-' * 78}\n"]
    return "\n".join(parts)


if __name__ == "__main__":
    sys.stdout.write(list_licences(sys.argv[1]))
