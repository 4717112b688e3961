"""What the module guardrails refuses."""

from __future__ import annotations

from tests.terraform.refusals.cases import (
    PROVIDER,
    guardrails,
)

CASES = {
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
}
