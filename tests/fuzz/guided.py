"""`make fuzz-readers`: search for bytes that a reader does not bear, guided by the coverage of our code (atheris).

It runs in an environment of its own, which `make` installs. Each reader has a process of its own, since a search ends
with its first fault: it shows the bytes and keeps them in the corpus, from where `test_readers` reads them from then
on. An input that takes longer than ten seconds is a fault too.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
_LARGEST = 4096
"""Bytes of an input; the limits of size have tests of their own."""


def main(arguments: list[str]) -> int:
    """Search for faults of all readers, or of those that are named; return 1 if there is one."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.guided")
    parser.add_argument("readers", nargs="*", help="Names of readers; all by default.")
    parser.add_argument("--inputs", type=int, default=100_000, help="Inputs to try for each reader; default 100,000.")
    parser.add_argument("--seed", type=int, default=0, help="Where the search begins; 0 chooses at random.")
    parser.add_argument("--here", action="store_true", help="Search in this process, for one reader.")
    options = parser.parse_args(arguments)
    if options.here:
        search(options.readers[0], options.inputs, options.seed)
    names = options.readers or sorted(path.name for path in CORPUS.iterdir())
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        are_faulty = [*pool.map(lambda name: _run(name, options.inputs, options.seed), names)]
    return int(any(are_faulty))


def search(name: str, inputs: int, seed: int) -> None:
    """Search for one reader; the process ends with the search."""
    import atheris  # type: ignore[import-untyped]  # noqa: PLC0415 - of the fuzzer's environment

    with atheris.instrument_imports(include=["refresher", "yaml"]):
        from tests.fuzz.readers import READERS  # noqa: PLC0415 - imported to be instrumented

    with tempfile.TemporaryDirectory(prefix="refresher-fuzz-") as place:
        site, found = Path(place, "site"), Path(place, "found")
        site.mkdir()
        found.mkdir()
        limits = [f"-runs={inputs}", f"-seed={seed}", f"-max_len={_LARGEST}", "-timeout=10", "-rss_limit_mb=2000"]
        kept = [f"-artifact_prefix={CORPUS / name}/found-", f"-dict={HERE / 'words.dict'}", "-print_final_stats=1"]
        read = READERS[name](site)

        def read_one(content: bytes) -> None:
            read(content)

        atheris.Setup([sys.argv[0], str(found), str(CORPUS / name), *limits, *kept], read_one)
        atheris.Fuzz()


def _run(name: str, inputs: int, seed: int) -> bool:
    """Search in a process of its own; print what came of it, and return whether there is a fault."""
    begin = time.monotonic()
    command = [sys.executable, "-m", "tests.fuzz.guided", name, "--here", "--inputs", str(inputs), "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    is_faulty = done.returncode != 0
    verdict = f"FAULT\n{done.stdout[-4000:]}{done.stderr[-4000:]}" if is_faulty else "no fault"
    sys.stdout.write(f"{name}: {inputs} inputs, {time.monotonic() - begin:.0f} s: {verdict}\n")
    sys.stdout.flush()
    return is_faulty


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
