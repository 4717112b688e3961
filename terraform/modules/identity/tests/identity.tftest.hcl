# Who may become the account and what it may do; no provider is called.
mock_provider "google" {
  override_during = plan

  mock_resource "google_iam_workload_identity_pool" {
    defaults = {
      id              = "projects/my-project/locations/global/workloadIdentityPools/workers"
      name            = "projects/123456789012/locations/global/workloadIdentityPools/workers"
      state           = "ACTIVE"
      mode            = "FEDERATION_ONLY"
      deletion_policy = "PREVENT"
    }
  }

  mock_resource "google_iam_workload_identity_pool_provider" {
    defaults = {
      id              = "projects/my-project/locations/global/workloadIdentityPools/workers/providers/refresher"
      name            = "projects/123456789012/locations/global/workloadIdentityPools/workers/providers/refresher"
      state           = "ACTIVE"
      deletion_policy = "PREVENT"
    }
  }

  mock_resource "google_service_account" {
    defaults = {
      id              = "projects/my-project/serviceAccounts/task-alice@my-project.iam.gserviceaccount.com"
      name            = "projects/my-project/serviceAccounts/task-alice@my-project.iam.gserviceaccount.com"
      email           = "task-alice@my-project.iam.gserviceaccount.com"
      member          = "serviceAccount:task-alice@my-project.iam.gserviceaccount.com"
      unique_id       = "100000000000000000001"
      deletion_policy = "DELETE"
    }
  }
}

variables {
  name          = "task-alice"
  project_id    = "my-project"
  pool_name     = "projects/123456789012/locations/global/workloadIdentityPools/workers"
  provider_name = "projects/123456789012/locations/global/workloadIdentityPools/workers/providers/refresher"
  subject       = "user-1042"
}

run "exactly_one_subject" {
  command = plan

  assert {
    condition     = google_service_account_iam_member.subject[0].member == "principal://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/workers/subject/user-1042"
    error_message = "The member is ${google_service_account_iam_member.subject[0].member}."
  }

  assert {
    condition     = google_service_account_iam_member.subject[0].role == "roles/iam.workloadIdentityUser"
    error_message = "The role is ${google_service_account_iam_member.subject[0].role}."
  }

  assert {
    condition     = length(google_service_account_iam_member.link) + length(google_service_account_iam_member.signing) + length(google_service_account_iam_member.person) == 0
    error_message = "More is granted than was asked for."
  }
}

run "protected_unless_configured" {
  command = plan

  assert {
    condition     = google_service_account.main[0].deletion_policy == "PREVENT" && terraform_data.protection[0].input.is_protected
    error_message = "The account is not protected."
  }
}

run "principal_is_without_the_dropped_prefix" {
  command = plan

  variables {
    subject             = "spiffe://example.com/ns/alice"
    subject_prefix      = "spiffe://example.com/"
    drop_subject_prefix = true
  }

  assert {
    condition     = endswith(output.principal, "/subject/ns/alice") && output.identity.subject == "spiffe://example.com/ns/alice"
    error_message = "The principal is ${output.principal}."
  }
}

run "project_with_a_domain" {
  command = plan

  variables {
    project_id = "eu0:my-project"
  }

  override_resource {
    target          = google_service_account.main
    override_during = plan
    values = {
      id    = "projects/eu0:my-project/serviceAccounts/task-alice@my-project.eu0.iam.gserviceaccount.com"
      name  = "projects/eu0:my-project/serviceAccounts/task-alice@my-project.eu0.iam.gserviceaccount.com"
      email = "task-alice@eu0:my-project.iam.gserviceaccount.com"
    }
  }

  assert {
    condition     = output.service_account_email == "task-alice@my-project.eu0.iam.gserviceaccount.com"
    error_message = "The address is ${output.service_account_email}."
  }
}

run "authoritative_grants_list_everyone" {
  command = plan

  variables {
    authoritative_impersonation = true
    additional_impersonators    = ["user:ann@example.com"]
    signing                     = true
  }

  assert {
    condition     = google_service_account_iam_binding.impersonation["roles/iam.workloadIdentityUser"].members == toset([output.principal])
    error_message = "Another member may use the account."
  }

  assert {
    condition     = google_service_account_iam_binding.impersonation["roles/iam.serviceAccountTokenCreator"].members == toset(["serviceAccount:task-alice@my-project.iam.gserviceaccount.com", "user:ann@example.com"])
    error_message = "Another member may create tokens."
  }

  assert {
    condition     = length(google_service_account_iam_binding.impersonation["roles/iam.serviceAccountOpenIdTokenCreator"].members) == 0
    error_message = "A member may create ID tokens."
  }

  assert {
    condition     = length(google_service_account_iam_member.subject) + length(google_service_account_iam_member.signing) + length(google_service_account_iam_member.person) == 0
    error_message = "A grant is written twice."
  }
}

run "quotes_in_a_subject_stay_in_the_filter" {
  command = plan

  variables {
    subject = "user-\"1\\"
  }

  assert {
    condition     = endswith(output.audit_queries.by_subject, "/subject/user-\\\"1\\\\\"")
    error_message = "The filter is ${output.audit_queries.by_subject}."
  }
}

run "id_tokens_alone_grant_less" {
  command = plan

  variables {
    token_kinds = ["id_token"]
  }

  assert {
    condition     = google_service_account_iam_member.subject[0].role == "roles/iam.serviceAccountOpenIdTokenCreator"
    error_message = "The role is ${google_service_account_iam_member.subject[0].role}."
  }
}

run "existing_account" {
  command = plan

  variables {
    service_account = { email = "older-account@other-project.iam.gserviceaccount.com" }
  }

  assert {
    condition     = length(google_service_account.main) == 0 && google_service_account_iam_member.subject[0].service_account_id == "projects/-/serviceAccounts/older-account@other-project.iam.gserviceaccount.com"
    error_message = "The account is made, or not the one that was named."
  }
}

run "chain" {
  command = plan

  variables {
    delegates   = ["first-hop@my-project.iam.gserviceaccount.com", "second-hop@my-project.iam.gserviceaccount.com"]
    grant_chain = true
  }

  assert {
    condition     = length(google_service_account_iam_member.subject) == 0
    error_message = "The subject reaches the account without the chain."
  }

  assert {
    condition     = [for link in google_service_account_iam_member.link : "${link.service_account_id} ${link.member}"] == ["projects/-/serviceAccounts/first-hop@my-project.iam.gserviceaccount.com principal://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/workers/subject/user-1042", "projects/-/serviceAccounts/second-hop@my-project.iam.gserviceaccount.com serviceAccount:first-hop@my-project.iam.gserviceaccount.com"]
    error_message = "The links are others."
  }

  assert {
    condition     = google_service_account_iam_member.last_link[0].member == "serviceAccount:second-hop@my-project.iam.gserviceaccount.com"
    error_message = "The last link is another."
  }
}

run "shared_chain" {
  command = plan

  variables {
    delegates   = ["first-hop@my-project.iam.gserviceaccount.com", "second-hop@my-project.iam.gserviceaccount.com"]
    grant_chain = false
  }

  assert {
    condition     = [for link in google_service_account_iam_member.link : link.service_account_id] == ["projects/-/serviceAccounts/first-hop@my-project.iam.gserviceaccount.com"]
    error_message = "The identity makes a grant that other identities make too, or lacks its own."
  }

  assert {
    condition     = length(google_service_account_iam_member.last_link) == 1
    error_message = "The last link is missing."
  }
}

run "direct_access" {
  command = plan

  variables {
    service_account = null
    bucket_roles    = { data = ["roles/storage.objectViewer"] }
  }

  assert {
    condition     = length(google_service_account.main) == 0 && google_storage_bucket_iam_member.main["data roles/storage.objectViewer"].member == output.principal
    error_message = "The role is not the subject's own."
  }

  assert {
    condition     = !can(jsondecode(output.credentials).service_account_impersonation_url) && !can(output.identity.service_account)
    error_message = "Something is impersonated."
  }
}
