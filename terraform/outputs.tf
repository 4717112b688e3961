output "attribute_condition" {
  description = "What every subject token must have, in CEL."
  value       = module.federation.attribute_condition
}

output "audience" {
  description = "The STS audience: the provider's full resource name, as an ADC document has it."
  value       = module.federation.audience
}

output "audit_queries" {
  description = "Filters for Cloud Logging by identity: what its subject did, who impersonated its account, and what was done in its name."
  value       = { for name, identity in module.identity : name => identity.audit_queries }
}

output "credentials" {
  description = "ADC documents (`external_account`) as JSON, by identity; they hold no secret."
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
  description = "Resource name of the provider, with the project's number: an input of the module identity."
  value       = module.federation.provider_name
}

output "refresher_config" {
  description = "The cloud half of the refresher's configuration: version, providers, project, suppliers, identities. List the file under `include`."
  value       = local._refresher_config
}

output "refresher_yaml" {
  description = "The same as a YAML file: `terraform output -raw refresher_yaml > federation.yaml`."
  value       = yamlencode(local._refresher_config)
}

output "service_accounts" {
  description = "E-mail addresses of the target principals, by identity; null for direct resource access."
  value       = { for name, identity in module.identity : name => identity.service_account_email }
}

output "subject_prefix" {
  description = "What every subject must begin with; empty if any subject is accepted."
  value       = module.federation.subject_prefix
}
