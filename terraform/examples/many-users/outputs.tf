output "audit_queries" {
  description = "Filters for Cloud Logging by identity."
  value       = module.federation.audit_queries
}

output "principals" {
  description = "Subjects as IAM policies name them, by identity."
  value       = module.federation.principals
}

output "refresher_config" {
  description = "The cloud half of the refresher's configuration."
  value       = module.federation.refresher_config
}

output "refresher_yaml" {
  description = "The same as a YAML file: `terraform output -raw refresher_yaml > federation.yaml`."
  value       = module.federation.refresher_yaml
}
