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
