output "refresher_config" {
  description = "Cloud half of the refresher's configuration, as an object."
  value       = module.federation.refresher_config
}

output "refresher_yaml" {
  description = "Cloud half of the refresher's configuration, as a YAML file: `terraform output -raw refresher_yaml > federation.yaml`."
  value       = module.federation.refresher_yaml
}

output "unexpected_filter" {
  description = "Filter for Cloud Logging that finds impersonations by unexpected subjects."
  value       = module.guardrails.unexpected_filter
}
