output "attribute_condition" {
  description = "Condition that every subject token must meet, in CEL."
  value       = module.federation.attribute_condition
}

output "audience" {
  description = "STS audience: the provider's full resource name, as an ADC document has it."
  value       = module.federation.audience
}

output "audit_queries" {
  description = "Filters for Cloud Logging by identity and name: exchanges and by_subject (what its subject did itself), became_account (who impersonated its account), as_account (what was done as its account)."
  value       = { for name, identity in module.identity : name => identity.audit_queries }
}

output "credentials" {
  description = "ADC documents (`external_account`) as JSON texts, by identity. They hold no secret."
  value       = { for name, identity in module.identity : name => identity.credentials }
}

output "pool_name" {
  description = "Resource name of the pool, with the project's number."
  value       = module.federation.pool_name
}

output "principals" {
  description = "Subjects as IAM policies name them, by identity."
  value       = { for name, identity in module.identity : name => identity.principal }
}

output "provider_name" {
  description = "Resource name of the provider, with the project's number."
  value       = module.federation.provider_name
}

output "refresher_config" {
  description = "Cloud half of the refresher's configuration, as an object: version, providers, project, suppliers, identities."
  value       = local._refresher_config
}

output "refresher_yaml" {
  description = "Cloud half of the refresher's configuration, as the text of a YAML file: `terraform output -raw refresher_yaml > federation.yaml`. List the file under `include`."
  value       = yamlencode(local._refresher_config)
}

output "service_accounts" {
  description = "E-mail addresses of the target principals, by identity; null for direct resource access."
  value       = { for name, identity in module.identity : name => identity.service_account_email }
}

output "subject_prefix" {
  description = "Text that every subject begins with; empty if any subject is accepted."
  value       = module.federation.subject_prefix
}
