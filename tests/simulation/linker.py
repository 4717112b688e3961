"""Load the shipped code of the product linked with other modules of the system.

A program is linked with an operating system. Here the same source files, byte for byte, are linked with a simulated
one: in a module of the product `import os` finds what the simulation offers under that name. Nothing is patched: the
real modules stay as they are for everything else in this process, and a process of the simulation imports the product
only in this way.
"""

import builtins
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

PRODUCT = "refresher"


class _LinkedLoader(SourceFileLoader):
    """Runs a module's code with an import function of its own."""

    def __init__(self, name: str, path: str, names: dict[str, Any]) -> None:
        super().__init__(name, path)
        self._names = names

    def exec_module(self, module: ModuleType) -> None:
        """Run the code of a module with these built-in names."""
        module.__dict__["__builtins__"] = self._names
        super().exec_module(module)


class Linker(MetaPathFinder):
    """Finds the modules of the product, and links each of them with other ones.

    Args:
        offered: What an import in the product finds, by name.
    """

    def __init__(self, offered: Mapping[str, ModuleType]) -> None:
        self._offered = dict(offered)
        self._names = {**vars(builtins), "__import__": self._import}

    def install(self) -> None:
        """Link every module of the product that this process imports from now on.

        Raises:
            RuntimeError: The process has imported the product before.
        """
        if PRODUCT in sys.modules:
            raise RuntimeError(f"{PRODUCT} is linked with the real system in this process: start another one")
        sys.meta_path.insert(0, self)

    def check(self) -> None:
        """Check that the product's code has found what is offered.

        Raises:
            RuntimeError: It is linked with the real system.
        """
        module = sys.modules.get(f"{PRODUCT}.files")
        if module is None or module.__dict__.get("os") is not self._offered["os"]:
            raise RuntimeError(f"{PRODUCT} is not linked with the simulated machine")

    def offer(self, module: ModuleType) -> None:
        """Offer one more module under its name."""
        self._offered[module.__name__] = module

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module of the product."""
        if fullname.partition(".")[0] != PRODUCT:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _LinkedLoader(fullname, spec.loader.path, self._names)
        return spec

    def _import(
        self,
        name: str,
        names: Mapping[str, object] | None = None,
        local_names: Mapping[str, object] | None = None,
        wanted: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        if level == 0 and (found := self._offered.get(name)) is not None:
            return found
        return builtins.__import__(name, names, local_names, wanted or (), level)
