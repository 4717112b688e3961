# What shows and limits misuse; no provider is called.
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
    error_message = "More exists than was requested."
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

  assert {
    condition     = contains(output.org_policies, "organizations/111/policies/iam.workloadIdentityPoolProviders")
    error_message = "The output has other names."
  }
}

run "quotes_in_a_subject_stay_in_the_filter" {
  command = plan

  variables {
    expected_principals = ["principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/workers/subject/user-\"1"]
  }

  assert {
    condition     = endswith(output.unexpected_filter, "/subject/user-\\\"1\")")
    error_message = "The filter is ${output.unexpected_filter}."
  }
}
