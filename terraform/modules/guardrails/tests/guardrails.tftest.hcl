# What watches and bounds; no provider is called.
mock_provider "google" {}

variables {
  project_ids = ["my-project", "data-project"]
}

run "token_events_are_logged" {
  command = plan

  assert {
    condition     = length(google_project_iam_audit_config.main) == 4 && alltrue([for entry in google_project_iam_audit_config.main : alltrue([for log in entry.audit_log_config : log.log_type == "ADMIN_READ"])])
    error_message = "STS and IAM are not logged in every project as ADMIN_READ."
  }
}

run "nothing_of_the_organisation_by_default" {
  command = plan

  assert {
    condition     = length(google_org_policy_policy.main) + length(google_iam_deny_policy.main) + length(google_logging_metric.unexpected) == 0
    error_message = "More is made than was asked for."
  }
}

run "truths_are_texts" {
  command = plan

  variables {
    org_policies = { parent = "organizations/111", allowed_issuers = ["https://workers.invalid"] }
  }

  assert {
    condition     = google_org_policy_policy.main["iam.disableServiceAccountKeyUpload"].spec[0].rules[0].enforce == "TRUE"
    error_message = "A boolean would differ for ever."
  }

  assert {
    condition     = google_org_policy_policy.main["iam.workloadIdentityPoolProviders"].name == "organizations/111/policies/iam.workloadIdentityPoolProviders"
    error_message = "The policy has another name."
  }
}
