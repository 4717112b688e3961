"""The inputs that the modules refuse, with the remedy of each refusal: one plan, with one module call per case."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.terraform.tool import Terraform, copy_of_modules, environment

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Need

EC_KEY = {"kty": "EC", "crv": "P-256", "kid": "one", "x": "x" * 43, "y": "y" * 43, "use": "sig", "alg": "ES256"}
RSA_KEY = {"kty": "RSA", "kid": "two", "n": "n" * 342, "e": "AQAB"}
PROVIDER = "projects/123456789012/locations/global/workloadIdentityPools/workers/providers/refresher"
LONG = "x" * 257
POWERFUL = (
    "cloudbuild.builds.builder",
    "deploymentmanager.editor",
    "iam.roleAdmin",
    "iam.securityAdmin",
    "iam.serviceAccountAdmin",
    "iam.serviceAccountKeyAdmin",
    "iam.serviceAccountTokenCreator",
    "iam.serviceAccountUser",
    "iam.workloadIdentityPoolAdmin",
    "resourcemanager.folderAdmin",
    "resourcemanager.organizationAdmin",
    "resourcemanager.projectIamAdmin",
)
"""Roles whose holder can act as every account of a project, or can grant itself what it lacks."""
AS_TASK_A = {"service_account": {"email": "task-a@my-project.iam.gserviceaccount.com"}}
SECRET = "-----BEGIN PRIVATE KEY-----"


def jwks(*keys: dict[str, Any]) -> str:
    """Return a key set in Terraform's form."""
    return json.dumps({"keys": keys})


VALID: dict[str, dict[str, Any]] = {
    "federation": {
        "project_id": "my-project",
        "issuer": {"kind": "self_issued", "uri": "https://workers.invalid"},
        "jwks": jwks(EC_KEY, RSA_KEY),
        "attribute_condition": {"subject_prefix": "user-"},
    },
    "identity": {
        "name": "task-alice",
        "project_id": "my-project",
        "provider_name": PROVIDER,
        "subject": "user-1042",
        "subject_prefix": "user-",
        "project_roles": {"my-project": ["roles/bigquery.jobUser", "roles/iam.securityReviewer"]},
    },
    "guardrails": {"project_ids": ["my-project"]},
    "root": {
        "project_id": "my-project",
        "issuer": {"kind": "self_issued", "uri": "https://workers.invalid"},
        "jwks": jwks(EC_KEY),
        "attribute_condition": {"subject_prefix": "user-"},
        "identities": {
            "task-alice": {"subject": "user-1042"},
            "task-a": {"subject": "user-1", "shared_account": True},
            "task-b": {"subject": "user-2", "shared_account": True, **AS_TASK_A},
        },
    },
}
"""Valid inputs of each module."""


@dataclass(frozen=True)
class Case:
    """A module called with one invalid input.

    Attributes:
        module: The module.
        inputs: The inputs that replace the valid ones.
        problem: The beginning of the message.
        remedy: The remedy in the message.
    """

    module: str
    inputs: dict[str, Any]
    problem: str
    remedy: str


def federation(problem: str, remedy: str, **inputs: Any) -> Case:  # noqa: ANN401 - any value of Terraform's
    """Return a case of the module federation."""
    return Case("federation", inputs, problem, remedy)


def identity(problem: str, remedy: str, **inputs: Any) -> Case:  # noqa: ANN401 - any value of Terraform's
    """Return a case of the module identity."""
    return Case("identity", inputs, problem, remedy)


def guardrails(problem: str, remedy: str, **inputs: Any) -> Case:  # noqa: ANN401 - any value of Terraform's
    """Return a case of the module guardrails."""
    return Case("guardrails", inputs, problem, remedy)


def root(problem: str, remedy: str, **inputs: Any) -> Case:  # noqa: ANN401 - any value of Terraform's
    """Return a case of the root."""
    return Case("root", inputs, problem, remedy)


def self_issued(uri: str) -> dict[str, Any]:
    """Return an issuer with our own key."""
    return {"issuer": {"kind": "self_issued", "uri": uri}}


def condition(**parts: Any) -> dict[str, Any]:  # noqa: ANN401 - any value of Terraform's
    """Return a condition."""
    return {"attribute_condition": parts}


GOOGLE: dict[str, Any] = {"issuer": {"kind": "google"}, "jwks": None, **condition(subjects=["123456789012345678901"])}

CASES = {
    "project_number": federation("project_id is not a project id", "not the number", project_id="123456789012"),
    "project_name": federation("project_id is not a project id", "not the display name", project_id="My Project"),
    "pool_short": federation("pool_id is not 4 to 32 characters", "rename it", pool_id="abc"),
    "pool_long": federation("pool_id is not 4 to 32 characters", "rename it", pool_id="a" * 33),
    "pool_reserved": federation("pool_id is not 4 to 32 characters", "do not begin with gcp-", pool_id="gcp-pool"),
    "pool_digit": federation("pool_id is not 4 to 32 characters", "begin with a letter", pool_id="1pool"),
    "pool_dash": federation("pool_id is not 4 to 32 characters", "end without a dash", pool_id="pool-"),
    "pool_name": federation("pool_id is not", "the id alone", pool_id="projects/1/locations/global/x"),
    "provider_case": federation("provider_id is not 4 to 32 characters", "rename it", provider_id="Refresher"),
    "provider_reserved": federation("provider_id is not", "do not begin with gcp-", provider_id="gcp-main"),
    "default_project": federation("default_project_id is not a project id", "use the id", default_project_id="1234567"),
    "display_name": federation("display_name is longer than 32 characters", "shorten it", display_name="x" * 33),
    "description": federation("description is longer than 256 characters", "shorten it", description=LONG),
    "issuer_kind": federation("issuer.kind is not one of", "choose one", issuer={"kind": "aws", "uri": "https://a.b"}),
    "issuer_missing": federation("issuer.uri is missing", "set it to the iss claim", issuer={"kind": "oidc"}),
    "issuer_http": federation(
        "issuer.uri is not an https URL", "exactly as the iss", **self_issued("http://a.invalid")
    ),
    "issuer_query": federation(
        "issuer.uri is not an https URL", "without query", **self_issued("https://a.invalid/?x=1")
    ),
    "issuer_text": federation("issuer.uri is not an https URL", "exactly", **self_issued("garbage")),
    "issuer_google": federation(
        "issuer.uri is Google's own",
        "use the kind google",
        issuer={"kind": "oidc", "uri": "https://accounts.google.com"},
    ),
    "issuer_foreign": federation(
        "issuer.uri of a self-issued key is in a domain that belongs to others",
        "below .invalid",
        **self_issued("https://us.github.io"),
    ),
    "issuer_example": federation(
        "issuer.uri of a self-issued key is in a domain", "use your own domain", **self_issued("https://example.com")
    ),
    "issuer_bare": federation(
        "issuer.uri of a self-issued key is not a domain name", "below .invalid", **self_issued("https://workers")
    ),
    "issuer_address": federation(
        "issuer.uri of a self-issued key is not a domain name", "use your own domain", **self_issued("https://10.0.0.1")
    ),
    "jwks_missing": federation("jwks is missing", "refresher keys jwks", jwks=None),
    "jwks_text": federation("jwks is not a JSON key set", "as it is", jwks="nope"),
    "jwks_other": federation("jwks is not a JSON key set", "refresher keys jwks", jwks='{"kty": "EC"}'),
    "jwks_empty": federation("jwks holds no key", "keep at least one key", jwks=jwks()),
    "jwks_nine": federation(
        "jwks holds more than 8 keys",
        "refresher keys retire",
        jwks=jwks(*({**EC_KEY, "kid": str(n)} for n in range(9))),
    ),
    "jwks_private": federation("jwks holds a private key", "treat it as stolen", jwks=jwks({**EC_KEY, "d": "ZA"})),
    "jwks_secret": federation("jwks holds a private key", "create a new one", jwks=jwks({**EC_KEY, "k": "aw"})),
    "jwks_beside": root(
        "jwks has members other than keys", "upload only", jwks=json.dumps({"keys": [EC_KEY], "private": SECRET})
    ),
    "jwks_member": root("jwks holds a key with other members", "upload only", jwks=jwks({**EC_KEY, "pem": SECRET})),
    "jwks_kid": root("jwks holds a key without kid", "set a kid for each", jwks=jwks({**EC_KEY, "kid": SECRET})),
    "jwks_mixed": root("jwks holds an RSA key whose members", "upload only", jwks=jwks({**RSA_KEY, "x": SECRET})),
    "jwks_rsa_bare": federation("jwks holds an RSA key whose", "n and e", jwks=jwks({"kty": "RSA", "kid": "a"})),
    "jwks_ec_bare": federation(
        "jwks holds an EC key whose", "x and y", jwks=jwks({"kty": "EC", "crv": "P-256", "kid": "a"})
    ),
    "jwks_named": federation("jwks is not a JSON key set", "as it is", jwks=json.dumps({"keys": {"a": EC_KEY}})),
    "jwks_string": federation("jwks is not a JSON key set", "as it is", jwks='{"keys": "abc"}'),
    "jwks_alg": federation("jwks holds a key whose alg", "leave alg out", jwks=jwks({**EC_KEY, "alg": "HS256"})),
    "jwks_use": federation("jwks holds a key whose use", "the keys that sign", jwks=jwks({**EC_KEY, "use": "enc"})),
    "claims_reserved": federation("is a reserved word of CEL", "rename the claim", **condition(claims={"in": "x"})),
    "jwks_okp": federation("jwks holds a key that is neither", "create another", jwks=jwks({**EC_KEY, "kty": "OKP"})),
    "jwks_curve": federation("jwks holds a key that is neither", "P-256", jwks=jwks({**EC_KEY, "crv": "P-384"})),
    "jwks_small": federation("jwks holds an RSA key below", "create a larger", jwks=jwks({**RSA_KEY, "n": "n" * 171})),
    "jwks_nameless": federation("jwks holds a key without kid", "set a kid for each", jwks=jwks({**EC_KEY, "kid": ""})),
    "jwks_twice": federation("jwks has a kid twice", "remove one", jwks=jwks(EC_KEY, {**EC_KEY, "x": "y" * 43})),
    "jwks_certificate": federation(
        "jwks holds certificates", "remove these members", jwks=jwks({**EC_KEY, "x5c": ["a"]})
    ),
    "jwks_of_google": federation("jwks is set for Google's own", "leave it out", **{**GOOGLE, "jwks": jwks(EC_KEY)}),
    "condition_none": federation("attribute_condition admits every user", "set claims", **condition()),
    "condition_quote": federation(
        "attribute_condition.subject_prefix is not", "fixed text", **condition(subject_prefix="u' || true || '")
    ),
    "condition_star": federation(
        "attribute_condition.subject_prefix is not", "wildcards are not supported", **condition(subject_prefix="user-*")
    ),
    "condition_short": federation(
        "attribute_condition.subject_prefix is not 2", "choose", **condition(subject_prefix="")
    ),
    "claim_name": federation(
        "A name in attribute_condition.claims", "rename the claim", **condition(claims={"Fleet-1": "a"})
    ),
    "claim_reserved": federation(
        "attribute_condition.claims lists iss", "use subject_prefix", **condition(claims={"sub": "a"})
    ),
    "claim_value": federation(
        "A value in attribute_condition.claims", "exact constant", **condition(claims={"fleet": "a' || '"})
    ),
    "claim_empty": federation(
        "A value in attribute_condition.claims", "exact constant", **condition(claims={"fleet": ""})
    ),
    "subjects_listed": federation(
        "attribute_condition.subjects is for Google-signed",
        "does not change the provider",
        **condition(subjects=["1234567890"]),
    ),
    "subjects_email": federation(
        "An entry of attribute_condition.subjects is not a numeric id",
        "unique id",
        **{**GOOGLE, **condition(subjects=["a@b.iam.gserviceaccount.com"])},
    ),
    "subjects_many": federation(
        "attribute_condition.subjects holds more than 100",
        "fewer accounts",
        **{**GOOGLE, **condition(subjects=[str(10**12 + n) for n in range(101)])},
    ),
    "google_open": federation(
        "accounts.google.com signs for every", "list the unique ids", **{**GOOGLE, **condition(subject_prefix="1234")}
    ),
    "condition_long": federation(
        "The attribute condition is longer than 4,096",
        "fewer claims",
        **condition(claims={f"claim_{n}": "v" * 200 for n in range(20)}),
    ),
    "mapping_subject": federation(
        "attribute_mapping maps google.subject", "remove it", attribute_mapping={"google.subject": "assertion.email"}
    ),
    "mapping_key": federation(
        "A key of attribute_mapping is not attribute.NAME",
        "rename it",
        attribute_mapping={"google.groups": "assertion.groups"},
    ),
    "mapping_long": federation(
        "An expression of attribute_mapping is empty or longer",
        "shorten it",
        attribute_mapping={"attribute.a": "a" * 2049},
    ),
    "mapping_many": federation(
        "More than 50 attributes",
        "remove some",
        attribute_mapping={f"attribute.a{n}": "assertion.a" for n in range(51)},
    ),
    "mapping_again": federation(
        "attribute_mapping maps a claim of",
        "mapped already",
        attribute_mapping={"attribute.fleet": "assertion.other"},
        **condition(claims={"fleet": "a"}),
    ),
    "audiences_many": federation(
        "allowed_audiences holds more than 10", "remove some", allowed_audiences=[f"https://a{n}" for n in range(11)]
    ),
    "audience_empty": federation(
        "An entry of allowed_audiences is empty", "visible characters", allowed_audiences=[""]
    ),
    "audience_long": federation("An entry of allowed_audiences is empty, longer", "1 to 256", allowed_audiences=[LONG]),
    "audience_twice": federation(
        "allowed_audiences lists an audience twice", "remove one", allowed_audiences=["https://a", "https://a"]
    ),
    "supplier_name": federation("supplier.name or supplier.provider_name", "use a-z and 0-9", supplier={"name": "No"}),
    "supplier_path": federation(
        "supplier.keys or supplier.path is not absolute", "from / on", supplier={"keys": "keys"}
    ),
    "supplier_kms_key_version": federation(
        "supplier.kms_key_version is not a key", "write projects/ID", supplier={"kms_key_version": "projects/p/k"}
    ),
    "supplier_via": federation("supplier.via is neither", "choose one", supplier={"via": "gcloud"}),
    "supplier_lifetime": federation(
        "supplier.lifetime_seconds is not a whole number", "use 3600", supplier={"lifetime_seconds": 90000}
    ),
    "name": identity(
        "name is not a valid name", "use a-z and 0-9", name="Task_Alice", service_account={"account_id": "task-alice"}
    ),
    "identity_project": identity("project_id is not a project id", "not the number", project_id="123456789012"),
    "provider_by_id": identity(
        "provider_name is not projects/NUMBER",
        "copy the output",
        provider_name=PROVIDER.replace("123456789012", "my-project"),
    ),
    "provider_of_pool": identity(
        "provider_name is not projects/NUMBER", "copy the output", provider_name=PROVIDER.partition("/providers")[0]
    ),
    "subject_star": identity("subject contains a *", "exactly one subject", subject="user-*"),
    "subject_long": identity(
        "subject is empty, longer than 127 bytes", "an id that is not reused", subject="user-" + "1" * 123
    ),
    "subject_space": identity("subject is empty, longer", "whitespace", subject="user- 1"),
    "subject_member": identity(
        "subject is the member of a policy", "sub claim alone", subject="principalSet://x", subject_prefix=""
    ),
    "subject_prefix": identity("subject is the prefix alone", "add an id", subject="user-"),
    "account_person": identity(
        "service_account.email is not the e-mail", "without a prefix", service_account={"email": "ann@example.com"}
    ),
    "impersonators_account": identity(
        "An entry of additional_impersonators",
        "an identity of its own",
        additional_impersonators=["user:a@my-project.iam.gserviceaccount.com"],
    ),
    "issuer_google_case": federation(
        "issuer.uri is Google's own",
        "use the kind google",
        issuer={"kind": "oidc", "uri": "https://ACCOUNTS.GOOGLE.COM"},
    ),
    "issuer_foreign_case": federation(
        "issuer.uri of a self-issued key is in a domain", "below .invalid", **self_issued("https://us.GitHub.io")
    ),
    "subject_outside": identity("subject does not begin with the prefix", "rename it", subject="robot-1"),
    "account_short": identity(
        "The service account's id is not 6 to 30", "set service_account.account_id", name="bob", service_account={}
    ),
    "account_case": identity(
        "The service account's id is not 6 to 30", "begin with a letter", service_account={"account_id": "1worker"}
    ),
    "account_both": identity(
        "service_account has both",
        "set account_id to create one",
        service_account={"account_id": "worker-1", "email": "a@b.co"},
    ),
    "account_email": identity(
        "service_account.email is not the e-mail",
        "without a prefix",
        service_account={"email": "serviceAccount:a@b.co"},
    ),
    "account_description": identity(
        "service_account.description is longer", "shorten it", service_account={"description": LONG}
    ),
    "account_display": identity(
        "service_account.display_name is longer", "shorten it", service_account={"display_name": LONG}
    ),
    "account_project": identity(
        "service_account.project_id is not a project id", "use the id", service_account={"project_id": "1"}
    ),
    "impersonators_all": identity(
        "An entry of additional_impersonators", "are not allowed", additional_impersonators=["allUsers"]
    ),
    "impersonators_pool": identity(
        "An entry of additional_impersonators",
        "whole pools are not allowed",
        additional_impersonators=[
            "principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/workers/*"
        ],
    ),
    "impersonators_alone": identity(
        "additional_impersonators needs a service account",
        "leave the list empty",
        service_account=None,
        additional_impersonators=["user:a@b.co"],
    ),
    "bucket_url": identity(
        "A key of bucket_roles is not a bucket name",
        "without gs://",
        bucket_roles={"gs://data": ["roles/storage.objectViewer"]},
    ),
    "bucket_role": identity(
        "A role in bucket_roles is not written in full", "roles/NAME", bucket_roles={"data": ["storage.objectViewer"]}
    ),
    "project_role": identity(
        "A role in project_roles is not written in full", "roles/NAME", project_roles={"my-project": ["viewer"]}
    ),
    "project_role_key": identity(
        "A key of project_roles is not a project id", "use the id", project_roles={"123456": ["roles/bigquery.jobUser"]}
    ),
    "project_basic": identity(
        "project_roles grants a basic role", "what the workload needs", project_roles={"my-project": ["roles/editor"]}
    ),
    "project_basic_new": identity(
        "project_roles grants a basic role", "what the workload needs", project_roles={"my-project": ["roles/writer"]}
    ),
    "bucket_basic": identity(
        "bucket_roles grants a predefined role", "roles/storage.NAME", bucket_roles={"data": ["roles/owner"]}
    ),
    "delegation_basic": identity(
        "delegation_role is a predefined role other", "custom role", delegation_role="roles/owner", delegates=["a@b.co"]
    ),
    **{
        f"project_{role.partition('.')[2].replace('.', '_')}": identity(
            "project_roles grants a role of IAM",
            "single accounts only",
            project_roles={"my-project": [f"roles/{role}"]},
        )
        for role in POWERFUL
    },
    "delegates_form": identity(
        "An entry of delegates is not the e-mail", "without a prefix", delegates=["projects/-/serviceAccounts/a@b.co"]
    ),
    "delegates_twice": identity("delegates has an account twice", "list each once", delegates=["a@b.co", "a@b.co"]),
    "delegates_itself": identity(
        "delegates contains the account itself",
        "leave it out",
        delegates=["task-alice@my-project.iam.gserviceaccount.com"],
    ),
    "delegates_nowhere": identity(
        "delegates needs a service account", "leave the chain empty", service_account=None, delegates=["a@b.co"]
    ),
    "delegation_role": identity("delegation_role is not written in full", "roles/NAME", delegation_role="tokenCreator"),
    "lifetime_short": identity("lifetime_seconds is not a whole number", "leave it out", lifetime_seconds=599),
    "lifetime_long": identity("lifetime_seconds is not a whole number", "43200", lifetime_seconds=43201),
    "lifetime_direct": identity(
        "lifetime_seconds applies to impersonated tokens", "leave it out", lifetime_seconds=900, service_account=None
    ),
    "kinds_none": identity("token_kinds is empty", "use one of them", token_kinds=[]),
    "kinds_unknown": identity("token_kinds is empty or holds something other", "or both", token_kinds=["key"]),
    "kinds_direct": identity(
        "token_kinds allows ID tokens alone", "set service_account", token_kinds=["id_token"], service_account=None
    ),
    "signing_direct": identity(
        "signing needs a service account", "leave signing out", signing=True, service_account=None
    ),
    "run_region": identity(
        "An entry of run_services has no name",
        "without a URL",
        run_services={"a": {"name": "api", "location": "everywhere"}},
    ),
    "run_direct": identity(
        "run_services needs ID tokens",
        "set service_account",
        run_services={"a": {"name": "api", "location": "europe-west1"}},
        service_account=None,
    ),
    "scope": identity("An entry of scopes is not written in full", "use a URL", scopes=["cloud-platform"]),
    "quota": identity("quota_project_id is not a project id", "use the id", quota_project_id="123456"),
    "source": identity("source_service_account is not the e-mail", "without a prefix", source_service_account="worker"),
    "supplier": identity("supplier_name is not a valid name", "use a-z", supplier_name="A"),
    "token_file": identity("token_file is not an absolute path", "as the container sees it", token_file="token"),
    "rails_projects": guardrails("project_ids is empty", "use ids", project_ids=[]),
    "rails_types": guardrails(
        "audit_log_types holds something other", "in capitals", audit_log_types=["ADMIN_READ", "admin_write"]
    ),
    "rails_admin": guardrails("audit_log_types lacks ADMIN_READ", "add it", audit_log_types=["DATA_READ"]),
    "rails_expected": guardrails(
        "An entry of expected_principals is not a single subject",
        "copy the output",
        expected_principals=["principalSet://iam.googleapis.com/x/*"],
    ),
    "rails_unaudited": guardrails(
        "expected_principals needs the audit logs",
        "set audit = true",
        audit=False,
        expected_principals=[f"principal://iam.googleapis.com/{PROVIDER.partition('/providers')[0]}/subject/a"],
    ),
    "rails_channel": guardrails(
        "An entry of notification_channels", "copy the channel", notification_channels=["pager"]
    ),
    "rails_parent": guardrails(
        "org_policies.parent is not", "use one of these forms", org_policies={"parent": "my-project"}
    ),
    "rails_issuers": guardrails(
        "org_policies.allowed_issuers is empty",
        "leave it out",
        org_policies={"parent": "projects/my-project", "allowed_issuers": []},
    ),
    "rails_point": guardrails(
        "deny_policy.attachment_point is not",
        "plain slashes",
        deny_policy={"attachment_point": "projects/p", "exception_principals": ["principal://goog/subject/a@b.co"]},
    ),
    "rails_nobody": guardrails(
        "deny_policy.exception_principals is empty",
        "list the principals that may",
        deny_policy={"attachment_point": "cloudresourcemanager.googleapis.com/projects/p", "exception_principals": []},
    ),
    "rails_exception": guardrails(
        "An entry of deny_policy.exception_principals",
        "principal://goog",
        deny_policy={
            "attachment_point": "cloudresourcemanager.googleapis.com/projects/p",
            "exception_principals": ["user:a@b.co"],
        },
    ),
    "root_name": root(
        "A key of identities is not a valid name",
        "use a-z",
        identities={"Alice": {"subject": "user-1", "service_account": {"account_id": "task-alice"}}},
    ),
    "root_twice": root(
        "Two of identities have the same subject",
        "of its own for each",
        identities={"task-a": {"subject": "user-1"}, "task-b": {"subject": "user-1"}},
    ),
    "root_shared": root(
        "Two of identities act as one service account",
        "shared_account = true",
        identities={"task-a": {"subject": "user-1"}, "task-b": {"subject": "user-2", **AS_TASK_A}},
    ),
    "root_half_shared": root(
        "Two of identities act as one service account",
        "of its own for each",
        identities={
            "task-a": {"subject": "user-1"},
            "task-b": {"subject": "user-2", "shared_account": True, **AS_TASK_A},
        },
    ),
    "root_made_twice": root(
        "Two of identities create the same service account",
        "another account_id",
        identities={
            "task-a": {"subject": "user-1", "shared_account": True},
            "b": {"subject": "user-2", "shared_account": True, "service_account": {"account_id": "task-a"}},
        },
    ),
    "root_prefix": root(
        "A subject in identities does not begin with",
        "rename the subject",
        identities={"task-a": {"subject": "robot-1"}},
    ),
    "root_google": root(
        "A subject in identities is not among",
        "add the account's unique id",
        **GOOGLE,
        identities={"task-a": {"subject": "999999999999"}},
    ),
    "root_source": root(
        "source_service_account is set where it is not used",
        "for no identity otherwise",
        identities={"task-a": {"subject": "user-1", "source_service_account": "a@b.co"}},
    ),
    "root_sourceless": root(
        "source_service_account is set where it is not used",
        "set it for every identity",
        **GOOGLE,
        supplier={"via": "generate_id_token"},
        identities={"task-a": {"subject": "123456789012345678901"}},
    ),
    "root_direct": root(
        "One of identities is direct",
        "leave one of them out",
        identities={"task-a": {"subject": "user-1", "direct": True, "service_account": {"account_id": "task-a"}}},
    ),
}
CALLS = {name: Case(name, {}, "", "") for name in VALID} | CASES


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
            (place / f"{name}.tf.json").unlink(missing_ok=True)
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
    """Find a case by the file of its call, or by Terraform's copy of the module."""
    return str(diagnostic["range"]["filename"]).removeprefix(".terraform/modules/").split("/")[0].split(".")[0]


@pytest.mark.parametrize("name", sorted(CASES))
def test_refusal_has_a_remedy(errors_by_case: dict[str, list[str]], name: str) -> None:
    """An invalid input is refused with our own message, which shows what to do."""
    case = CASES[name]

    assert [text for text in errors_by_case[name] if case.problem in text and case.remedy in text], errors_by_case[name]


@pytest.mark.parametrize("name", ["jwks_text", "jwks_string", "jwks_named", "jwks_beside", "jwks_rsa_bare"])
def test_one_mistake_is_one_message(errors_by_case: dict[str, list[str]], name: str) -> None:
    """A key set with one mistake is refused once."""
    assert len(errors_by_case[name]) == 1


@pytest.mark.parametrize("module", sorted(VALID))
def test_valid_inputs_are_accepted(errors_by_case: dict[str, list[str]], module: str) -> None:
    """The valid inputs, from which each case differs, are accepted."""
    assert errors_by_case[module] == []
