"""What the root refuses, between identities and in its keys."""

from __future__ import annotations

import json

from tests.terraform.refusals.cases import (
    AS_TASK_A,
    EC_KEY,
    GOOGLE,
    HOP,
    RSA_KEY,
    SECRET,
    jwks,
    root,
)

CASES = {
    "jwks_beside": root(
        "jwks has members other than keys", "upload only", jwks=json.dumps({"keys": [EC_KEY], "private": SECRET})
    ),
    "jwks_member": root("jwks holds a key with other members", "upload only", jwks=jwks({**EC_KEY, "pem": SECRET})),
    "jwks_kid": root("jwks holds a key without kid", "set a kid for each", jwks=jwks({**EC_KEY, "kid": SECRET})),
    "jwks_mixed": root("jwks holds an RSA key whose members", "upload only", jwks=jwks({**RSA_KEY, "x": SECRET})),
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
    **{
        f"root_shared_{domain.partition('.')[0]}": root(
            f"(task-a and task-b act as task-a@my-project.{domain}.iam.gserviceaccount.com)",
            "shared_account = true",
            project_id=f"{domain}:my-project",
            identities={
                "task-a": {"subject": "user-1"},
                "task-b": {
                    "subject": "user-2",
                    "service_account": {"email": f"task-a@my-project.{domain}.iam.gserviceaccount.com"},
                },
            },
        )
        for domain in ("eu0", "example.com")
    },
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
    **{
        f"root_twice_{name}": root(
            f"(task-a and task-b: {text} for task-a@my-project.iam.gserviceaccount.com)",
            "set it for one of them",
            identities={
                "task-a": {"subject": "user-1", "shared_account": True, **grant},
                "task-b": {"subject": "user-2", "shared_account": True, **AS_TASK_A, **grant},
            },
        )
        for name, text, grant in (
            ("bucket", "roles/storage.admin on bucket data", {"bucket_roles": {"data": ["roles/storage.admin"]}}),
            (
                "project",
                "roles/run.viewer on project my-project",
                {"project_roles": {"my-project": ["roles/run.viewer"]}},
            ),
            ("service", "invocation of api in eu", {"run_services": {"x": {"location": "eu", "name": "api"}}}),
            ("person", "impersonation by user:a@b.co", {"additional_impersonators": ["user:a@b.co"]}),
            ("signing", "signing", {"signing": True}),
            ("chain", f"impersonation by {HOP}", {"delegates": [HOP]}),
        )
    },
    **{
        f"root_undone_{name}": root(
            "(task-b on that of task-a@my-project.iam.gserviceaccount.com)",
            "set it to false there",
            identities={
                "task-a": {"subject": "user-1", "authoritative_impersonation": True, "shared_account": True},
                "task-b": {"subject": "user-2", "shared_account": True, **other},
            },
        )
        for name, other in (
            ("account", AS_TASK_A),
            ("chain", {"delegates": ["task-a@my-project.iam.gserviceaccount.com"]}),
        )
    },
    "root_prefix": root(
        "Identity task-a: subject does not begin with",
        "rename it",
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
        identities={"task-a": {"subject": "user-1", "source_service_account": HOP}},
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
