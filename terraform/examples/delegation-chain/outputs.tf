output "principal" {
  description = "The subject as IAM policies name it."
  value       = module.target.principal
}

output "refresher_config" {
  description = "The cloud half of the refresher's configuration."
  value       = local._refresher_config
}

output "refresher_yaml" {
  description = "The same as a YAML file: `terraform output -raw refresher_yaml > federation.yaml`."
  value       = yamlencode(local._refresher_config)
}
