output "refresher_config" {
  description = "Cloud half of the refresher's configuration, as an object."
  value       = module.federation.refresher_config
}

output "refresher_yaml" {
  description = "Cloud half of the refresher's configuration, as a YAML file: `terraform output -raw refresher_yaml > federation.yaml`."
  value       = module.federation.refresher_yaml
}

output "service_accounts" {
  description = "E-mail addresses of the target principals, by identity."
  value       = module.federation.service_accounts
}
