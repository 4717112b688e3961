"""What the module identity refuses."""

from __future__ import annotations

from tests.terraform.refusals.cases import (
    HOP,
    POOL,
    PROVIDER,
    identity,
)

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
NO_ACCOUNTS = {
    "person": "ann@example.com",
    "short": "bob@my-project.iam.gserviceaccount.com",
    "long": f"{'a' * 31}@my-project.iam.gserviceaccount.com",
    "dash": "task-alice-@my-project.iam.gserviceaccount.com",
    "without_iam": "task-alice@my-project.gserviceaccount.com",
    "name": f"projects/-/serviceAccounts/{HOP}",
    "prefix": f"serviceAccount:{HOP}",
}
"""Addresses that the Terraform provider, or Google, does not accept as those of service accounts."""

CASES = {
    "name": identity(
        "name Task_Alice is not a valid name",
        "use a-z and 0-9",
        name="Task_Alice",
        service_account={"account_id": "task-alice"},
    ),
    "identity_project": identity(
        "project_id 123456789012 is not a project id", "not the number", project_id="123456789012"
    ),
    "pool_by_id": identity(
        f"Identity task-alice: pool_name {POOL.replace('123456789012', 'my-project')} is not projects/NUMBER",
        "copy the output",
        pool_name=POOL.replace("123456789012", "my-project"),
        provider_name=PROVIDER.replace("123456789012", "my-project"),
    ),
    "provider_of_pool": identity(
        f"Identity task-alice: provider_name {POOL} is not a provider of the pool",
        "copy the output",
        provider_name=POOL,
    ),
    "provider_elsewhere": identity(
        "is not a provider of the pool",
        "that pool_name comes from",
        provider_name=PROVIDER.replace("workers", "others"),
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
    "impersonators_account": identity(
        "Identity task-alice: user:a@my-project.iam.gserviceaccount.com in additional_impersonators",
        "an identity of its own",
        additional_impersonators=["user:a@my-project.iam.gserviceaccount.com"],
    ),
    "subject_long_dropped": identity(
        "subject is empty, longer than 127 bytes",
        "set drop_subject_prefix",
        subject="user-" + "1" * 128,
        drop_subject_prefix=True,
    ),
    "prefix_missing": identity(
        "subject_prefix is empty and drop_subject_prefix is true",
        "set both",
        subject_prefix="",
        drop_subject_prefix=True,
    ),
    "authoritative_elsewhere": identity(
        "authoritative_impersonation needs an account that is created here",
        "leave it out",
        authoritative_impersonation=True,
        service_account={"email": HOP},
    ),
    "authoritative_direct": identity(
        "authoritative_impersonation needs", "leave it out", authoritative_impersonation=True, service_account=None
    ),
    "subject_outside": identity("subject does not begin with the prefix", "rename it", subject="robot-1"),
    "account_short": identity(
        "the service account's id is not 6 to 30", "set service_account.account_id", name="bob", service_account={}
    ),
    "account_case": identity(
        "the service account's id is not 6 to 30", "begin with a letter", service_account={"account_id": "1worker"}
    ),
    "account_both": identity(
        "service_account has both",
        "set account_id to create one",
        service_account={"account_id": "worker-1", "email": "a@b.co"},
    ),
    "account_description": identity(
        "service_account.description is longer", "shorten it", service_account={"description": "ü" * 129}
    ),
    "account_display": identity(
        "service_account.display_name is longer", "shorten it", service_account={"display_name": LONG}
    ),
    "account_project": identity(
        "service_account.project_id is not a project id", "use the id", service_account={"project_id": "1"}
    ),
    "impersonators_all": identity(
        "Identity task-alice: allUsers in additional_impersonators",
        "are not allowed",
        additional_impersonators=["allUsers"],
    ),
    "impersonators_pool": identity(
        "workloadIdentityPools/workers/* in additional_impersonators",
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
        "Identity task-alice: gs://data in bucket_roles is not a bucket name",
        "without gs://",
        bucket_roles={"gs://data": ["roles/storage.objectViewer"]},
    ),
    "bucket_role": identity(
        "Identity task-alice: storage.objectViewer in bucket_roles is not the full name of a role",
        "roles/NAME",
        bucket_roles={"data": ["storage.objectViewer"]},
    ),
    "project_role": identity(
        "Identity task-alice: viewer in project_roles is not the full name of a role",
        "roles/NAME",
        project_roles={"my-project": ["viewer"]},
    ),
    "project_role_key": identity(
        "Identity task-alice: 123456 in project_roles is not a project id",
        "use the id",
        project_roles={"123456": ["roles/bigquery.jobUser"]},
    ),
    "project_basic": identity(
        "project_roles grants a basic role (roles/editor)", "needs", project_roles={"my-project": ["roles/editor"]}
    ),
    "project_basic_new": identity(
        "project_roles grants a basic role (roles/writer)", "needs", project_roles={"my-project": ["roles/writer"]}
    ),
    "bucket_basic": identity(
        "roles/owner in bucket_roles is a predefined role", "roles/storage.NAME", bucket_roles={"data": ["roles/owner"]}
    ),
    "delegation_basic": identity(
        "delegation_role roles/owner is a predefined role other", "custom role", delegation_role="roles/owner"
    ),
    **{
        f"project_{role.partition('.')[2].replace('.', '_')}": identity(
            f"Identity task-alice: roles/{role} in project_roles is a role of IAM",
            "single accounts only",
            project_roles={"my-project": [f"roles/{role}"]},
        )
        for role in POWERFUL
    },
    **{
        f"delegates_{name}": identity(
            f"Identity task-alice: {email} in delegates is not the e-mail", "6 to 30 characters", delegates=[email]
        )
        for name, email in NO_ACCOUNTS.items()
    },
    **{
        f"account_{name}": identity(
            "Identity task-alice: service_account.email is not the e-mail",
            "without a prefix",
            service_account={"email": email},
        )
        for name, email in NO_ACCOUNTS.items()
    },
    **{
        f"source_{name}": identity(
            "Identity task-alice: source_service_account is not the e-mail", "without", source_service_account=email
        )
        for name, email in NO_ACCOUNTS.items()
    },
    "delegates_twice": identity(
        "delegates has an account twice", "list each once", delegates=[HOP, HOP], grant_chain=True
    ),
    "delegates_undecided": identity(
        "Identity task-alice: delegates has several accounts",
        "set grant_chain = false",
        delegates=[HOP, "second-hop@my-project.iam.gserviceaccount.com"],
    ),
    "delegates_itself": identity(
        "delegates contains the account itself",
        "leave it out",
        delegates=["task-alice@my-project.iam.gserviceaccount.com"],
    ),
    "delegates_nowhere": identity(
        "delegates needs a service account", "leave the chain empty", service_account=None, delegates=[HOP]
    ),
    "delegation_role": identity(
        "delegation_role tokenCreator is not the full", "roles/NAME", delegation_role="tokenCreator"
    ),
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
        "Identity task-alice: an entry of run_services has no name of a service or no region (a)",
        "without a URL",
        run_services={"a": {"name": "api", "location": "everywhere"}},
    ),
    "run_direct": identity(
        "run_services needs ID tokens",
        "set service_account",
        run_services={"a": {"name": "api", "location": "europe-west1"}},
        service_account=None,
    ),
    "scope": identity("cloud-platform in scopes is not the full name", "use a URL", scopes=["cloud-platform"]),
    "quota": identity("quota_project_id is not a project id", "use the id", quota_project_id="123456"),
    "supplier": identity("supplier_name A is not a valid name", "use a-z", supplier_name="A"),
    "token_file": identity("token_file is not an absolute path", "as the container sees it", token_file="token"),
    "delegates_itself_domain": identity(
        "delegates contains the account itself",
        "leave it out",
        project_id="example.com:my-project",
        delegates=["task-alice@my-project.example.com.iam.gserviceaccount.com"],
    ),
}
