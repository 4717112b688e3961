output "audience" {
  description = "The STS audience; the projected token's audience is this with `https:` before it."
  value       = module.federation.audience
}

output "refresher_config" {
  description = "The cloud half of the refresher's configuration."
  value       = module.federation.refresher_config
}

output "refresher_yaml" {
  description = "The same as a YAML file: `terraform output -raw refresher_yaml > federation.yaml`."
  value       = module.federation.refresher_yaml
}
