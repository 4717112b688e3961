"""The structure of the modules: formatted, described, in order, protected, and without forbidden elements."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import hcl2
import pytest

from tests.terraform.tool import MODULES, Terraform, copy_of_modules, environment

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Need

FOLDERS = sorted({path.parent for path in MODULES.rglob("versions.tf")})
"""Every module and example."""

LIBRARY = [folder for folder in FOLDERS if "examples" not in folder.parts]
TESTED = [folder for folder in LIBRARY if (folder / "tests").is_dir()]
PIN = 'version = ">= 7.33, < 8"'


def shorten(folder: Path) -> str:
    """Return the name of a folder as a user writes it."""
    return str(folder.relative_to(MODULES))


def parse(path: Path) -> dict[str, Any]:
    """Parse a file."""
    with path.open() as file:
        document: dict[str, Any] = hcl2.load(file)
    return document


def blocks(folder: Path, kind: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the blocks of a kind in all files of a folder, with their labels, in order."""
    found = []
    for path in sorted(folder.glob("*.tf")):
        for block in parse(path).get(kind, []):
            labels = []
            body: Any = block
            while len(body) == 1 and isinstance(next(iter(body.values())), dict):
                label, body = next(iter(body.items()))
                labels.append(label.strip('"'))
            found.append((".".join(labels), body))
    return found


def test_everything_is_formatted(need: Need) -> None:
    """`terraform fmt` changes nothing."""
    need.terraform()
    terraform = Terraform(MODULES, {"PATH": os.environ["PATH"]})

    assert terraform.run("fmt", "-check", "-recursive", "-list=true").status == 0


@pytest.mark.parametrize("folder", FOLDERS, ids=shorten)
def test_folder_has_its_files(folder: Path) -> None:
    """Every module and example has its four files and a README, and requires versions."""
    names = {path.name for path in folder.iterdir()}

    assert names >= {"main.tf", "variables.tf", "outputs.tf", "versions.tf", "README.md"}
    assert PIN in (folder / "versions.tf").read_text()
    assert 'required_version = ">= 1.9"' in (folder / "versions.tf").read_text()


@pytest.mark.parametrize("folder", FOLDERS, ids=shorten)
def test_inputs_and_outputs_are_described_in_order(folder: Path) -> None:
    """Variables have type and description, outputs a description, both in alphabetical order."""
    variables, outputs = blocks(folder, "variable"), blocks(folder, "output")

    assert variables
    assert outputs
    assert [name for name, _ in variables] == sorted(name for name, _ in variables)
    assert [name for name, _ in outputs] == sorted(name for name, _ in outputs)
    assert [name for name, body in variables if not {"type", "description"} <= set(body)] == []
    assert [name for name, body in outputs if "description" not in body] == []
    assert [name for name, body in variables if name == "attribute_condition" and "default" in body] == []


@pytest.mark.parametrize("folder", LIBRARY, ids=shorten)
def test_inputs_are_only_null_when_documented(folder: Path) -> None:
    """An input either has null as its default, which the description explains, or cannot be null."""
    strays = [
        name
        for name, body in blocks(folder, "variable")
        if body.get("nullable") is not False and not _is_nullable(folder, name, body)
    ]

    assert strays == []


@pytest.mark.parametrize("folder", FOLDERS, ids=shorten)
def test_modules_have_no_forbidden_elements(folder: Path) -> None:
    """There are no data sources, provider blocks, backends or secrets, and only an optional authoritative grant."""
    text = "\n".join(path.read_text() for path in folder.glob("*.tf"))
    resources = [name for name, _ in blocks(folder, "resource")]

    assert blocks(folder, "data") == []
    assert blocks(folder, "provider") == []
    assert "backend" not in text
    strays = [name for name in resources if "_iam_policy" in name or "_iam_binding" in name or "_key" in name]
    assert set(strays) <= {"google_service_account_iam_binding.impersonation"}
    assert "principalSet://iam.googleapis.com" not in text


def test_pool_and_provider_are_protected() -> None:
    """Both have a deletion policy that prevents a destroy by default."""
    resources = dict(blocks(MODULES / "modules" / "federation", "resource"))

    for name in ("google_iam_workload_identity_pool.main", "google_iam_workload_identity_pool_provider.main"):
        assert re.search(r'deletion_protection \? "PREVENT" : "DELETE"', str(resources[name]["deletion_policy"]))


@pytest.mark.parametrize("folder", FOLDERS, ids=shorten)
def test_validates(folder: Path, tmp_path: Path, home: Path, need: Need) -> None:
    """`terraform validate` reports nothing."""
    need.terraform()
    terraform = Terraform(copy_of_modules(tmp_path) / folder.relative_to(MODULES), environment(home))
    terraform.init()

    assert "The configuration is valid" in terraform.run("validate", "-no-color").text


@pytest.mark.parametrize("folder", TESTED, ids=shorten)
def test_own_tests_pass(folder: Path, tmp_path: Path, home: Path, need: Need) -> None:
    """`terraform test` runs every run block of the module, with a mocked provider, and all pass."""
    need.terraform()
    terraform = Terraform(copy_of_modules(tmp_path) / folder.relative_to(MODULES), environment(home))
    terraform.init()
    runs = sum(len(re.findall(r'^run "', path.read_text(), re.MULTILINE)) for path in (folder / "tests").iterdir())

    assert f"Success! {runs} passed, 0 failed." in terraform.run("test", "-no-color").text


def test_every_module_has_its_own_tests() -> None:
    """Every module has a `.tftest.hcl`."""
    assert TESTED == LIBRARY


def _is_nullable(folder: Path, name: str, body: dict[str, Any]) -> bool:
    """Return whether null is a documented value of an input: its default, or direct access."""
    text = re.search(rf'variable "{name}" {{\n(.*?)\n}}\n', (folder / "variables.tf").read_text(), re.DOTALL)
    return text is not None and (
        "default     = null" in text[1] or "default = null" in text[1] or "or null for" in text[1]
    )
