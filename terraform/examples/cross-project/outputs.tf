output "refresher_config" {
  description = "The cloud half of the refresher's configuration."
  value       = module.federation.refresher_config
}

output "refresher_yaml" {
  description = "The same as a YAML file: `terraform output -raw refresher_yaml > federation.yaml`."
  value       = module.federation.refresher_yaml
}

output "service_accounts" {
  description = "E-mail addresses of the target principals, by identity."
  value       = module.federation.service_accounts
}
