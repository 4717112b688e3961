"""The runbooks of docs/terraform.md, run exactly as they are written."""

from __future__ import annotations

import re
from textwrap import dedent
from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

import pytest

from refresher.emulator.state import DEFAULT_NUMBER
from tests.program import PATIENCE
from tests.terraform.test_examples import POOL, apply_example, list_living
from tests.terraform.tool import MODULES, SECONDS

if TYPE_CHECKING:
    from tests.conftest import Act
    from tests.terraform.conftest import Site
    from tests.terraform.tool import Terraform

pytestmark = pytest.mark.timeout(SECONDS)

PLACE = "module.federation.module.federation.google_iam_workload_identity_pool"
BY_ID = "projects/my-project/locations/global/workloadIdentityPools/workers"


def import_pool_and_provider(terraform: Terraform, name: str) -> None:
    """Import pool and provider by the name of the pool."""
    terraform.run("import", "-input=false", f"{PLACE}.main", name)
    terraform.run("import", "-input=false", f"{PLACE}_provider.main", f"{name}/providers/refresher")


def forget(terraform: Terraform) -> None:
    """Remove pool and provider from Terraform's state, as if the state was lost."""
    terraform.run("state", "rm", f"{PLACE}.main", f"{PLACE}_provider.main")


def test_undelete_after_a_destroy(site: Site, act: Act) -> None:
    """After a destroy the pool's id cannot be used; after undelete and import by the project's id, the pool works."""
    terraform = site.root("minimal")
    terraform.apply()
    terraform.destroy()

    refused = terraform.apply(status=1)
    assert "Error 409: Requested entity already exists" in refused.text

    for name in (POOL, f"{POOL}/providers/refresher"):
        _undelete(site, name)
    import_pool_and_provider(terraform, BY_ID)
    replaced = [actions for actions in terraform.plan().values() if "delete" in actions]
    apply_example(site, terraform, "task-alice")
    site.worker.once()

    assert replaced == []
    assert POOL in list_living(site)
    answer = act(site.worker.directory("task-alice"), site.google)
    assert answer["service_account"] == "task-alice@my-project.iam.gserviceaccount.com"


def test_import_needs_the_project_id(site: Site) -> None:
    """An import by the project's id changes nothing; by the project's number, Terraform would replace the pool."""
    terraform = site.root("minimal", deletion_protection=True)
    terraform.apply()

    forget(terraform)
    import_pool_and_provider(terraform, BY_ID)
    by_id = terraform.plan()
    forget(terraform)
    import_pool_and_provider(terraform, POOL)
    by_number = terraform.plan()

    assert [actions for actions in by_id.values() if actions != ["update"]] == []
    assert {"delete", "create"} == {action for actions in by_number.values() for action in actions} - {"update"}
    assert f"projects/{DEFAULT_NUMBER}/" in POOL


def test_disabled_pool_refuses_everyone(site: Site, act: Act) -> None:
    """One change in place disables a pool, and every exchange is refused."""
    terraform = site.root("minimal")
    apply_example(site, terraform, "task-alice")
    site.worker.once()
    main = terraform.place / "main.tf"
    main.write_text(main.read_text().replace("supplier ", "disabled = true\n  supplier "))

    changes = terraform.plan()
    terraform.apply()

    assert changes == {f"{PLACE}.main": ["update"]}
    assert "pool or provider is disabled" in act(site.worker.directory("task-alice"), site.google)["refused"]


def test_move_to_another_issuer(site: Site, act: Act) -> None:
    """At each step of the move the user acts as the same account; at the end only the old pool is gone."""
    terraform = site.root("minimal", deletion_protection=True)
    apply_example(site, terraform, "task-alice")
    site.worker.once()
    directory, account = site.worker.directory("task-alice"), "task-alice@my-project.iam.gserviceaccount.com"
    main = terraform.place / "main.tf"
    call = main.read_text()
    addition, removal = (_at(site, block) for block in _blocks("Move to another issuer"))

    main.write_text(call + addition)
    terraform.init()
    terraform.apply()
    assert act(directory, site.google)["service_account"] == account
    site.write("moved.yaml", terraform.output()["moved_yaml"])
    site.host("task-alice", include=("moved.yaml",))
    site.worker.once()
    assert act(directory, site.google)["service_account"] == account

    terraform.set(deletion_protection=False)
    terraform.apply()
    (terraform.place / "outputs.tf").unlink()
    main.write_text(removal + addition)
    terraform.apply()

    assert terraform.plan() == {}
    assert list_living(site) == [f"{POOL}-2", account]
    assert act(directory, site.google)["service_account"] == account


def _blocks(section: str) -> list[str]:
    """Return the blocks to write in a section of the guide."""
    guide = (MODULES.parent / "docs" / "terraform.md").read_text()
    text = guide.partition(f"### {section}\n")[2].partition("\n## ")[0]
    return [dedent(block) for block in re.findall(r"^ *```hcl\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)]


def _at(site: Site, block: str) -> str:
    """Adapt a block of the guide to the paths of our modules and to the worker's keys."""
    return (
        block.replace("…/terraform/", "../../")
        .replace('file("jwks.json")', "var.jwks")
        .replace("/var/lib/refresher/keys", str(site.worker.place / "keys"))
    )


def _undelete(site: Site, name: str) -> None:
    """Undelete a pool or provider, as gcloud does."""
    request = Request(  # noqa: S310 - the emulator's own origin
        f"{site.google.http}/v1/{name}:undelete",
        data=b"{}",
        headers={"Authorization": "Bearer anything", "Content-Type": "application/json"},
    )
    with urlopen(request, timeout=PATIENCE) as reply:  # noqa: S310 - the emulator's own origin
        assert reply.status == 200
