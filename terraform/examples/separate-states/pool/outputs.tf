output "provider_name" {
  description = "What the teams' states ask for."
  value       = module.federation.provider_name
}

output "refresher_config" {
  description = "The cloud half of the refresher's configuration."
  value       = module.federation.refresher_config
}

output "refresher_yaml" {
  description = "The same as a YAML file: `terraform output -raw refresher_yaml > federation.yaml`."
  value       = module.federation.refresher_yaml
}

output "subject_prefix" {
  description = "What the teams' subjects begin with."
  value       = module.federation.subject_prefix
}
