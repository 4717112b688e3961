# One map of identities becomes a configuration; no provider is called.
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
  project_id          = "my-project"
  issuer              = { kind = "self_issued", uri = "https://workers.invalid" }
  jwks                = "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"one\",\"x\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\",\"y\":\"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\"}]}"
  attribute_condition = { subject_prefix = "user-" }
  identities = {
    task-alice = { subject = "user-1042" }
    reader     = { subject = "user-1043", direct = true }
  }
}

run "configuration" {
  command = plan

  assert {
    condition     = yamldecode(output.refresher_yaml) == jsondecode(jsonencode(output.refresher_config))
    error_message = "The file is not the object."
  }

  assert {
    condition     = keys(output.refresher_config.identities) == ["reader", "task-alice"]
    error_message = "Identities are missing."
  }

  assert {
    condition     = output.service_accounts.reader == null && output.principals.reader == "principal://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/workers/subject/user-1043"
    error_message = "The direct identity is another."
  }
}

run "everything_is_protected" {
  command = plan

  assert {
    condition     = terraform_data.protection.input.is_protected && terraform_data.protection.triggers_replace == ["my-project", "workers", "refresher"]
    error_message = "A destroy, or another id, would not be refused at once."
  }
}
