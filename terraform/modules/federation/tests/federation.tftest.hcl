# What the pool's provider asks for, and which values; no provider is called.
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
    condition     = jsonencode(output.refresher_config.suppliers.worker.claims) == jsonencode({ fleet = "batch" })
    error_message = "The supplier mints other claims than the condition asks for."
  }
}

run "former_values_are_accepted_and_not_minted" {
  command = plan

  variables {
    attribute_condition = { claims = { fleet = "interactive" }, former_claims = { fleet = "batch" } }
    supplier            = { claims = { spare = true, zone = "a" } }
  }

  assert {
    condition     = output.attribute_condition == "assertion.fleet in ['interactive', 'batch']"
    error_message = "The condition is ${output.attribute_condition}."
  }

  assert {
    condition     = jsonencode(output.refresher_config.suppliers.worker.claims) == jsonencode({ fleet = "interactive", spare = true, zone = "a" })
    error_message = "The supplier mints other claims."
  }

  assert {
    condition     = !contains(keys(google_iam_workload_identity_pool_provider.main.attribute_mapping), "attribute.zone")
    error_message = "A claim that is not required is mapped, so that tokens without it are refused."
  }
}

run "truth_values_are_compared_as_such" {
  command = plan

  variables {
    issuer              = { kind = "oidc", uri = "https://idp.example.com" }
    attribute_condition = { claims = { email_verified = true, owner_id = "1234" } }
  }

  assert {
    condition     = output.attribute_condition == "assertion.email_verified == true && assertion.owner_id == '1234'"
    error_message = "The condition is ${output.attribute_condition}."
  }

  assert {
    condition     = google_iam_workload_identity_pool_provider.main.attribute_mapping["attribute.email_verified"] == "assertion.email_verified ? 'true' : 'false'"
    error_message = "The attribute is not a text."
  }
}

run "long_subjects_lose_their_prefix" {
  command = plan

  variables {
    issuer              = { kind = "oidc", uri = "https://spire.example.com" }
    attribute_condition = { subject_prefix = "spiffe://example.com/", drop_subject_prefix = true }
  }

  assert {
    condition     = google_iam_workload_identity_pool_provider.main.attribute_mapping["google.subject"] == "assertion.sub.extract('spiffe://example.com/{subject}')"
    error_message = "The mapping is ${google_iam_workload_identity_pool_provider.main.attribute_mapping["google.subject"]}."
  }

  assert {
    condition     = output.attribute_condition == "assertion.sub.startsWith('spiffe://example.com/')"
    error_message = "The condition is ${output.attribute_condition}."
  }
}

run "keys_are_shown" {
  command = plan

  assert {
    condition     = !issensitive(google_iam_workload_identity_pool_provider.main.oidc[0].jwks_json) && strcontains(google_iam_workload_identity_pool_provider.main.oidc[0].jwks_json, "\"kid\":\"one\"")
    error_message = "A plan would hide which keys become trusted."
  }
}

run "no_keys_are_no_secret" {
  command = plan

  variables {
    issuer = { kind = "oidc", uri = "https://idp.example.com" }
    jwks   = null
  }

  assert {
    condition     = !issensitive(google_iam_workload_identity_pool_provider.main.oidc[0].jwks_json)
    error_message = "A plan would hide that no key is uploaded."
  }
}

run "hosts_may_have_the_whole_supplier" {
  command = plan

  variables {
    supplier = { kind = "host" }
  }

  assert {
    condition     = !can(output.refresher_config.suppliers) && output.supplier_name == "worker"
    error_message = "A supplier is written."
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

run "protected_unless_configured" {
  command = plan

  assert {
    condition     = google_iam_workload_identity_pool.main.deletion_policy == "PREVENT" && google_iam_workload_identity_pool_provider.main.deletion_policy == "PREVENT"
    error_message = "Pool or provider is not protected."
  }
}

run "services_are_left_alone_on_request" {
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

run "google_needs_numeric_subjects" {
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
