output "refresher_config" {
  description = "Team's identities as a part of the refresher's configuration, as an object."
  value       = local._refresher_config
}

output "refresher_yaml" {
  description = "Team's identities as a part of the refresher's configuration, as a YAML file. The configuration includes it together with the pool's."
  value       = yamlencode(local._refresher_config)
}
