"""Signing keys are rotated through Terraform, in the documented order: add, wait, switch, wait, drop."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.terraform.test_examples import POOL, apply_example
from tests.terraform.tool import SECONDS

if TYPE_CHECKING:
    from tests.conftest import Act, Need
    from tests.terraform.conftest import Site
    from tests.terraform.tool import Terraform

pytestmark = pytest.mark.timeout(SECONDS)

PROVIDER = "module.federation.module.federation.google_iam_workload_identity_pool_provider.main"


def keys(site: Site, *command: str) -> str:
    """Run a command of `refresher keys`; return the JWKS for the upload."""
    return site.worker.run("keys", *command, "--directory", str(site.worker.place / "keys")).stdout


def list_kids(jwks: str) -> list[str]:
    """Return the ids of the keys of a set."""
    return [key["kid"] for key in json.loads(jwks)["keys"]]


def upload(site: Site, terraform: Terraform, jwks: str) -> None:
    """Apply other keys; the plan must show them, and only change the provider in place."""
    before = (terraform.place / "jwks.json").read_text()
    (terraform.place / "jwks.json").write_text(jwks)
    assert terraform.plan() == {PROVIDER: ["update"]}
    shown = terraform.run("show", "-no-color", "plan.bin").output
    assert "(sensitive value)" not in shown
    assert [kid for kid in list_kids(jwks) + list_kids(before) if kid not in shown] == []
    terraform.apply()
    assert site.google.state.pools[POOL].providers["refresher"].jwks == json.loads(jwks)


def test_keys_rotate_without_a_gap(site: Site, act: Act, need: Need) -> None:
    """The user can act at every step; at the end only the new key is trusted, and a token of the old key is refused."""
    terraform = site.root("minimal")
    apply_example(site, terraform, "task-alice")
    site.worker.once()
    directory = site.worker.directory("task-alice")
    account = "task-alice@my-project.iam.gserviceaccount.com"
    old_token = (directory / "token").read_text()

    upload(site, terraform, keys(site, "rotate"))
    site.worker.once("--force")
    assert act(directory, site.google)["service_account"] == account

    keys(site, "activate", "--lifetime", "2s")
    site.worker.once("--force")
    assert act(directory, site.google)["service_account"] == account

    site.worker.prefix = [need.tool("faketime", "apt-get install faketime"), "-f", "+20m"]
    upload(site, terraform, keys(site, "retire"))
    assert len(list_kids((terraform.place / "jwks.json").read_text())) == 1
    assert act(directory, site.google)["service_account"] == account

    (directory / "token").chmod(0o600)
    (directory / "token").write_text(old_token)
    assert "refused" in act(directory, site.google)
