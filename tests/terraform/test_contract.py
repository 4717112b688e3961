"""Terraform's outputs and the refresher's own models, compared both ways: a new key on either side fails."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from refresher.config.models import Configuration, IdentitySettings, ProviderSettings
from refresher.suppliers.file import FileSettings
from refresher.suppliers.google_id_token import GoogleIdTokenSettings
from refresher.suppliers.registry import KINDS
from refresher.suppliers.self_issued import SelfIssuedSettings
from tests.terraform.test_structure import blocks
from tests.terraform.tool import MODULES, SECONDS, Terraform, environment

if TYPE_CHECKING:
    from pathlib import Path

    from refresher.settings.model import Settings
    from tests.conftest import Need
    from tests.terraform.conftest import Site

pytestmark = pytest.mark.timeout(SECONDS)

HOST = {"directory_root", "google", "include", "listen", "targets", "targets_directory"}
"""Keys of the worker's side of the configuration, which Terraform never writes."""

NOT_OURS = {"credentials"}
"""Paths of files on the host that google-auth reads."""

HAND_WRITTEN = {"shared_identity", "via", "credentials"}
"""Keys of an identity that Terraform never writes: it creates a subject for each, and federates it."""

FULL: dict[str, Any] = {
    "source": "../..",
    "project_id": "my-project",
    "deletion_protection": False,
    "issuer": {"kind": "self_issued", "uri": "https://workers.invalid"},
    "attribute_condition": {"claims": {"fleet": "batch"}},
    "allowed_audiences": ["https://workers.invalid/google"],
    "identities": {
        "task-full": {
            "subject": "user-1",
            "lifetime_seconds": 900,
            "delegates": ["hop-one@my-project.iam.gserviceaccount.com"],
            "scopes": ["https://www.googleapis.com/auth/cloud-platform"],
            "quota_project_id": "my-project",
        }
    },
}
"""The root with every input that reaches the configuration."""

KEY_VERSION = "projects/my-project/locations/global/keyRings/ring/cryptoKeys/key/cryptoKeyVersions/1"

OTHER_KINDS: dict[str, dict[str, Any]] = {
    "kms": {
        "issuer": {"kind": "self_issued", "uri": "https://kms.invalid"},
        "attribute_condition": {"subject_prefix": "k-"},
    },
    "google": {
        "source": "../..",
        "issuer": {"kind": "google"},
        "attribute_condition": {"subjects": ["100000000000000000001"]},
        "identities": {
            "task-google": {
                "subject": "100000000000000000001",
                "source_service_account": "source@my-project.iam.gserviceaccount.com",
            }
        },
    },
    "oidc": {
        "issuer": {"kind": "oidc", "uri": "https://cluster.invalid"},
        "attribute_condition": {"subject_prefix": "u-"},
    },
}
MODELS: dict[str, type[Settings]] = {
    "self_issued": SelfIssuedSettings,
    "google_id_token": GoogleIdTokenSettings,
    "file": FileSettings,
}


def list_keys(model: type[Settings]) -> set[str]:
    """Return the keys of a model."""
    return set(model.model_fields)


@pytest.fixture
def configurations(site: Site) -> list[dict[str, Any]]:
    """Apply the root with everything, and a pool for each other kind of issuer; return the configurations."""
    site.google.add_service_account("hop-one@my-project.iam.gserviceaccount.com")
    place = site.modules / "examples" / "full"
    place.mkdir()
    calls: dict[str, Any] = {"full": {**FULL, "jwks": json.dumps(site.jwks)}}
    for kind, inputs in OTHER_KINDS.items():
        supplier = {"name": kind, "provider_name": kind, "via": "generate_id_token", "kms_key_version": KEY_VERSION}
        calls[kind] = {
            "source": "../../modules/federation",
            "project_id": "my-project",
            "pool_id": f"pool-of-{kind}",
            "deletion_protection": False,
            "supplier": supplier,
            **inputs,
            **({"jwks": json.dumps(site.jwks)} if kind == "kms" else {}),
        }
    outputs = {name: {"value": f"${{module.{name}.refresher_config}}"} for name in calls}
    (place / "variables.tf").write_text("")
    (place / "main.tf.json").write_text(json.dumps({"module": calls, "output": outputs}))
    terraform = site.root("full")
    terraform.apply()
    assert terraform.plan() == {}
    return list(terraform.output().values())


def test_outputs_have_every_key_except_the_hosts_own(site: Site, configurations: list[dict[str, Any]]) -> None:
    """Together the outputs have exactly the keys of the models, except those of the host, and load."""
    suppliers = [supplier for told in configurations for supplier in told["suppliers"].values()]
    identities = [identity for told in configurations for identity in told.get("identities", {}).values()]
    full = next(told for told in configurations if "task-full" in told.get("identities", {}))

    assert set(full) == list_keys(Configuration) - HOST
    assert set(full["providers"]["main"]) == list_keys(ProviderSettings)
    assert set().union(*identities) == list_keys(IdentitySettings) - HAND_WRITTEN
    assert {supplier["kind"] for supplier in suppliers} == set(MODELS)
    assert set(MODELS) <= set(KINDS)
    for kind, model in MODELS.items():
        written = [supplier for supplier in suppliers if supplier["kind"] == kind]
        assert set().union(*written) == list_keys(model) - NOT_OURS

    names = [f"state-{number}.yaml" for number in range(len(configurations))]
    for name, told in zip(names, configurations, strict=True):
        site.write(name, yaml.safe_dump(told))
    site.check_in_three_lines("task-full", include=tuple(names))


def test_root_passes_on_every_input() -> None:
    """The root has every input of the module federation, and each identity every input of the module identity."""
    root = {name for name, _ in blocks(MODULES, "variable")}
    federation = {name for name, _ in blocks(MODULES / "modules" / "federation", "variable")}
    identity = {name for name, _ in blocks(MODULES / "modules" / "identity", "variable")}
    declared = re.search(
        r'variable "identities" {\n(.*?)\n  }\)\)\n', (MODULES / "variables.tf").read_text(), re.DOTALL
    )
    assert declared is not None
    known = set(re.findall(r"^    (\w+) +=", declared[1], re.MULTILINE))

    assert root == federation | {"identities"}
    of_the_root = {"direct", "shared_account"}
    assert known == identity - {"name", "provider_name", "subject_prefix", "supplier_name"} | of_the_root


def test_adc_documents_are_those_of_the_refresher(site: Site) -> None:
    """The ADC documents of the outputs are those that `refresher adc` prints, for both list_kinds of access."""
    site.google.add_bucket("data")
    place = site.modules / "examples" / "adc"
    place.mkdir()
    identities = {
        "task-alice": {"subject": "user-1", "lifetime_seconds": 900, "quota_project_id": "my-project"},
        "reader": {"subject": "user-2", "direct": True, "bucket_roles": {"data": ["roles/storage.objectViewer"]}},
    }
    call = {**FULL, "jwks": json.dumps(site.jwks), "identities": identities}
    outputs = {name: {"value": f"${{module.all.{name}}}"} for name in ("credentials", "refresher_yaml")}
    (place / "variables.tf").write_text("")
    (place / "main.tf.json").write_text(json.dumps({"module": {"all": call}, "output": outputs}))
    terraform = site.root("adc")
    terraform.apply()
    told = terraform.output()
    site.write("federation.yaml", told["refresher_yaml"])
    site.check_in_three_lines("task-alice", "reader")

    for name, document in told["credentials"].items():
        assert json.loads(document) == json.loads(site.worker.command("adc", name).stdout)


def test_schema_is_the_providers(tmp_path: Path, home: Path, need: Need) -> None:
    """Our copy of the schema is the one of the installed provider, whether the stand-in or the real one."""
    need.terraform()
    (tmp_path / "versions.tf").write_text((MODULES / "versions.tf").read_text())
    terraform = Terraform(tmp_path, environment(home))
    terraform.init()
    (told,) = json.loads(terraform.run("providers", "schema", "-json").output)["provider_schemas"].values()
    ours = json.loads((MODULES.parent / "tests" / "terraform" / "schema.json").read_text())

    for name, schema in ours["resource_schemas"].items():
        assert drop_texts(told["resource_schemas"][name]["block"]) == drop_texts(schema["block"])


def drop_texts(block: dict[str, Any]) -> dict[str, Any]:
    """Return a schema block without its texts."""
    attributes = {
        name: {
            key: value for key, value in attribute.items() if not key.startswith("description") and value is not False
        }
        for name, attribute in block.get("attributes", {}).items()
    }
    nested = {
        name: {
            **{key: value for key, value in entry.items() if key != "block" and value},
            "block": drop_texts(entry["block"]),
        }
        for name, entry in block.get("block_types", {}).items()
    }
    return {"attributes": attributes, "block_types": nested}
