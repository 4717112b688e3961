"""Terraform's outputs and the refresher's own models, compared both ways: a new key on either side fails."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from refresher.config.models import Configuration, IdentitySettings, ProviderSettings
from refresher.suppliers.interface import KINDS, load_kind
from tests.terraform.test_structure import blocks
from tests.terraform.tool import MODULES, SECONDS, Terraform, environment

if TYPE_CHECKING:
    from pathlib import Path

    from refresher.settings.model import Settings
    from tests.conftest import Need
    from tests.terraform.conftest import Site

pytestmark = pytest.mark.timeout(SECONDS)

HOST = {"canary", "directory_root", "google", "include", "listen", "listen_group", "targets", "targets_directory"}
"""Keys of the worker's side of the configuration, which Terraform never writes."""

HAND_WRITTEN = {"canary", "shared_identity", "via", "credentials"}
"""Keys of an identity that Terraform never writes: it creates a subject for each, and federates it."""

KEY_VERSION = "projects/my-project/locations/global/keyRings/ring/cryptoKeys/key/cryptoKeyVersions/1"

FULL: dict[str, Any] = {
    "source": "../..",
    "project_id": "my-project",
    "deletion_protection": False,
    "issuer": {"kind": "self_issued", "uri": "https://workers.invalid"},
    "attribute_condition": {"claims": {"fleet": "batch"}},
    "allowed_audiences": ["https://workers.invalid/google"],
    "supplier": {"keys": "/var/lib/refresher/keys", "lifetime_seconds": 3600},
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

GOOGLE: dict[str, Any] = {
    "issuer": {"kind": "google"},
    "attribute_condition": {"subjects": ["100000000000000000001"]},
    "identities": {
        "task-google": {
            "subject": "100000000000000000001",
            "source_service_account": "source@my-project.iam.gserviceaccount.com",
        }
    },
}
OIDC: dict[str, Any] = {
    "issuer": {"kind": "oidc", "uri": "https://idp.example.com"},
    "attribute_condition": {"claims": {"verified": True}},
}
INPUTS: dict[str, dict[str, Any]] = {
    "self_issued": {
        "issuer": {"kind": "self_issued", "uri": "https://kms.invalid"},
        "attribute_condition": {"subject_prefix": "k-"},
        "supplier": {"kms_key_version": KEY_VERSION},
    },
    "google_id_token": {**GOOGLE, "supplier": {"via": "generate_id_token"}},
    "google_access_token": {**GOOGLE, "identities": {}, "supplier": {"kind": "google_access_token"}},
    "file": {**OIDC, "supplier": {"path": "/run/token"}},
    "client_credentials": {**OIDC, "supplier": {"kind": "client_credentials"}},
    "command": {**OIDC, "supplier": {"kind": "command"}},
    "kubernetes": {**OIDC, "supplier": {"kind": "kubernetes", "lifetime_seconds": 3600}},
    "sign_jwt": {
        **OIDC,
        "supplier": {
            "kind": "sign_jwt",
            "lifetime_seconds": 3600,
            "service_account": "signer@my-project.iam.gserviceaccount.com",
        },
    },
}
"""A pool for each kind of supplier, with every input that reaches the supplier."""

HOSTS_PART: dict[str, set[str]] = {
    "self_issued": {"credentials"},
    "google_id_token": {"credentials"},
    "google_access_token": {"accept_unsupported", "credentials"},
    "file": {"format", "subject_token_field_name"},
    "client_credentials": {
        "authentication",
        "client_id",
        "key_id",
        "parameters",
        "secret_file",
        "secret_variable",
        "token_url",
    },
    "command": {"argv", "environment", "timeout"},
    "kubernetes": {"api_server", "ca_file", "token_file"},
    "sign_jwt": {"credentials"},
}
"""Keys of each kind of supplier that only the host knows: paths, programs, secrets, addresses."""

ADDED: dict[str, dict[str, Any]] = {
    "google_access_token": {"accept_unsupported": True},
    "client_credentials": {"client_id": "worker-17", "secret_variable": "SECRET"},
    "command": {"argv": ["/bin/echo"]},
}
"""The least that a host adds to each kind."""


def list_keys(model: type[Settings]) -> set[str]:
    """Return the keys of a model."""
    return set(model.model_fields)


def test_every_kind_is_here_and_in_the_module() -> None:
    """No kind of supplier is missing in these tables, or in the module's, where `host` stands for all others."""
    text = (MODULES / "modules" / "federation" / "locals.tf").read_text()
    (table,) = re.findall(r"_supplier_kinds = \{\n(.*?)\n  \}", text, re.DOTALL)

    assert set(re.findall(r'"(\w+)"', table)) - {"host"} == set(KINDS)
    assert set(INPUTS) == set(HOSTS_PART) == set(KINDS)


@pytest.fixture
def configurations(site: Site) -> list[dict[str, Any]]:
    """Apply the root with everything, and a pool for each kind of supplier; return the configurations."""
    site.google.add_service_account("hop-one@my-project.iam.gserviceaccount.com")
    place = site.modules / "examples" / "full"
    place.mkdir()
    calls: dict[str, Any] = {"full": {**FULL, "jwks": json.dumps(site.jwks)}}
    for kind, inputs in INPUTS.items():
        calls[kind] = {
            "source": "../..",
            "project_id": "my-project",
            "pool_id": f"pool-of-{kind}".replace("_", "-"),
            "deletion_protection": False,
            "enable_services": False,
            **inputs,
            "supplier": {"name": kind, "provider_name": kind, **inputs["supplier"]},
            **({"jwks": json.dumps(site.jwks)} if kind == "self_issued" else {}),
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
    identities = [identity for told in configurations for identity in told["identities"].values()]
    full = next(told for told in configurations if "task-full" in told["identities"])

    assert set(full) == list_keys(Configuration) - HOST
    assert set(full["providers"]["main"]) == list_keys(ProviderSettings)
    assert set().union(*identities) == list_keys(IdentitySettings) - HAND_WRITTEN
    for kind, model in ((kind, load_kind(kind)) for kind in KINDS):
        written = [supplier for supplier in suppliers if supplier["kind"] == kind]
        assert set().union(*written) == list_keys(model) - HOSTS_PART[kind], kind
    assert [supplier["claims"] for supplier in suppliers if supplier["kind"] == "sign_jwt"] == [{"verified": True}]

    names = [f"state-{number}.yaml" for number in range(len(configurations))]
    for name, told in zip(names, configurations, strict=True):
        site.write(name, yaml.safe_dump(told))
    site.write_host({"version": 1, "include": names, "suppliers": ADDED, "targets": {"task-full": {}}})
    site.worker.command("check")


def test_host_may_have_the_whole_supplier(site: Site) -> None:
    """With the kind `host`, the output has the supplier's name alone, and a host's own supplier of any kind fits."""
    terraform = site.call("named", supplier={"kind": "host"}, outputs=("refresher_yaml",), deletion_protection=False)
    terraform.apply()
    told = terraform.output()["refresher_yaml"]
    site.write("federation.yaml", told)

    assert "suppliers" not in yaml.safe_load(told)
    for supplier in ({"kind": "file", "path": "/run/token"}, {"kind": "command", "argv": ["/bin/echo"]}):
        site.supplier = {**supplier, "provider": "main"}
        assert f"from worker ({supplier['kind']})" in site.check("task-alice")


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
    of_the_pool = {"drop_subject_prefix", "pool_name", "provider_name", "subject_prefix", "supplier_name"}
    decided_by_the_root = {"grant_chain", "name"}
    assert known == identity - of_the_pool - decided_by_the_root | of_the_root


def test_adc_documents_are_those_of_the_refresher(site: Site) -> None:
    """The ADC documents of the outputs are those that `refresher adc` prints, for both kinds of access."""
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
    site.supplier = {}
    terraform.apply()
    told = terraform.output()
    site.write("federation.yaml", told["refresher_yaml"])
    site.check("task-alice", "reader")

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
