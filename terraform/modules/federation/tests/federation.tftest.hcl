# What the pool's provider asks for, of which values; no provider is called.
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
  attribute_condition = { subject_prefix = "user-", claims = { fleet = "batch" } }
}

run "condition_mapping_and_claims_agree" {
  command = plan

  assert {
    condition     = output.attribute_condition == "assertion.sub.startsWith('user-') && assertion.fleet == 'batch'"
    error_message = "The condition is ${output.attribute_condition}."
  }

  assert {
    condition     = google_iam_workload_identity_pool_provider.main.attribute_mapping == tomap({ "attribute.fleet" = "assertion.fleet", "google.subject" = "assertion.sub" })
    error_message = "The mapping is not that of the condition."
  }

  assert {
    condition     = output.refresher_config.suppliers.worker.claims == tomap({ fleet = "batch" })
    error_message = "The supplier mints other claims than the condition asks for."
  }
}

run "names_have_the_number" {
  command = plan

  assert {
    condition     = output.audience == "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/workers/providers/refresher"
    error_message = "The audience is ${output.audience}."
  }

  assert {
    condition     = output.refresher_config.providers.main.project_number == "123456789012"
    error_message = "The configuration has no project number."
  }
}

run "protected_unless_said" {
  command = plan

  assert {
    condition     = google_iam_workload_identity_pool.main.deletion_policy == "PREVENT" && google_iam_workload_identity_pool_provider.main.deletion_policy == "PREVENT"
    error_message = "Pool or provider is not protected."
  }
}

run "services_are_left_alone_if_told" {
  command = plan

  variables {
    enable_services = false
  }

  assert {
    condition     = length(google_project_service.main) == 0
    error_message = "Services are enabled although enable_services is false."
  }
}

run "allowed_audience_is_handed_over" {
  command = plan

  variables {
    allowed_audiences = ["https://workers.invalid/google"]
  }

  assert {
    condition     = output.refresher_config.providers.main.audience == "https://workers.invalid/google"
    error_message = "The refresher would mint another audience than the provider allows."
  }
}

run "google_is_asked_for_numeric_subjects" {
  command = plan

  variables {
    issuer              = { kind = "google" }
    jwks                = null
    attribute_condition = { subjects = ["200000000000000000002", "100000000000000000001"] }
  }

  assert {
    condition     = output.attribute_condition == "assertion.sub in ['100000000000000000001', '200000000000000000002']"
    error_message = "The condition is ${output.attribute_condition}."
  }

  assert {
    condition     = google_iam_workload_identity_pool_provider.main.oidc[0].issuer_uri == "https://accounts.google.com"
    error_message = "The issuer is not Google."
  }
}
