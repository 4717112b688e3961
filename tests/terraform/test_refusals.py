"""The inputs that the modules refuse, with the remedy of each refusal: one plan, with one module call per case."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.terraform.refusals import federation, guardrails, identity, root
from tests.terraform.refusals.cases import HOP, OIDC, SECRET, VALID, Case, condition
from tests.terraform.tool import SECONDS, Terraform, copy_of_modules, environment

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Need

pytestmark = [pytest.mark.timeout(SECONDS), pytest.mark.xdist_group("refusals")]
"""One process runs them, so that Terraform plans once."""

ACCOUNTS = (
    "older-account@other-project.iam.gserviceaccount.com",
    "task-alice@my-project.eu0.iam.gserviceaccount.com",
    "task-alice@legacy.example.com.iam.gserviceaccount.com",
    "service-123456789012@gcp-sa-workflows.iam.gserviceaccount.com",
    "123456789012-compute@developer.gserviceaccount.com",
    "my-project@appspot.gserviceaccount.com",
    "123456789012@cloudbuild.gserviceaccount.com",
    "123456789012@cloudservices.gserviceaccount.com",
)
"""Addresses of service accounts that exist at Google; the Terraform provider accepts each."""

CASES = federation.CASES | identity.CASES | guardrails.CASES | root.CASES
ACCEPTED = {
    **{name: Case(name, {}, "", "") for name in VALID},
    **{
        f"email_{number}": Case(
            "identity",
            {"service_account": {"email": email}, "delegates": [HOP], "source_service_account": email},
            "",
            "",
        )
        for number, email in enumerate(ACCOUNTS)
    },
    "delegate_kinds": Case("identity", {"delegates": list(ACCOUNTS), "grant_chain": True}, "", ""),
    "long_subject": Case(
        "identity", {"subject": "user-" + "1" * 127, "drop_subject_prefix": True, "service_account": None}, "", ""
    ),
    "typed_claims": Case("federation", {**OIDC, **condition(claims={"verified": True, "owner_id": "1234"})}, "", ""),
    "domain": Case(
        "root", {"project_id": "example.com:my-project", "identities": {"task-a": {"subject": "user-1"}}}, "", ""
    ),
}
CALLS = ACCEPTED | CASES


@pytest.fixture(scope="module")
def errors_by_case(tmp_path_factory: pytest.TempPathFactory, home: Path, need: Need) -> dict[str, list[str]]:
    """Plan all cases at once; return the errors by case.

    Terraform reports what it finds without planning, and the rest only if there is no such mistake. So the reported
    cases are removed, and the others are planned again.
    """
    need.terraform()
    place = tmp_path_factory.mktemp("refusals")
    modules = copy_of_modules(place)
    for name, case in CALLS.items():
        source = str(modules) if case.module == "root" else str(modules / "modules" / case.module)
        call = {"source": source, **VALID[case.module], **case.inputs}
        if call.get("jwks") is not None:
            (place / f"{name}.jwks").write_text(call["jwks"])
            call["jwks"] = f'${{file("{name}.jwks")}}'
        (place / f"{name}.tf.json").write_text(json.dumps({"module": {name: call}}))
    terraform = Terraform(place, environment(home, "http://127.0.0.1:9"))
    terraform.init()
    found: dict[str, list[str]] = {name: [] for name in CALLS}
    while errors := _errors(_planned(terraform)):
        for name, text in errors:
            found[name].append(text)
        for name in {name for name, _ in errors}:
            (place / f"{name}.tf.json").unlink()
    return found


def _planned(terraform: Terraform) -> str:
    """Plan; return the output, in which no private key may be."""
    output = terraform.run("plan", "-json", "-input=false", "-refresh=false", status=None).output
    assert SECRET not in output, "a private key is printed"
    return output


def _errors(output: str) -> list[tuple[str, str]]:
    """Return the errors of a plan with the case that each belongs to."""
    events = [json.loads(line) for line in output.splitlines()]
    diagnostics = [event["diagnostic"] for event in events if event.get("@level") == "error"]
    return [(_case_of(diagnostic), " ".join(diagnostic["detail"].split())) for diagnostic in diagnostics]


def _case_of(diagnostic: dict[str, Any]) -> str:
    """Find a case by the address of a resource, by the file of its call, or by Terraform's copy of the module.

    What is wrong with an input that a call leaves out has no file: then the message shows the rule's.
    """
    if address := diagnostic.get("address"):
        return str(address).split(".")[1]
    rule = re.search(r"validation rule at (\S+?):", diagnostic["detail"])
    return (
        str(diagnostic["range"]["filename"] or (rule and rule[1]))
        .removeprefix(".terraform/modules/")
        .split("/")[0]
        .split(".")[0]
    )


@pytest.mark.parametrize("name", sorted(CASES))
def test_refusal_has_a_remedy(errors_by_case: dict[str, list[str]], name: str) -> None:
    """An invalid input is refused with our own message, which shows what to do."""
    case = CASES[name]

    assert [text for text in errors_by_case[name] if case.problem in text and case.remedy in text], errors_by_case[name]


@pytest.mark.parametrize("name", ["jwks_text", "jwks_string", "jwks_named", "jwks_beside", "jwks_rsa_bare"])
def test_one_mistake_is_one_message(errors_by_case: dict[str, list[str]], name: str) -> None:
    """A key set with one mistake is refused once."""
    assert len(errors_by_case[name]) == 1


@pytest.mark.parametrize("name", sorted(ACCEPTED))
def test_valid_inputs_are_accepted(errors_by_case: dict[str, list[str]], name: str) -> None:
    """The valid inputs, from which each case differs, and unusual valid ones are accepted."""
    assert errors_by_case[name] == []
