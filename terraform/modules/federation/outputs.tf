output "attribute_condition" {
  description = "What every subject token must have, in CEL."
  value       = google_iam_workload_identity_pool_provider.main.attribute_condition
}

output "audience" {
  description = "The STS audience: the provider's full resource name, as an ADC document has it."
  value       = "//iam.googleapis.com/${google_iam_workload_identity_pool_provider.main.name}"
}

output "pool_name" {
  description = "Resource name of the pool, with the project's number."
  value       = google_iam_workload_identity_pool.main.name
}

output "provider_name" {
  description = "Resource name of the provider, with the project's number: an input of the module identity."
  value       = google_iam_workload_identity_pool_provider.main.name
}

output "refresher_config" {
  description = "The providers and suppliers of the refresher's configuration. List the file under `include`."
  value       = local._refresher_config

  precondition {
    condition     = can(regex("^projects/[0-9]+/", google_iam_workload_identity_pool_provider.main.name))
    error_message = "Google named the provider without the project's number: report this with the provider's version."
  }
}

output "refresher_yaml" {
  description = "The same as a YAML file."
  value       = yamlencode(local._refresher_config)
}

output "subject_prefix" {
  description = "What every subject must begin with; empty if any subject is accepted."
  value       = var.attribute_condition.subject_prefix == null ? "" : var.attribute_condition.subject_prefix
}

output "supplier_name" {
  description = "Name of the supplier in the refresher's configuration."
  value       = var.supplier.name
}
