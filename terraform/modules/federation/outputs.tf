output "attribute_condition" {
  description = "Condition that every subject token must meet, in CEL."
  value       = google_iam_workload_identity_pool_provider.main.attribute_condition
}

output "audience" {
  description = "STS audience: the provider's full resource name, as an ADC document has it."
  value       = "//iam.googleapis.com/${google_iam_workload_identity_pool_provider.main.name}"
}

output "drop_subject_prefix" {
  description = "Whether principals have the subject without its prefix: an input of the module identity."
  value       = var.attribute_condition.drop_subject_prefix
}

output "pool_name" {
  description = "Resource name of the pool, with the project's number: an input of the module identity."
  value       = google_iam_workload_identity_pool.main.name
}

output "provider_name" {
  description = "Resource name of the provider, with the project's number: an input of the module identity."
  value       = google_iam_workload_identity_pool_provider.main.name
}

output "refresher_config" {
  description = "Providers and suppliers of the refresher's configuration, as an object."
  value       = local._refresher_config

  precondition {
    condition     = can(regex("^projects/[0-9]+/", google_iam_workload_identity_pool_provider.main.name))
    error_message = "Google named the provider without the project's number: report this with the provider's version."
  }
}

output "refresher_yaml" {
  description = "Providers and suppliers of the refresher's configuration, as the text of a YAML file. List the file under `include`."
  value       = yamlencode(local._refresher_config)
}

output "subject_prefix" {
  description = "Text that every subject begins with, empty if any subject is accepted: an input of the module identity."
  value       = var.attribute_condition.subject_prefix == null ? "" : var.attribute_condition.subject_prefix
}

output "supplier_name" {
  description = "Name of the supplier in the refresher's configuration: an input of the module identity."
  value       = var.supplier.name
}
