output "refresher_config" {
  description = "The team's identities as the refresher's configuration."
  value       = local._refresher_config
}

output "refresher_yaml" {
  description = "The same as a YAML file. The configuration includes it together with the pool's."
  value       = yamlencode(local._refresher_config)
}
