"""The runbooks of docs/terraform.md, run exactly as they are written."""

from __future__ import annotations

import re
from textwrap import dedent
from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

import pytest

from refresher.emulator.state import DEFAULT_NUMBER
from tests.program import PATIENCE
from tests.terraform.test_examples import CREATOR, POOL, apply_example, list_grants, list_living
from tests.terraform.tool import MODULES, SECONDS, replace_source

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Act
    from tests.terraform.conftest import Site
    from tests.terraform.tool import Terraform

pytestmark = pytest.mark.timeout(SECONDS)

PLACE = "module.federation.module.federation.google_iam_workload_identity_pool"
ENTRY = 'task-alice = { subject = "user-1042" }'
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
    by_id = terraform.plan_resources()
    forget(terraform)
    import_pool_and_provider(terraform, POOL)
    by_number = terraform.plan_resources()

    assert [actions for actions in by_id.values() if actions != ["update"]] == []
    assert {"delete", "create"} == {action for actions in by_number.values() for action in actions} - {"update"}
    assert f"projects/{DEFAULT_NUMBER}/" in POOL


def test_disabled_pool_refuses_everyone(site: Site, act: Act) -> None:
    """One change in place disables a pool, and every exchange is refused."""
    terraform = site.root("minimal")
    apply_example(site, terraform, "task-alice")
    site.worker.once()
    main = terraform.place / "main.tf"
    main.write_text(main.read_text().replace("  jwks ", "  disabled = true\n  jwks "))

    changes = terraform.plan()
    terraform.apply()

    assert changes == {f"{PLACE}.main": ["update"]}
    assert "pool or provider is disabled" in act(site.worker.directory("task-alice"), site.google)["refused"]


def test_add_a_claim(site: Site, act: Act) -> None:
    """At each step the user can act, with the tokens before and after it; at the end the claim is required."""
    terraform, main = _apply_one_user(site)
    directory = site.worker.directory("task-alice")
    bare = (directory / "token").read_text()
    mint, require = _blocks("Add a claim without a gap")

    _set_inputs(main, mint)
    _hand_over(site, terraform)
    assert _acts_with(site, act, bare)
    site.worker.once("--force")
    minted = (directory / "token").read_text()
    assert _acts_with(site, act, minted)

    _set_inputs(main, require)
    _hand_over(site, terraform)
    site.worker.once()
    assert _acts_with(site, act, minted)
    assert not _acts_with(site, act, bare)


def test_change_a_claim(site: Site, act: Act) -> None:
    """While a value changes, tokens with the former and with the new value are accepted; at the end only the new."""
    terraform, main = _apply_one_user(site)
    _set_inputs(main, _blocks("Add a claim without a gap")[1])
    _hand_over(site, terraform)
    site.worker.once("--force")
    directory = site.worker.directory("task-alice")
    former = (directory / "token").read_text()
    accept_both, drop = _blocks("Change a claim without a gap")

    _set_inputs(main, accept_both)
    terraform.apply()
    assert _acts_with(site, act, former)
    _hand_over(site, terraform)
    site.worker.once("--force")
    new = (directory / "token").read_text()
    assert _acts_with(site, act, former)
    assert _acts_with(site, act, new)

    _set_inputs(main, drop)
    terraform.apply()
    assert not _acts_with(site, act, former)
    assert _acts_with(site, act, new)


def test_remove_a_user(site: Site) -> None:
    """First the deletion of the account is allowed, and nothing else changes; then it is deleted with its entry."""
    terraform = site.root("minimal", deletion_protection=True)
    terraform.apply()
    main = terraform.place / "main.tf"
    (allowed,) = _blocks("Remove a user")

    main.write_text(main.read_text().replace(ENTRY, allowed))
    changes = terraform.plan_resources()
    terraform.apply()
    main.write_text(main.read_text().replace(allowed, ""))
    terraform.apply()

    assert set(map(tuple, changes.values())) == {("update",)}
    assert list_living(site) == [POOL]


def test_rename_a_user(site: Site) -> None:
    """The account and its grants stay as they are, with the name of the identity alone changed."""
    terraform = site.root("minimal", deletion_protection=True)
    terraform.apply()
    main = terraform.place / "main.tf"
    before = {email: (found.unique_id, found.bindings) for email, found in site.google.state.service_accounts.items()}
    block, entry = _blocks("Rename a user")

    main.write_text(main.read_text().replace(ENTRY, entry) + block)
    changes = terraform.plan_resources()
    terraform.apply()

    assert {action for actions in changes.values() for action in actions} == {"update"}
    state = site.google.state.service_accounts
    assert {email: (found.unique_id, found.bindings) for email, found in state.items()} == before
    assert "task-ann" in terraform.output()["refresher_yaml"]


def test_move_to_another_issuer(site: Site, act: Act) -> None:
    """At each step of the move the user acts as the same account, with its roles; at the end the old pool is gone."""
    terraform = site.root("minimal", deletion_protection=True)
    roles = site.google.add_bucket("data").policy
    main = terraform.place / "main.tf"
    call = main.read_text().replace(
        ENTRY,
        ENTRY.replace("}", ', signing = true, bucket_roles = { data = ["roles/storage.objectViewer"] } }'),
    )
    main.write_text(call)
    apply_example(site, terraform, "task-alice")
    site.worker.once()
    directory, account = site.worker.directory("task-alice"), "task-alice@my-project.iam.gserviceaccount.com"
    granted = [(binding.role, set(binding.members)) for binding in roles.bindings]
    addition, removal = (replace_source(block) for block in _blocks("Move to another issuer"))

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

    assert granted == [("roles/storage.objectViewer", {f"serviceAccount:{account}"})]
    assert [(binding.role, set(binding.members)) for binding in roles.bindings] == granted
    assert (CREATOR, f"serviceAccount:{account}") in list_grants(site.google.state.service_accounts[account])
    assert terraform.plan() == {}
    assert list_living(site) == [f"{POOL}-2", account]
    assert act(directory, site.google)["service_account"] == account


def _blocks(section: str) -> list[str]:
    """Return the blocks to write in a section of the guide."""
    guide = (MODULES.parent / "docs" / "terraform.md").read_text()
    text = re.split(r"\n##+ ", guide.partition(f"### {section}\n")[2])[0]
    return [dedent(block) for block in re.findall(r"^ *```hcl\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)]


def _apply_one_user(site: Site) -> tuple[Terraform, Path]:
    """Apply the smallest example and publish; return it with the file of its call."""
    terraform = site.root("minimal")
    apply_example(site, terraform, "task-alice")
    site.worker.once()
    return terraform, terraform.place / "main.tf"


def _set_inputs(main: Path, block: str) -> None:
    """Replace the inputs of a call by those of a block of the guide."""
    names = re.findall(r"^(\w+) +=", block, re.MULTILINE)
    kept = re.sub(rf"^ *({'|'.join(names)}) += .*\n", "", main.read_text(), flags=re.MULTILINE)
    main.write_text(kept.replace("  identities = {", f"{block}\n  identities = {{"))


def _hand_over(site: Site, terraform: Terraform) -> None:
    """Apply, and copy the output to the host."""
    terraform.apply()
    assert terraform.plan() == {}
    site.write("federation.yaml", terraform.output()["refresher_yaml"])


def _acts_with(site: Site, act: Act, token: str) -> bool:
    """Return whether a user with this token, and no other, can act as the account."""
    path = site.worker.directory("task-alice") / "token"
    published, mode = path.read_text(), path.stat().st_mode
    path.chmod(0o600)
    path.write_text(token)
    try:
        answer = act(site.worker.directory("task-alice"), site.google)
    finally:
        path.write_text(published)
        path.chmod(mode)
    assert "service_account" in answer or "rejected by the attribute condition" in answer["refused"]
    return "service_account" in answer


def _undelete(site: Site, name: str) -> None:
    """Undelete a pool or provider, as gcloud does."""
    request = Request(  # noqa: S310 - the emulator's own origin
        f"{site.google.http}/v1/{name}:undelete",
        data=b"{}",
        headers={"Authorization": "Bearer anything", "Content-Type": "application/json"},
    )
    with urlopen(request, timeout=PATIENCE) as reply:  # noqa: S310 - the emulator's own origin
        assert reply.status == 200
