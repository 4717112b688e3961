output "audience" {
  description = "STS audience. The projected token's audience is this with `https:` before it."
  value       = module.federation.audience
}

output "refresher_config" {
  description = "Cloud half of the refresher's configuration, as an object."
  value       = module.federation.refresher_config
}

output "refresher_yaml" {
  description = "Cloud half of the refresher's configuration, as a YAML file: `terraform output -raw refresher_yaml > federation.yaml`."
  value       = module.federation.refresher_yaml
}
