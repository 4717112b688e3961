output "pool_name" {
  description = "Resource name of the pool, for the teams' states."
  value       = module.federation.pool_name
}

output "provider_name" {
  description = "Resource name of the provider, for the teams' states."
  value       = module.federation.provider_name
}

output "refresher_config" {
  description = "Cloud half of the refresher's configuration, as an object."
  value       = module.federation.refresher_config
}

output "refresher_yaml" {
  description = "Cloud half of the refresher's configuration, as a YAML file: `terraform output -raw refresher_yaml > federation.yaml`."
  value       = module.federation.refresher_yaml
}

output "subject_prefix" {
  description = "Text that the teams' subjects begin with."
  value       = module.federation.subject_prefix
}
